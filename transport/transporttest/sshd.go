package transporttest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/ssh"
)

// SSHD is a running OpenSSH daemon that lets the current user in.
type SSHD struct {
	Address  string // 127.0.0.1
	Port     int
	User     string // the current one
	Identity string // file of the private key it accepts
	HostKey  string // file of its private host key
	Known    string // known_hosts file with its host key
	Config   string // an ssh_config file that uses all of it, strictly

	program, config string
	stop            func()
}

// Host returns the daemon as a host.
func (s *SSHD) Host() transport.Host {
	return transport.Host{Name: "sshd", Address: s.Address, Port: s.Port, User: s.User}
}

// SSH returns how to connect so that the daemon is known and nothing else.
func (s *SSHD) SSH() ssh.Config { return ssh.Config{ConfigFile: s.Config} }

// StartSSHD starts a real sshd on a loopback port, as the current user and with keys of its own,
// until the test ends. Lines of its configuration may be given; they outrank ours.
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
	s := &SSHD{Address: "127.0.0.1", User: me.Username, Identity: Key(t, "ed25519"), HostKey: Key(t, "ed25519"), program: program}
	keys := file("authorized_keys", PublicKey(t, s.Identity))
	// The first value of a keyword holds (sshd_config(5)), but of HostKey all do.
	lines := append(config,
		"HostKey "+s.HostKey, "AuthorizedKeysFile "+keys, "PidFile none",
		"StrictModes no", "UsePAM no", "PermitRootLogin yes", "PasswordAuthentication no",
		"MaxStartups 100", "MaxSessions 100", "LogLevel ERROR",
		"SetEnv HOME="+dir,                // bash reads ~/.bashrc even for a command, and that is not ours
		"KexAlgorithms curve25519-sha256", // a seventh of the default's cost (measured)
	)
	s.config = file("sshd_config", strings.Join(lines, "\n")+"\n")

	for try := 1; ; try++ {
		s.Port = freePort(t)
		err := s.start(t)
		if err == nil {
			break
		}
		if try == 5 {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { s.stop() })
	s.Known = file("known_hosts", fmt.Sprintf("[%s]:%d %s", s.Address, s.Port, PublicKey(t, s.HostKey)))
	s.Config = file("ssh_config", strings.Join([]string{
		"IdentityFile " + s.Identity, "IdentitiesOnly yes", "IdentityAgent none",
		"UserKnownHostsFile " + s.Known, "GlobalKnownHostsFile none", "StrictHostKeyChecking yes",
	}, "\n")+"\n")
	return s
}

// Key makes a key pair without a passphrase and returns the file of the private key.
func Key(t testing.TB, kind string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "key")
	if out, err := exec.Command(Need(t, "ssh-keygen"), "-q", "-t", kind, "-N", "", "-C", "", "-f", name).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
	return name
}

// PublicKey returns the public key of a file of Key, as a line.
func PublicKey(t testing.TB, key string) string {
	t.Helper()
	b, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b)) + "\n"
}

// Certify makes a certificate of a key, KEY-cert.pub, signed by the key in the file ca. Further
// arguments are ssh-keygen's: -h for a host's, -n NAMES, -V VALIDITY.
func Certify(t testing.TB, ca, key string, args ...string) string {
	t.Helper()
	args = append([]string{"-q", "-s", ca, "-I", "test"}, append(args, key+".pub")...)
	if out, err := exec.Command(Need(t, "ssh-keygen"), args...).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
	return key + "-cert.pub"
}

// Stop ends the daemon and its connections, which outlive a daemon that is ended alone.
func (s *SSHD) Stop() {
	parents := map[int]int{}
	listener := 0
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is right
	for _, name := range stats {
		stat, err1 := os.ReadFile(name)
		args, err2 := os.ReadFile(filepath.Join(filepath.Dir(name), "cmdline"))
		f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		pid, err3 := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err1 != nil || err2 != nil || err3 != nil || len(f) < 2 {
			continue // it has ended
		}
		parents[pid], _ = strconv.Atoi(f[1])
		if strings.HasPrefix(string(args), "sshd:") && strings.Contains(string(args), s.config) {
			listener = pid
		}
	}
	for pid, parent := range parents {
		if listener != 0 && parent == listener {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it has ended, else
		}
	}
	s.stop()
}

// Start starts the daemon anew, on the same port, after a Stop.
func (s *SSHD) Start(t testing.TB) {
	t.Helper()
	if err := s.start(t); err != nil {
		t.Fatal(err)
	}
}

// start starts sshd on s.Port and waits until it answers.
func (s *SSHD) start(t testing.TB) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() {
		r, err := transport.Local{}.Run(ctx, transport.Command{Args: []string{
			s.program, "-D", "-e", "-f", s.config, "-o", fmt.Sprintf("ListenAddress=%s:%d", s.Address, s.Port)}})
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
			var once sync.Once
			s.stop = func() {
				once.Do(func() {
					cancel()
					t.Log(<-ended)
				})
			}
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
