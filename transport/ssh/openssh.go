package ssh

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/fleetsync/fleetsync/transport"
)

// openSSH runs commands on a host by the OpenSSH program.
type openSSH struct {
	config Config
	host   transport.Host
	grace  time.Duration
	shared *controlMasters // nil: every command connects anew
}

// maxRemote bounds a remote command line: sshd hands it to the login shell as one argument, and
// Linux refuses one of 128 KiB or more (execve(2), MAX_ARG_STRLEN).
const maxRemote = 128<<10 - 1024

// remoteLine returns the command line that runs c on a host.
func remoteLine(c transport.Command, h transport.Host, grace time.Duration) (string, error) {
	remote, err := transport.Wrap(c, h.Become, grace)
	if err != nil {
		return "", err
	}
	line := "exec " + transport.Quote(remote...)
	if len(line) > maxRemote {
		message := fmt.Sprintf("command line of %d bytes is more than a host can take at once (%d)", len(line), maxRemote)
		return "", &transport.Error{Class: transport.ClassPermanent, Message: message}
	}
	return line, nil
}

// Run implements Conn. The login shell of the host must read command lines as POSIX says.
func (s *openSSH) Run(ctx context.Context, c transport.Command) (transport.Result, error) {
	line, err := remoteLine(c, s.host, s.grace)
	if err != nil {
		return transport.Result{}, err
	}
	if err := transport.Missing(s.program()); err != nil {
		return transport.Result{}, &transport.Error{Class: transport.ClassMissing, Message: err.Error(), Err: err}
	}
	var options []string
	if s.shared != nil {
		options = s.shared.options(ctx, s)
	}
	argv := s.command(line, options...)
	r, err := transport.RunWrapped(ctx, argv, c, s.grace)
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
		"ConnectTimeout=" + strconv.Itoa(int(math.Ceil(timeout.Seconds()))),
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
