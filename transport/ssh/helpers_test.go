package ssh_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/ssh"
	"github.com/fleetsync/fleetsync/transport/transporttest"
)

// dialer returns a dialer of native connections that reads an ssh_config of those lines only.
func dialer(t *testing.T, config ...string) *ssh.Dialer {
	t.Helper()
	d := &ssh.Dialer{Config: ssh.Config{ConfigFile: file(t, strings.Join(config, "\n")+"\n")}, Grace: 200 * time.Millisecond}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		for _, f := range d.Fallbacks() {
			t.Errorf("not native: %+v", f)
		}
	})
	return d
}

// knowing returns ssh_config lines that use a daemon's identity and known_hosts lines.
func knowing(t *testing.T, d *transporttest.SSHD, known ...string) []string {
	t.Helper()
	return []string{
		"IdentityFile " + d.Identity, "IdentitiesOnly yes", "IdentityAgent none",
		"UserKnownHostsFile " + file(t, strings.Join(known, "")), "GlobalKnownHostsFile none",
	}
}

func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func dial(t *testing.T, d *ssh.Dialer, h transport.Host) transport.Conn {
	t.Helper()
	conn, err := d.Dial(h)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// says runs echo and returns the error; without one, the echo must be right.
func says(t *testing.T, conn transport.Conn) error {
	t.Helper()
	r, err := conn.Run(t.Context(), transport.Command{Args: []string{"echo", "it's me"}})
	if err == nil && (r.ExitCode != 0 || string(r.Stdout) != "it's me\n") {
		t.Errorf("%+v", r)
	}
	return err
}

// refused checks the class and the words of an error.
func refused(t *testing.T, err error, class transport.Class, words ...string) {
	t.Helper()
	var e *transport.Error
	if !errors.As(err, &e) || e.Class != class || e.Source {
		t.Fatalf("not a %s error: %#v", class, err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q is not in: %v", w, err)
		}
	}
}

// relayed returns a host that is reached through a relay, and the line of known_hosts that goes with it.
func relayed(t *testing.T, d *transporttest.SSHD) (*transporttest.Relay, transport.Host, string) {
	t.Helper()
	r := transporttest.StartRelay(t, net.JoinHostPort(d.Address, strconv.Itoa(d.Port)))
	h := d.Host()
	h.Port = r.Port
	return r, h, fmt.Sprintf("[127.0.0.1]:%d %s", r.Port, transporttest.PublicKey(t, d.HostKey))
}

// once is a writer that calls something at the first word.
type once struct {
	then func()
	once sync.Once
}

func (o *once) Write(p []byte) (int, error) {
	o.once.Do(func() { go o.then() })
	return len(p), nil
}

func read1(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
