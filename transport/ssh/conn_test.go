package ssh_test

import (
	"errors"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/ssh"
	"github.com/fleetsync/fleetsync/transport/transporttest"
)

func TestSSH(t *testing.T) {
	t.Parallel()
	d := transporttest.StartSSHD(t)
	config := d.SSH()
	config.Client, config.Share = ssh.ClientOpenSSH, true
	dialer := ssh.Dialer{Config: config, Grace: 200 * time.Millisecond}
	conn, err := dialer.Dial(d.Host())
	if err != nil {
		t.Fatal(err)
	}
	transporttest.Conformance(t, conn)
	if err := dialer.Close(); err != nil {
		t.Error(err)
	}
}

func TestNative(t *testing.T) {
	t.Parallel()
	d := transporttest.StartSSHD(t)
	dialer := ssh.Dialer{Config: d.SSH(), Grace: 200 * time.Millisecond}
	conn, err := dialer.Dial(d.Host())
	if err != nil {
		t.Fatal(err)
	}
	transporttest.Conformance(t, conn)
	if err := dialer.Close(); err != nil {
		t.Error(err)
	}
	if f := dialer.Fallbacks(); f != nil {
		t.Errorf("not native: %v", f)
	}
}

// TestUnreachable: what goes wrong with ssh itself is an error, not a result.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	d := transporttest.StartSSHD(t)
	for name, spoil := range map[string]func(h *transport.Host, c *ssh.Config){
		"nobody listens":   func(h *transport.Host, _ *ssh.Config) { h.Port = 1 },
		"unknown host key": func(_ *transport.Host, c *ssh.Config) { c.Options = []string{"UserKnownHostsFile=/dev/null"} },
		"no key":           func(_ *transport.Host, c *ssh.Config) { c.Options = []string{"PubkeyAuthentication=no"} },
		"nobody listens, shared": func(h *transport.Host, c *ssh.Config) {
			h.Port = 1
			c.Share = true
		},
	} {
		t.Run(name, func(t *testing.T) {
			host, config := d.Host(), d.SSH()
			config.Client = ssh.ClientOpenSSH
			spoil(&host, &config)
			dialer := ssh.Dialer{Config: config}
			conn, err := dialer.Dial(host)
			if err != nil {
				t.Fatal(err)
			}
			_, err = conn.Run(t.Context(), transport.Command{Args: []string{"true"}})
			var e *transport.Error
			if !errors.As(err, &e) || e.Class != transport.ClassTransient || e.Source || e.Program != "ssh" || e.ExitCode != 255 ||
				e.Message == "" {
				t.Errorf("%#v", err)
			}
			t.Log(err)
			if err := dialer.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
