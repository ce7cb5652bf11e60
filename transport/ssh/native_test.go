package ssh_test

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/transporttest"
)

// TestNativeSharing: planted faults seen to fail it: a connection per command; no end of idle ones; a
// session that is refused taken for an error.
func TestNativeSharing(t *testing.T) {
	t.Parallel()
	d := transporttest.StartSSHD(t, "MaxSessions 3")
	relay, host, known := relayed(t, d)
	one := dialer(t, knowing(t, d, known)...)
	conn := dial(t, one, host)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := says(t, conn); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	// Another user of sudo is another Conn, but the same connection.
	host.Name = "other"
	if err := says(t, dial(t, one, host)); err != nil {
		t.Error(err)
	}
	if n, _ := relay.Count(); n != 1 {
		t.Errorf("%d connections, not 1", n)
	}

	short := dialer(t, knowing(t, d, known)...)
	short.Config.Idle = time.Millisecond
	conn = dial(t, short, host)
	for range 2 {
		if err := says(t, conn); err != nil {
			t.Error(err)
		}
		transporttest.Eventually(t, "the idle connection is closed", func() bool { return relay.Open() == 1 })
	}
	if n, _ := relay.Count(); n != 3 {
		t.Errorf("%d connections, not 3", n)
	}
}

// TestNativeRestart: a connection that has ended is made anew. Planted fault seen to fail it: it is not.
func TestNativeRestart(t *testing.T) {
	t.Parallel()
	d := transporttest.StartSSHD(t)
	conn := dial(t, dialer(t, knowing(t, d, read1(t, d.Known))...), d.Host())
	for range 3 {
		if err := says(t, conn); err != nil {
			t.Fatal(err)
		}
		d.Stop()
		d.Start(t)
	}
	// One that ends while a command runs is the end of that.
	stopped := make(chan struct{})
	under := &once{then: func() {
		defer close(stopped)
		d.Stop()
	}}
	r, err := conn.Run(t.Context(), transport.Command{Args: []string{"sh", "-c", "echo; trap '' TERM; sleep 1000"}, Stdout: under})
	refused(t, err, transport.ClassTransient, "ssh: ")
	t.Log(r, err)
	<-stopped // sshd itself ends after its connections
	refused(t, says(t, conn), transport.ClassTransient, "connection refused")
}

// TestNativeVanish: planted faults seen to fail it: no keep-alives; Run waits for a session that was cut to be closed.
func TestNativeVanish(t *testing.T) {
	t.Parallel()
	d := transporttest.StartSSHD(t)
	t.Run("is noticed", func(t *testing.T) {
		t.Parallel()
		relay, host, known := relayed(t, d)
		conn := dial(t, dialer(t, append(knowing(t, d, known), "ServerAliveInterval 1", "ServerAliveCountMax 1", "ConnectTimeout 1")...), host)
		start := time.Now()
		_, err := conn.Run(t.Context(), transport.Command{Args: []string{"sh", "-c", "echo; sleep 1000"}, Stdout: &once{then: relay.Vanish}})
		refused(t, err, transport.ClassTransient, "did not say a word for 2s")
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
		// The next one waits for an answer, but not for ever.
		refused(t, says(t, conn), transport.ClassTransient, "no answer within 1s")
	})
	t.Run("and nobody waits", func(t *testing.T) {
		t.Parallel()
		relay, host, known := relayed(t, d)
		conn := dial(t, dialer(t, knowing(t, d, known)...), host)
		ctx, cancel := context.WithCancel(t.Context())
		_, err := conn.Run(ctx, transport.Command{Args: []string{"sh", "-c", "echo; sleep 1000"}, Stdout: &once{then: func() {
			relay.Vanish()
			cancel()
		}}})
		refused(t, err, transport.ClassStopped)
		// On what is left of the connection, not even a session can be opened.
		ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err = conn.Run(ctx, transport.Command{Args: []string{"true"}})
		refused(t, err, transport.ClassStopped)
	})
	t.Run("while it is asked for", func(t *testing.T) {
		t.Parallel()
		relay, host, known := relayed(t, d)
		relay.Vanish()
		conn := dial(t, dialer(t, knowing(t, d, known)...), host)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := conn.Run(ctx, transport.Command{Args: []string{"true"}})
		refused(t, err, transport.ClassStopped)
	})
}

// TestNativeLimits: at most so many connections over all hosts. Planted faults seen to fail it: the
// limit not asked for; no idle one closed to make room (it hangs).
func TestNativeLimits(t *testing.T) {
	t.Parallel()
	d := transporttest.StartSSHD(t)
	relay := transporttest.StartRelay(t, net.JoinHostPort(d.Address, strconv.Itoa(d.Port)))
	own := dialer(t, append(knowing(t, d, "sshd "+transporttest.PublicKey(t, d.HostKey)), "HostName 127.0.0.1", "HostKeyAlias sshd")...)
	own.Config.MaxConnections, own.Config.MaxHandshakes = 2, 2
	var wg sync.WaitGroup
	for i := range 10 {
		conn := dial(t, own, transport.Host{Name: fmt.Sprintf("host%d", i), Port: relay.Port})
		wg.Go(func() {
			for range 2 {
				if err := says(t, conn); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n, most := relay.Count(); most > 3 || n < 10 { // the relay sees an end a little later than we do
		t.Errorf("%d connections, %d of them at once", n, most)
	}
	transporttest.Eventually(t, "no more than two are open", func() bool { return relay.Open() <= 2 })
}

// TestNativeLeaks: nothing is left when a Dialer is closed, whatever its commands came to. Planted fault
// seen to fail it (it hangs): the connection not closed when it is given up.
func TestNativeLeaks(t *testing.T) {
	d := transporttest.StartSSHD(t)
	ours := func() int {
		b := make([]byte, 1<<20)
		n := 0
		for _, g := range strings.Split(string(b[:runtime.Stack(b, true)]), "\n\n") {
			if strings.Contains(g, "crypto/ssh") || strings.Contains(g, "transport/ssh.(*link") || strings.Contains(g, "transport/ssh.(*session") {
				n++
			}
		}
		return n
	}
	before := ours()
	relay, host, known := relayed(t, d)
	_, gone, goneKnown := relayed(t, d)
	own := dialer(t, append(knowing(t, d, known, goneKnown), "ConnectTimeout 1")...)
	conn := dial(t, own, host)
	for range 5 {
		if err := says(t, conn); err != nil {
			t.Error(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := conn.Run(ctx, transport.Command{Args: []string{"sh", "-c", "echo; sleep 1000"}, Stdout: &once{then: cancel}})
	refused(t, err, transport.ClassStopped)
	_, err = dial(t, own, gone).Run(ctx, transport.Command{Args: []string{"true"}})
	refused(t, err, transport.ClassStopped)
	// A writer that blocks blocks only its command.
	release := make(chan struct{})
	ctx, cancel = context.WithCancel(t.Context())
	_, err = conn.Run(ctx, transport.Command{Args: []string{"sh", "-c", "while echo; do :; done"}, Stdout: blocked{release, cancel}})
	refused(t, err, transport.ClassStopped)
	if err := says(t, conn); err != nil {
		t.Error(err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	_, err = conn.Run(ctx, transport.Command{Args: []string{"sh", "-c", "echo; sleep 1000"}, Stdout: &once{then: func() {
		relay.Vanish()
		cancel()
	}}})
	refused(t, err, transport.ClassStopped)
	close(release)
	if err := own.Close(); err != nil {
		t.Error(err)
	}
	transporttest.Eventually(t, "all goroutines have ended", func() bool { return ours() <= before })
}

type blocked struct {
	release chan struct{}
	then    func()
}

func (b blocked) Write(p []byte) (int, error) {
	b.then()
	<-b.release
	return len(p), nil
}
