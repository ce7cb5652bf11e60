package ssh_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/ssh"
	"github.com/fleetsync/fleetsync/transport/transporttest"
)

// answered checks what became of a probe: words that its error must have, or none.
func answered(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Error(err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("not %q: %v", want, err)
	case err != nil && (strings.ContainsAny(err.Error(), "\x1b\r\n\x00") || len(err.Error()) > 300):
		t.Errorf("not neutral: %q", err)
	}
}

// TestProbe: planted faults seen to fail it: no bound on what comes before the line; a peer that hangs up taken for one
// that is not there; a whole line not waited for; the words of the peer passed on as they are; no timeout of our own.
func TestProbe(t *testing.T) {
	t.Parallel()
	d := transporttest.StartSSHD(t)
	for name, c := range map[string]struct {
		port int
		want string // empty: it is there
	}{
		"sshd":                 {d.Port, ""},
		"a line":               {transporttest.Peer(t, transporttest.Say("SSH-2.0-x\r\n")), ""},
		"a line, no return":    {transporttest.Peer(t, transporttest.Say("SSH-2.0-x\n")), ""},
		"a line of two":        {transporttest.Peer(t, transporttest.Say("SSH-1.99-x\r\n")), ""},
		"lines before":         {transporttest.Peer(t, transporttest.SayAndWait("hello\r\n\r\nSSH is here\r\nSSH-2.0-x\r\n")), ""},
		"many lines before":    {transporttest.Peer(t, transporttest.SayAndWait(strings.Repeat("x\r\n", 2000)+"SSH-2.0-x\r\n")), ""},
		"busy, without a word": {transporttest.Peer(t, func(net.Conn) {}), ""},
		"busy, reset":          {transporttest.Peer(t, transporttest.Reset), ""},
		"busy":                 {transporttest.Peer(t, transporttest.Say("Exceeded MaxStartups\r\n")), ""},
		"busy with penalties":  {transporttest.Peer(t, transporttest.Say("Not allowed at this time\r\n")), ""},
		"closed":               {transporttest.ClosedPort(t), "connection refused"},
		"silent":               {transporttest.Peer(t, transporttest.SayAndWait("")), "no answer within 1s"},
		"half a line":          {transporttest.Peer(t, transporttest.SayAndWait("SSH-2.0-x")), "no answer within 1s"},
		"a greeting, no line":  {transporttest.Peer(t, transporttest.SayAndWait("welcome\r\n")), "no answer within 1s"},
		"half a line, the end": {transporttest.Peer(t, transporttest.Say("SSH-2.0-x")), `does not speak ssh 2: it says "SSH-2.0-x"`},
		"an old one":           {transporttest.Peer(t, transporttest.Say("SSH-1.5-x\r\n")), `does not speak ssh 2: it says "SSH-1.5-x"`},
		"something else": {transporttest.Peer(t, transporttest.Say("HTTP/1.1 400 \x1b[2JBad\x9b Request\r\n\r\n")),
			`it says "HTTP/1.1 400 [2JBad`},
		"endless lines":         {transporttest.Peer(t, transporttest.Repeat("x\x1b\r\n")), `it says "x"`},
		"an endless line":       {transporttest.Peer(t, transporttest.Repeat("x\x1b\x00")), `it says "xxx`},
		"endless, and no words": {transporttest.Peer(t, transporttest.Repeat("\r\n")), "says too much"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			own := dialer(t, "HostName 127.0.0.1", "ConnectTimeout 1")
			answered(t, own.Probe(t.Context(), transport.Host{Name: "mw1", Port: c.port}), c.want)
		})
	}
	t.Run("the context ends", func(t *testing.T) {
		t.Parallel()
		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		port := transporttest.Peer(t, func(c net.Conn) {
			cancel(cause)
			transporttest.SayAndWait("")(c)
		})
		err := dialer(t).Probe(ctx, transport.Host{Name: "mw1", Address: "127.0.0.1", Port: port})
		if !errors.Is(err, cause) {
			t.Error(err)
		}
	})
	t.Run("is counted", func(t *testing.T) {
		t.Parallel()
		relay, host, known := relayed(t, d)
		own := dialer(t, knowing(t, d, known)...)
		own.Config.MaxConnections = 1
		conn := dial(t, own, host)
		// While the only connection is in use, nobody is asked.
		ctx, cancel := context.WithCancel(t.Context())
		asked := &once{then: func() {
			soon, stop := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("enough"))
			defer stop()
			answered(t, own.Probe(soon, transport.Host{Name: "mw2", Address: "localhost", Port: host.Port}), "enough")
			cancel()
		}}
		_, err := conn.Run(ctx, transport.Command{Args: []string{"sh", "-c", "echo; sleep 1000"}, Stdout: asked})
		refused(t, err, transport.ClassStopped)
		if n, most := relay.Count(); n != 1 || most != 1 {
			t.Errorf("%d connections, %d at once", n, most)
		}
		answered(t, own.Probe(t.Context(), transport.Host{Name: "mw2", Address: "localhost", Port: host.Port}), "")
	})
	t.Run("not asked", func(t *testing.T) {
		t.Parallel()
		port := transporttest.ClosedPort(t)
		for name, c := range map[string]struct {
			config ssh.Config
			host   transport.Host
			want   string
		}{
			"local":       {ssh.Config{}, transport.Host{Name: "mw1", Port: port, Local: true}, ""},
			"the program": {ssh.Config{Options: []string{"ProxyCommand=false"}}, transport.Host{Name: "mw1", Port: port}, ""},
			"of the program": {ssh.Config{Client: ssh.ClientOpenSSH, Options: []string{"ProxyCommand=false"}}, transport.Host{Name: "mw1",
				Port: port}, ""},
			"its jump host": {ssh.Config{Client: ssh.ClientOpenSSH, Options: []string{"ProxyJump=mw2"}}, transport.Host{Name: "mw1",
				Port: port}, ""},
			"but by the port": {ssh.Config{Client: ssh.ClientOpenSSH, Options: []string{"HostName=127.0.0.1"}}, transport.Host{Name: "mw1",
				Port: port}, "refused"},
			"an option, by us": {ssh.Config{}, transport.Host{Name: "-oProxyCommand=x"}, "is no address"},
		} {
			c.config.ConfigFile = "none"
			own := ssh.Dialer{Config: c.config}
			answered(t, own.Probe(t.Context(), c.host), c.want)
			if n := len(own.Fallbacks()); (n == 1) != (name == "the program") {
				t.Errorf("%s: %d fallbacks", name, n)
			}
		}
	})
}

// TestProbeJump: planted faults seen to fail it: the jump host left out.
func TestProbeJump(t *testing.T) {
	t.Parallel()
	first, target := transporttest.StartSSHD(t), transporttest.StartSSHD(t)
	relay, via, known := relayed(t, first)
	silent, closed := transporttest.Peer(t, transporttest.SayAndWait("")), transporttest.ClosedPort(t)
	config := func(port int) []string {
		return []string{
			"Host first", "HostName 127.0.0.1", "HostKeyAlias first", "Port " + strconv.Itoa(port),
			"Host mw*", "HostName 127.0.0.1", "ProxyJump first",
			"Host *", "ConnectTimeout 1", "IdentityFile " + first.Identity, "IdentityAgent none", "GlobalKnownHostsFile none",
			"UserKnownHostsFile " + file(t, known+"first "+transporttest.PublicKey(t, first.HostKey)),
		}
	}
	d := dialer(t, config(via.Port)...)
	before, _ := relay.Count()
	var wg sync.WaitGroup
	for i, c := range []struct {
		port int
		want string
	}{
		{target.Port, ""}, {target.Port, ""},
		{transporttest.Peer(t, func(net.Conn) {}), ""}, // busy
		{closed, "connect failed"}, {silent, "no answer within 1s"},
	} {
		wg.Go(func() {
			answered(t, d.Probe(t.Context(), transport.Host{Name: fmt.Sprintf("mw%d", i), Port: c.port}), c.want)
		})
	}
	wg.Wait()
	if after, _ := relay.Count(); after != before+1 {
		t.Errorf("%d connections to the jump host", after-before)
	}
	// One that ends meanwhile is connected to again.
	first.Stop()
	first.Start(t)
	answered(t, d.Probe(t.Context(), transport.Host{Name: "mw1", Port: target.Port}), "")
	answered(t, dialer(t, config(closed)...).Probe(t.Context(), transport.Host{Name: "mw1", Port: target.Port}),
		"jump host 127.0.0.1: ssh: connect to 127.0.0.1 port")
	answered(t, dialer(t, config(silent)...).Probe(t.Context(), transport.Host{Name: "mw1", Port: target.Port}), "no answer within 1s")
}

// TestProbeKept: what was opened to ask is the connection of the first command. Planted faults seen to fail it: nothing is
// kept; what has been closed meanwhile is not made anew; it is not counted; it does not make room; it is
// never idle for too long; an open connection is not taken for an answer; its jump host's is not given back.
func TestProbeKept(t *testing.T) {
	t.Parallel()
	d := transporttest.StartSSHD(t)
	relay, host, known := relayed(t, d)
	connections := func(t *testing.T, r *transporttest.Relay, want int) {
		t.Helper()
		if n, _ := r.Count(); n != want {
			t.Errorf("%d connections, not %d", n, want)
		}
	}
	works := func(t *testing.T, own *ssh.Dialer, h transport.Host) {
		t.Helper()
		if err := says(t, dial(t, own, h)); err != nil {
			t.Error(err)
		}
	}
	own := dialer(t, knowing(t, d, known)...)
	for range 2 {
		answered(t, own.Probe(t.Context(), host), "")
		works(t, own, host)
	}
	connections(t, relay, 1)

	short := dialer(t, knowing(t, d, known)...)
	short.Config.Idle = time.Millisecond
	answered(t, short.Probe(t.Context(), host), "")
	transporttest.Eventually(t, "the idle connection is closed", func() bool { return relay.Open() == 1 })
	works(t, short, host)
	connections(t, relay, 3)
	transporttest.Eventually(t, "that, too", func() bool { return relay.Open() == 1 })

	one := dialer(t, knowing(t, d, known, fmt.Sprintf("[127.0.0.1]:%d %s", d.Port, transporttest.PublicKey(t, d.HostKey)))...)
	one.Config.MaxConnections = 1
	answered(t, one.Probe(t.Context(), host), "")
	works(t, one, d.Host()) // which makes it leave
	transporttest.Eventually(t, "it makes room", func() bool { return relay.Open() == 1 })
	answered(t, one.Probe(t.Context(), host), "") // which makes the other leave
	transporttest.Eventually(t, "it is kept", func() bool { return relay.Open() == 2 })
	works(t, one, d.Host())
	transporttest.Eventually(t, "there is room for one only", func() bool { return relay.Open() == 1 })
	connections(t, relay, 5)

	stranger := dialer(t, knowing(t, d, "")...)
	answered(t, stranger.Probe(t.Context(), host), "")
	refused(t, says(t, dial(t, stranger, host)), transport.ClassPermanent, "known")
	transporttest.Eventually(t, "who cannot be trusted is left", func() bool { return relay.Open() == 1 })

	last := dialer(t, knowing(t, d, known)...)
	answered(t, last.Probe(t.Context(), host), "")
	d.Stop()
	d.Start(t)
	works(t, last, host)
	idle := dialer(t, knowing(t, d, known)...)
	before := relay.Open()
	answered(t, idle.Probe(t.Context(), host), "")
	if err := idle.Close(); err != nil {
		t.Error(err)
	}
	transporttest.Eventually(t, "the end closes it", func() bool { return relay.Open() <= before })
}

// TestProbeKeptJump: the same, through a jump host.
func TestProbeKeptJump(t *testing.T) {
	t.Parallel()
	first, target := transporttest.StartSSHD(t), transporttest.StartSSHD(t)
	outer, via, known := relayed(t, first)
	inner, host, behind := relayed(t, target)
	own := dialer(t,
		"Host first", "HostName 127.0.0.1", "HostKeyAlias first", "Port "+strconv.Itoa(via.Port), "IdentityFile "+first.Identity,
		"Host 127.0.0.1", "ProxyJump first", "IdentityFile "+target.Identity,
		"Host *", "IdentityAgent none", "GlobalKnownHostsFile none", "IdentitiesOnly yes",
		"UserKnownHostsFile "+file(t, known+behind+"first "+transporttest.PublicKey(t, first.HostKey)))
	own.Config.Idle = time.Millisecond
	answered(t, own.Probe(t.Context(), host), "")
	transporttest.Eventually(t, "both end when nobody comes", func() bool { return outer.Open() == 0 && inner.Open() == 0 })
	own.Config.Idle = 0
	long := &ssh.Dialer{Config: ssh.Config{ConfigFile: own.Config.ConfigFile}}
	answered(t, long.Probe(t.Context(), host), "")
	if err := says(t, dial(t, long, host)); err != nil {
		t.Error(err)
	}
	for _, r := range []*transporttest.Relay{outer, inner} {
		if n, _ := r.Count(); n != 2 {
			t.Errorf("%d connections, not 2", n)
		}
	}
	if err := long.Close(); err != nil {
		t.Error(err)
	}
	transporttest.Eventually(t, "the end closes all", func() bool { return outer.Open() == 0 && inner.Open() == 0 })
}
