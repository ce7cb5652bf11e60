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
	"github.com/fleetsync/fleetsync/transport/rsync"
	"github.com/fleetsync/fleetsync/transport/ssh"
	"github.com/fleetsync/fleetsync/transport/transporttest"
)

// peer listens on a loopback port until the test ends, does something with each connection and then closes it.
func peer(t *testing.T, do func(net.Conn)) (port int) {
	t.Helper()
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
				do(conn)
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return l.Addr().(*net.TCPAddr).Port
}

// talk says something.
func talk(text string) func(net.Conn) {
	return func(c net.Conn) { _, _ = c.Write([]byte(text)) }
}

// mute says something and then nothing until the other end hangs up.
func mute(text string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = c.Write([]byte(text))
		for b := make([]byte, 64); ; {
			if _, err := c.Read(b); err != nil {
				return
			}
		}
	}
}

// reset hangs up so that the other end gets an error, not an end.
func reset(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }

// endless says something again and again until nobody listens.
func endless(text string) func(net.Conn) {
	return func(c net.Conn) {
		for {
			if _, err := c.Write([]byte(text)); err != nil {
				return
			}
		}
	}
}

// closedPort is one that nobody listens on.
func closedPort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

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

// TestAnswers: planted faults seen to fail it: no bound on what comes before the line; a peer that hangs up taken for one
// that is not there; a whole line not waited for; the words of the peer passed on as they are; no timeout of our own.
func TestAnswers(t *testing.T) {
	t.Parallel()
	d := transporttest.StartSSHD(t)
	for name, c := range map[string]struct {
		port int
		want string // empty: it is there
	}{
		"sshd":                  {d.Port, ""},
		"a line":                {peer(t, talk("SSH-2.0-x\r\n")), ""},
		"a line, no return":     {peer(t, talk("SSH-2.0-x\n")), ""},
		"a line of two":         {peer(t, talk("SSH-1.99-x\r\n")), ""},
		"lines before":          {peer(t, mute("hello\r\n\r\nSSH is here\r\nSSH-2.0-x\r\n")), ""},
		"many lines before":     {peer(t, mute(strings.Repeat("x\r\n", 2000)+"SSH-2.0-x\r\n")), ""},
		"busy, without a word":  {peer(t, func(net.Conn) {}), ""},
		"busy, reset":           {peer(t, reset), ""},
		"busy":                  {peer(t, talk("Exceeded MaxStartups\r\n")), ""},
		"busy with penalties":   {peer(t, talk("Not allowed at this time\r\n")), ""},
		"closed":                {closedPort(t), "connection refused"},
		"silent":                {peer(t, mute("")), "no answer within 1s"},
		"half a line":           {peer(t, mute("SSH-2.0-x")), "no answer within 1s"},
		"a greeting, no line":   {peer(t, mute("welcome\r\n")), "no answer within 1s"},
		"half a line, the end":  {peer(t, talk("SSH-2.0-x")), `does not speak ssh 2: it says "SSH-2.0-x"`},
		"an old one":            {peer(t, talk("SSH-1.5-x\r\n")), `does not speak ssh 2: it says "SSH-1.5-x"`},
		"something else":        {peer(t, talk("HTTP/1.1 400 \x1b[2JBad\x9b Request\r\n\r\n")), `it says "HTTP/1.1 400 [2JBad`},
		"endless lines":         {peer(t, endless("x\x1b\r\n")), `it says "x"`},
		"an endless line":       {peer(t, endless("x\x1b\x00")), `it says "xxx`},
		"endless, and no words": {peer(t, endless("\r\n")), "says too much"},
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
		port := peer(t, func(c net.Conn) {
			cancel(cause)
			mute("")(c)
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
		own.SSH.MaxConnections = 1
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
		port := closedPort(t)
		for name, c := range map[string]struct {
			config ssh.Config
			host   transport.Host
			want   string
		}{
			"local":       {ssh.Config{}, transport.Host{Name: "mw1", Port: port, Local: true}, ""},
			"the program": {ssh.Config{Options: []string{"ProxyCommand=false"}}, transport.Host{Name: "mw1", Port: port}, ""},
			"of the program": {ssh.Config{Client: ssh.ClientOpenSSH, Options: []string{"ProxyCommand=false"}},
				transport.Host{Name: "mw1", Port: port}, ""},
			"its jump host": {ssh.Config{Client: ssh.ClientOpenSSH, Options: []string{"ProxyJump=mw2"}},
				transport.Host{Name: "mw1", Port: port}, ""},
			"but by the port": {ssh.Config{Client: ssh.ClientOpenSSH, Options: []string{"HostName=127.0.0.1"}},
				transport.Host{Name: "mw1", Port: port}, "refused"},
			"an option, by us": {ssh.Config{}, transport.Host{Name: "-oProxyCommand=x"}, "is no address"},
		} {
			c.config.ConfigFile = "none"
			own := ssh.Dialer{SSH: c.config}
			answered(t, own.Probe(t.Context(), c.host), c.want)
			if n := len(own.Fallbacks()); (n == 1) != (name == "the program") {
				t.Errorf("%s: %d fallbacks", name, n)
			}
		}
	})
}

// TestAnswersJump: planted faults seen to fail it: the jump host left out.
func TestAnswersJump(t *testing.T) {
	t.Parallel()
	first, target := transporttest.StartSSHD(t), transporttest.StartSSHD(t)
	relay, via, known := relayed(t, first)
	silent, closed := peer(t, mute("")), closedPort(t)
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
		{peer(t, func(net.Conn) {}), ""}, // busy
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

// TestAnswersKept: what was opened to ask is the connection of the first command. Planted faults seen to fail it: nothing is
// kept; what has been closed meanwhile is not made anew; it is not counted; it does not make room; it is
// never idle for too long; an open connection is not taken for an answer; its jump host's is not given back.
func TestAnswersKept(t *testing.T) {
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
	short.SSH.Idle = time.Millisecond
	answered(t, short.Probe(t.Context(), host), "")
	transporttest.Eventually(t, "the idle connection is closed", func() bool { return relay.Open() == 1 })
	works(t, short, host)
	connections(t, relay, 3)
	transporttest.Eventually(t, "that, too", func() bool { return relay.Open() == 1 })

	one := dialer(t, knowing(t, d, known, fmt.Sprintf("[127.0.0.1]:%d %s", d.Port, transporttest.PublicKey(t, d.HostKey)))...)
	one.SSH.MaxConnections = 1
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

// TestAnswersKeptJump: the same, through a jump host.
func TestAnswersKeptJump(t *testing.T) {
	t.Parallel()
	first, target := transporttest.StartSSHD(t), transporttest.StartSSHD(t)
	outer, via, known := relayed(t, first)
	inner, host, behind := relayed(t, target)
	own := dialer(t,
		"Host first", "HostName 127.0.0.1", "HostKeyAlias first", "Port "+strconv.Itoa(via.Port), "IdentityFile "+first.Identity,
		"Host 127.0.0.1", "ProxyJump first", "IdentityFile "+target.Identity,
		"Host *", "IdentityAgent none", "GlobalKnownHostsFile none", "IdentitiesOnly yes",
		"UserKnownHostsFile "+file(t, known+behind+"first "+transporttest.PublicKey(t, first.HostKey)))
	own.SSH.Idle = time.Millisecond
	answered(t, own.Probe(t.Context(), host), "")
	transporttest.Eventually(t, "both end when nobody comes", func() bool { return outer.Open() == 0 && inner.Open() == 0 })
	own.SSH.Idle = 0
	long := &ssh.Dialer{SSH: ssh.Config{ConfigFile: own.SSH.ConfigFile}}
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

// TestGreets: planted faults seen to fail it: any line taken for a greeting; no end with the context; no bound.
func TestGreets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	full := transporttest.StartDaemon(t, rsync.DaemonConfig{Module: "common", Path: dir, Parameters: []string{"hosts deny = *"}})
	at := func(port int) string { return fmt.Sprintf("rsync://127.0.0.1:%d", port) }
	for name, c := range map[string]struct {
		endpoint, want string
	}{
		"rsyncd":             {full.Endpoint, ""},
		"with a slash":       {full.Endpoint + "/", ""},
		"a line":             {at(peer(t, mute("@RSYNCD: 31.0 md5\n"))), ""},
		"no endpoint":        {"127.0.0.1:\x1b1", "is no endpoint"},
		"closed":             {at(closedPort(t)), "connection refused"},
		"silent":             {at(peer(t, mute(""))), "enough"},
		"half a line":        {at(peer(t, mute("@RSYNCD: 31"))), "enough"},
		"hangs up":           {at(peer(t, func(net.Conn) {})), "without a word"},
		"resets":             {at(peer(t, reset)), "reset by peer"},
		"sshd":               {at(peer(t, talk("SSH-2.0-x\r\n@RSYNCD: 31.0\n"))), `it says "SSH-2.0-x"`},
		"an error":           {at(peer(t, talk("@ERROR: \x1b[2Jno\n"))), `it says "@ERROR: [2Jno"`},
		"an endless line":    {at(peer(t, endless("x\x1b\x00"))), `it says "xxx`},
		"a line that is cut": {at(peer(t, talk("@RSYNCD: 31"))), `it says "@RSYNCD: 31"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("enough"))
			defer cancel()
			answered(t, rsync.ProbeDaemon(ctx, c.endpoint), c.want)
		})
	}
}
