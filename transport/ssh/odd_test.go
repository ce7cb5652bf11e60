package ssh_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/transporttest"
)

// oddHost is an ssh host that lets everybody in and does with sessions what no sshd does.
func oddHost(t *testing.T, do func(ssh.NewChannel)) (transport.Host, []string) {
	t.Helper()
	key := transporttest.Key(t, "ed25519")
	signer, err := ssh.ParsePrivateKey([]byte(read1(t, key)))
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{
		NoClientAuth:   true,
		BannerCallback: func(ssh.ConnMetadata) string { return "\x1b[2Jhello\n" },
	}
	config.AddHostKey(signer)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				_, channels, requests, err := ssh.NewServerConn(conn, config)
				if err != nil {
					return
				}
				wg.Go(func() { ssh.DiscardRequests(requests) })
				for c := range channels {
					do(c)
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	port := l.Addr().(*net.TCPAddr).Port
	known := file(t, fmt.Sprintf("[127.0.0.1]:%d %s", port, transporttest.PublicKey(t, key)))
	return transport.Host{Name: "odd", Address: "127.0.0.1", Port: port}, []string{"UserKnownHostsFile " + known,
		"GlobalKnownHostsFile none", "IdentityAgent none"}
}

// TestNativeOdd: what a host may do, and what comes of it. Planted fault seen to fail it: 255 passed on.
func TestNativeOdd(t *testing.T) {
	t.Parallel()
	after := func(end func(ssh.Channel)) func(ssh.NewChannel) {
		return func(n ssh.NewChannel) {
			c, requests, err := n.Accept()
			if err != nil {
				return
			}
			go func() {
				for r := range requests {
					_ = r.Reply(true, nil)
					end(c)
					_ = c.Close()
				}
			}()
		}
	}
	signal := func(name string) func(ssh.Channel) {
		return func(c ssh.Channel) {
			_, _ = c.SendRequest("exit-signal", false, ssh.Marshal(struct {
				Name       string
				CoreDumped bool
				Message    string
				Language   string
			}{name, false, "\x1b[2J", ""}))
		}
	}
	status := func(code uint32) func(ssh.Channel) {
		return func(c ssh.Channel) {
			_, _ = c.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{code}))
		}
	}
	for name, c := range map[string]struct {
		do   func(ssh.NewChannel)
		code int    // when there is no error
		want string // in the error
	}{
		"done":               {after(status(0)), 0, ""},
		"255":                {after(status(255)), 254, ""},
		"a big code":         {after(status(1 << 20)), 0, ""},
		"killed":             {after(signal("KILL")), 137, ""},
		"a user's signal":    {after(signal("USR1")), 138, ""},
		"an unknown signal":  {after(signal("\x1b[2J")), 128, ""},
		"no word of the end": {after(func(ssh.Channel) {}), 0, "did not say how the command ended"},
		"nonsense of the end": {after(func(c ssh.Channel) {
			_, _ = c.SendRequest("exit-status", true, []byte{1})
			_, _ = c.SendRequest("nonsense", false, nil)
		}), 0, "did not say how the command ended"},
		"no session": {func(n ssh.NewChannel) { _ = n.Reject(ssh.ResourceShortage, "\x1b[2Jno\nno") }, 0, "does not open a session"},
		"no command": {func(n ssh.NewChannel) {
			if _, requests, err := n.Accept(); err == nil {
				go ssh.DiscardRequests(requests)
			}
		}, 0, "refuses to run a command"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host, config := oddHost(t, c.do)
			r, err := dial(t, dialer(t, config...), host).Run(t.Context(), transport.Command{Args: []string{"true"}})
			if c.want == "" {
				if err != nil || r.ExitCode != c.code {
					t.Errorf("exit %d, %v; not %d", r.ExitCode, err, c.code)
				}
				return
			}
			refused(t, err, transport.ClassTransient, c.want)
			if strings.ContainsAny(err.Error(), "\x1b\n") {
				t.Errorf("%q is not neutralised", err)
			}
		})
	}
	// One that is no ssh host at all.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("HTTP/1.1 400 Bad\x1b[2J Request\r\n\r\n"))
			_ = conn.Close()
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	host, config := oddHost(t, after(status(0)))
	host.Port = l.Addr().(*net.TCPAddr).Port
	_, err = dial(t, dialer(t, config...), host).Run(t.Context(), transport.Command{Args: []string{"true"}})
	refused(t, err, transport.ClassTransient, "connect to 127.0.0.1 port")
	if e := (*transport.Error)(nil); errors.As(err, &e) && strings.ContainsAny(e.Message, "\x1b\r\n") {
		t.Errorf("%q is not neutralised", err)
	}
}
