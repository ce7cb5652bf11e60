package ssh_test

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/ssh"
	"github.com/fleetsync/fleetsync/transport/transporttest"
)

// TestLocal, TestSSH and TestNative: planted faults in the wrapper seen to fail them: no signals at the end of the
// lifeline, no hard end, none for what outlives the command, 255 passed on; in process.go: the
// lifeline left open on cancel; in native.go: the same.
func TestLocal(t *testing.T) {
	t.Parallel()
	conn := transport.Local{Grace: 200 * time.Millisecond}
	transporttest.Conformance(t, conn)
	t.Run("done in spite of an open pipe", func(t *testing.T) {
		r, err := conn.Run(t.Context(), transport.Command{Args: []string{"sh", "-c", `setsid sleep 1000 & echo $!`}})
		pid, pidErr := strconv.Atoi(strings.TrimSpace(string(r.Stdout)))
		if pidErr != nil {
			t.Fatal(pidErr)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
		if err != nil || r.ExitCode != 0 {
			t.Errorf("exit %d, %v", r.ExitCode, err)
		}
	})
}

func TestSSH(t *testing.T) {
	t.Parallel()
	d := transporttest.StartSSHD(t)
	config := d.SSH()
	config.Client, config.Share = ssh.ClientOpenSSH, true
	dialer := ssh.Dialer{SSH: config, Grace: 200 * time.Millisecond}
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
	dialer := ssh.Dialer{SSH: d.SSH(), Grace: 200 * time.Millisecond}
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

func TestBecome(t *testing.T) {
	bin := t.TempDir()
	sudo := "#!/bin/sh\necho \"$1 $2 $3 $4\" >&2\nshift 4\nexec \"$@\"\n"
	if err := os.WriteFile(bin+"/sudo", []byte(sudo), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	r, err := transport.Local{Become: "mwdeploy"}.Run(t.Context(), transport.Command{Args: []string{"echo", "a b"}})
	if err != nil || r.ExitCode != 0 || string(r.Stdout) != "a b\n" || r.Stderr != "-n -u mwdeploy --" {
		t.Errorf("%+v, %v", r, err)
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
			dialer := ssh.Dialer{SSH: config}
			conn, err := dialer.Dial(host)
			if err != nil {
				t.Fatal(err)
			}
			_, err = conn.Run(t.Context(), transport.Command{Args: []string{"true"}})
			var e *transport.Error
			if !errors.As(err, &e) || e.Class != transport.ClassTransient || e.Source || e.Program != "ssh" || e.ExitCode != 255 || e.Message == "" {
				t.Errorf("%#v", err)
			}
			t.Log(err)
			if err := dialer.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
