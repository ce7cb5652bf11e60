package ssh

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"time"

	"github.com/fleetsync/fleetsync/transport"
)

// SSHClient is who makes the connections.
type Client string

// The clients. An empty one is ClientNative.
const (
	// ClientNative is this program itself: one connection per host, and no process.
	ClientNative Client = "native"
	// ClientOpenSSH is the ssh program.
	ClientOpenSSH Client = "openssh"
)

// SSHConfig is how hosts are reached by ssh. The zero SSHConfig leaves everything but questions to
// the user's own configuration: host keys are checked as it says, unknown ones are refused because
// nobody is asked (BatchMode, ssh_config(5)). Where a native connection does not honour it, the
// package comment says so.
type Config struct {
	Client         Client        // ClientNative when empty
	ConfigFile     string        // instead of the user's and the system's (-F); empty is theirs
	Options        []string      // keyword=value, as ssh_config(5); they outrank the configuration, except that of jump hosts
	ConnectTimeout time.Duration // when 0, native connections do as the configuration says, or else 15s; the program 15s

	// Of native connections.
	MaxConnections int           // at most so many are open, jump hosts' apart; 1000 when 0
	MaxHandshakes  int           // at most so many are being made at once; 32 when 0
	Idle           time.Duration // one that is not used for so long is closed; 1m when 0

	// Of the program.
	Program string // ssh when empty
	Share   bool   // keep one connection, and its process, per host until the Dialer is closed
}

// openSSH runs commands on a host by the OpenSSH program.
type openSSH struct {
	config Config
	host   transport.Host
	grace  time.Duration
	shared *shared // nil: every command connects anew
}

// maxRemote bounds a remote command line: sshd hands it to the login shell as one argument, and
// Linux refuses one of 128 KiB or more (execve(2), MAX_ARG_STRLEN).
const maxRemote = 128<<10 - 1024

// remoteLine returns the command line that runs c on a host.
func remoteLine(c transport.Command, h transport.Host, grace time.Duration) (string, error) {
	remote, err := transport.Wrapped(c, h.Become, grace)
	if err != nil {
		return "", err
	}
	line := "exec " + transport.Quote(remote...)
	if len(line) > maxRemote {
		return "", &transport.Error{Class: transport.ClassPermanent,
			Message: fmt.Sprintf("command line of %d bytes is more than a host can take at once (%d)", len(line), maxRemote)}
	}
	return line, nil
}

// Run implements Conn. The login shell of the host must read command lines as POSIX says.
func (s *openSSH) Run(ctx context.Context, c transport.Command) (transport.Result, error) {
	line, err := remoteLine(c, s.host, s.grace)
	if err != nil {
		return transport.Result{}, err
	}
	if _, err := exec.LookPath(s.program()); err != nil {
		return transport.Result{}, transport.StartError(s.program(), exec.ErrNotFound)
	}
	var options []string
	if s.shared != nil {
		options = s.shared.options(ctx, s)
	}
	argv := s.command(line, options...)
	r, err := transport.RunProcess(ctx, argv, c, s.grace)
	if err != nil {
		return r, err
	}
	// ssh(1): exits with the exit status of the remote command or with 255 if an error occurred.
	if r.ExitCode == 255 {
		return r, &transport.Error{Class: transport.ClassTransient, Program: "ssh", ExitCode: 255, Message: transport.Summary(r.Stderr)}
	}
	return r, nil
}

func (s *openSSH) program() string {
	if s.config.Program == "" {
		return "ssh"
	}
	return s.config.Program
}

// command returns the argument vector that hands line to the host's login shell.
func (s *openSSH) command(line string, options ...string) []string {
	timeout := s.config.ConnectTimeout
	if timeout <= 0 {
		timeout = 15 * time.Second
	}
	argv := append([]string{s.program(), "-T", "-x"}, options...)
	if s.config.ConfigFile != "" {
		argv = append(argv, "-F", s.config.ConfigFile)
	}
	for _, o := range s.config.Options {
		argv = append(argv, "-o", o)
	}
	for _, o := range []string{
		"BatchMode=yes",
		"ConnectTimeout=" + strconv.Itoa(transport.Seconds(timeout)),
		"ServerAliveInterval=15", "ServerAliveCountMax=3", // a host that is gone is noticed within a minute
		"ClearAllForwardings=yes", "RemoteCommand=none", // what a user's configuration may add for people
	} {
		argv = append(argv, "-o", o)
	}
	if s.host.User != "" {
		argv = append(argv, "-l", s.host.User)
	}
	if s.host.Port != 0 {
		argv = append(argv, "-p", strconv.Itoa(s.host.Port))
	}
	return append(argv, "--", s.host.Address, line)
}
