package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"github.com/fleetsync/fleetsync/transport"
)

// native runs commands on a host by a connection of our own (golang.org/x/crypto/ssh).
type native struct {
	pool  *links
	route *route
	host  transport.Host
	grace time.Duration
}

// Run implements Conn.
func (n *native) Run(ctx context.Context, c transport.Command) (transport.Result, error) {
	if ctx.Err() != nil {
		return transport.Result{}, transport.Stopped(ctx)
	}
	for again := true; ; again = false {
		l, err := n.pool.use(ctx, n.route, false)
		if err != nil {
			return transport.Result{}, err
		}
		// Not before: many may wait, each with its 2 KiB.
		line, err := remoteLine(c, n.host, n.grace)
		if err != nil {
			n.pool.giveBack(l)
			return transport.Result{}, err
		}
		channel, requests, err := l.session(ctx)
		if err == nil {
			r, err := l.run(ctx, channel, requests, line, c, n.grace)
			n.pool.giveBack(l)
			return r, err
		}
		n.pool.giveBack(l)
		// Found dead before anything was begun on it: the host may have been started anew.
		if again && l.isDown() && ctx.Err() == nil {
			continue
		}
		return transport.Result{}, err
	}
}

func (l *link) isDown() bool {
	select {
	case <-l.down:
		return true
	default:
		return false
	}
}

// slack is what a host's answers may take, on top of the grace period.
const slack = time.Second

// run runs a command line in a session and waits for the session's end.
func (l *link) run(ctx context.Context, channel ssh.Channel, requests <-chan *ssh.Request, line string, c transport.Command,
	grace time.Duration) (transport.Result, error) {
	kept := &transport.Tail{Max: 64 << 10}
	said := &transport.Lines{Log: c.Log, Keep: 20}
	stdout, stderr := newGate(kept), newGate(said)
	if c.Stdout != nil {
		stdout = newGate(c.Stdout)
	}
	s := &session{channel: channel, cut: make(chan struct{}), ended: make(chan struct{}), code: -1}

	// The session's own goroutines end with it, or with the connection.
	l.pool.attended.Go(func() {
		s.follow(requests)
		l.sessions <- struct{}{}
	})
	fed := make(chan struct{})
	l.pool.attended.Go(func() {
		defer close(fed)
		s.feed(line, c.Stdin)
	})
	// These end with the caller's writers, should they block.
	heard, broken := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(heard)
		if err := pass(stdout, channel); err != nil {
			broken <- err
			_, _ = io.Copy(io.Discard, channel) // what still comes must not block the rest
		}
	}()
	complained := make(chan struct{})
	go func() {
		defer close(complained)
		_ = pass(stderr, channel.Stderr()) // lines takes all; the rest is the session's end
	}()
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		<-s.ended
		<-heard
		<-complained
		<-fed
	}()

	var writeError error
	down, cancelled := l.down, ctx.Done()
	var late <-chan time.Time
	cut := func() {
		if !s.isCut {
			s.isCut = true
			close(s.cut)
		}
		if g := transport.GraceOf(grace); late == nil {
			late = time.After(g + g/2 + slack)
		}
	}
	done := false
	for waiting := true; waiting; {
		select {
		case <-finished:
			waiting, done = false, true
		case <-cancelled:
			cancelled = nil
			cut()
		case writeError = <-broken:
			cut() // nobody listens any more
		case <-down:
			down = nil
			late = time.After(slack) // what has come is still passed on
		case <-late:
			waiting = false
		}
	}
	cut()
	if !done {
		l.pool.attended.Go(func() { _ = channel.Close() })
	}
	code := s.exitCode()
	r := transport.Result{ExitCode: code}
	if code < 0 {
		r.ExitCode = 255 // as the program has it
	}
	// Nothing is passed on any more once the caller has the result.
	if stdout.shut() && c.Stdout == nil {
		r.Stdout = kept.Bytes()
	}
	if stderr.shut() {
		said.Flush()
		r.Stderr = said.String()
	}
	switch {
	case done && code == 0 && writeError == nil:
		return r, nil // done is done, even if the context ended meanwhile
	case ctx.Err() != nil:
		return r, transport.Stopped(ctx)
	case writeError != nil:
		return r, &transport.Error{Class: transport.ClassPermanent, Message: writeError.Error(), Err: writeError}
	case s.refused:
		return r, &transport.Error{Class: transport.ClassTransient,
			Message: fmt.Sprintf("ssh: %s refuses to run a command", transport.Neutral(l.route.address))}
	case done && code >= 0:
		return r, nil
	}
	// The end of a connection is the end of its sessions first.
	select {
	case <-l.down:
		return r, l.lost()
	case <-time.After(slack):
		return r, &transport.Error{Class: transport.ClassTransient,
			Message: fmt.Sprintf("ssh: %s ended the session and did not say how the command ended", transport.Neutral(l.route.address))}
	}
}

// pass passes on what a command says. Most say little, and all of them are waited for at once: the two buffers of 32 KiB that io.Copy
// makes for each were more than the rest of a connection (measured).
func pass(to io.Writer, from io.Reader) error {
	const most = 32 << 10
	buffer := make([]byte, 512)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if n == len(buffer) && n < most {
			buffer = make([]byte, most)
		}
	}
}

// session is one command on the wire.
type session struct {
	channel ssh.Channel
	cut     chan struct{} // closed to end the command
	isCut   bool          // Run's own
	ended   chan struct{} // closed when the host has ended the session
	code    int           // valid once it has; -1: it did not say
	refused bool          // valid once it is fed
}

// exitCode returns how the command ended, -1 if that is not known.
func (s *session) exitCode() int {
	select {
	case <-s.ended:
		return s.code
	default:
		return -1
	}
}

// follow reads how the command ended (RFC 4254, 6.10).
func (s *session) follow(requests <-chan *ssh.Request) {
	defer close(s.ended)
	for r := range requests {
		switch r.Type {
		case "exit-status":
			var status struct{ Code uint32 }
			if ssh.Unmarshal(r.Payload, &status) == nil {
				s.code = int(status.Code & 0xff)
			}
		case "exit-signal":
			var signal struct {
				Name       string
				CoreDumped bool
				Message    string
				Language   string
			}
			if ssh.Unmarshal(r.Payload, &signal) == nil {
				s.code = 128 + int(unix.SignalNum("SIG"+signal.Name))
			}
		}
		if s.code == 255 {
			s.code = 254
		}
		if r.WantReply {
			_ = r.Reply(false, nil) // the connection is gone, then
		}
	}
}

// feed starts the command, gives it its input and then holds its lifeline until the session is cut or
// has ended. It alone writes: the library's CloseWrite and Write must not meet.
func (s *session) feed(line string, stdin []byte) {
	ok, err := s.channel.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{line}))
	if err != nil || !ok {
		s.refused = err == nil
		_ = s.channel.Close() // if it is not gone already
		return
	}
	const part = 32 << 10
	for len(stdin) > 0 {
		select {
		case <-s.cut:
			stdin = nil
			continue
		default:
		}
		n := min(len(stdin), part)
		if _, err := s.channel.Write(stdin[:n]); err != nil {
			break // the session has ended: that tells more
		}
		stdin = stdin[n:]
	}
	select {
	case <-s.cut:
		_ = s.channel.CloseWrite() // if it is not gone already
	case <-s.ended:
	}
}

// gate passes on what a command says until it is shut.
type gate struct {
	to   io.Writer
	turn chan struct{}
	off  atomic.Bool
}

var errShut = errors.New("nobody listens any more")

func newGate(to io.Writer) *gate { return &gate{to: to, turn: make(chan struct{}, 1)} }

func (g *gate) Write(p []byte) (int, error) {
	g.turn <- struct{}{}
	defer func() { <-g.turn }()
	if g.off.Load() {
		return 0, errShut
	}
	return g.to.Write(p)
}

// shut returns when nothing is passed on any more: true, or false if a writer blocks for good.
func (g *gate) shut() bool {
	g.off.Store(true)
	select {
	case g.turn <- struct{}{}:
		<-g.turn
		return true
	case <-time.After(slack):
		return false
	}
}
