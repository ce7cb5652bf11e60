package transporttest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/transport"
)

// SSHD is a running OpenSSH daemon that lets the current user in.
type SSHD struct {
	Address  string // 127.0.0.1
	Port     int
	User     string // the current one
	Identity string // file of the private key it accepts
	Known    string // known_hosts file with its host key
	Config   string // an ssh_config file that uses all of it, strictly
}

// Host returns the daemon as a host.
func (s *SSHD) Host() transport.Host {
	return transport.Host{Name: "sshd", Address: s.Address, Port: s.Port, User: s.User}
}

// SSH returns how to start ssh so that it knows the daemon and nothing else.
func (s *SSHD) SSH() transport.SSHConfig { return transport.SSHConfig{ConfigFile: s.Config} }

// StartSSHD starts a real sshd on a loopback port, as the current user and with keys of its own,
// until the test ends. Further lines of its configuration may be given.
func StartSSHD(t testing.TB, config ...string) *SSHD {
	t.Helper()
	program := Need(t, "sshd")
	Need(t, "ssh")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		// sshd started by root insists on it; the system's own start script makes it likewise.
		if err := os.Mkdir("/run/sshd", 0o755); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	file := func(name, content string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	key := func(name string) string {
		name = filepath.Join(dir, name)
		if out, err := exec.Command(Need(t, "ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", name).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v: %s", err, out)
		}
		return name
	}
	read := func(name string) string {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	s := &SSHD{Address: "127.0.0.1", User: me.Username, Identity: key("identity")}
	hostKey := key("hostkey")
	keys := file("authorized_keys", read(s.Identity+".pub"))
	lines := append([]string{
		"HostKey " + hostKey, "AuthorizedKeysFile " + keys, "PidFile none",
		"StrictModes no", "UsePAM no", "PermitRootLogin yes", "PasswordAuthentication no",
		"MaxStartups 100", "MaxSessions 100", "LogLevel ERROR",
		"SetEnv HOME=" + dir,              // bash reads ~/.bashrc even for a command, and that is not ours
		"KexAlgorithms curve25519-sha256", // a seventh of the default's cost (measured)
	}, config...)
	sshdConfig := file("sshd_config", strings.Join(lines, "\n")+"\n")

	for try := 1; ; try++ {
		s.Port = freePort(t)
		err := s.start(t, program, sshdConfig)
		if err == nil {
			break
		}
		if try == 5 {
			t.Fatal(err)
		}
	}
	s.Known = file("known_hosts", fmt.Sprintf("[%s]:%d %s", s.Address, s.Port, read(hostKey+".pub")))
	s.Config = file("ssh_config", strings.Join([]string{
		"IdentityFile " + s.Identity, "IdentitiesOnly yes", "IdentityAgent none",
		"UserKnownHostsFile " + s.Known, "GlobalKnownHostsFile none", "StrictHostKeyChecking yes",
	}, "\n")+"\n")
	return s
}

// start starts sshd on s.Port and waits until it answers.
func (s *SSHD) start(t testing.TB, program, config string) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() {
		r, err := transport.Local{}.Run(ctx, transport.Command{Args: []string{
			program, "-D", "-e", "-f", config, "-o", fmt.Sprintf("ListenAddress=%s:%d", s.Address, s.Port)}})
		if err == nil {
			err = fmt.Errorf("sshd exit %d: %s", r.ExitCode, r.Stderr)
		}
		ended <- err
	}()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if answers(net.JoinHostPort(s.Address, fmt.Sprint(s.Port)), "SSH-2.0-") {
			t.Cleanup(func() {
				cancel()
				t.Log(<-ended)
			})
			return nil
		}
		select {
		case err := <-ended:
			cancel()
			return err
		case <-deadline:
			cancel()
			return <-ended
		case <-tick.C:
		}
	}
}

func answers(address, greeting string) bool {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return false
	}
	defer conn.Close()
	b := make([]byte, len(greeting))
	if conn.SetDeadline(time.Now().Add(5*time.Second)) != nil {
		return false
	}
	n, _ := conn.Read(b)
	return string(b[:n]) == greeting
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
