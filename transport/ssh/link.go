package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/fleetsync/fleetsync/transport"
)

// link is one native connection, from the first wish for it to its end.
type link struct {
	pool  *links
	key   string
	route *route
	jump  bool // others go through it, and no command

	want chan struct{} // closed when somebody wants to use it
	up   chan struct{} // closed when it can be used, or err says why not
	down chan struct{} // closed when it was up and is of no use any more: why
	stop func()        // ends it
	err  error         // an *Error
	why  error

	conn     ssh.Conn
	channels <-chan ssh.NewChannel // that the host wants to open
	requests <-chan *ssh.Request   // that it has besides
	wire     *wire                 // there from the start if somebody has asked whether the host is there
	via      *link                 // the jump host's
	release  func()                // gives via back
	trusted  bool                  // the host has proved who it is
	sessions chan struct{}         // a token for each session that may be opened
	jumped   chan struct{}         // a token for each connection that is being made through it

	// Under the pool's lock.
	wanted bool
	users  int
	timer  *time.Timer // until it was idle for too long
	limit  int         // of sessions: fewer than maxSessions if the host has said so
}

// errEnded is why a link ends that nobody uses.
var errEnded = errors.New("the connection was closed")

// live opens the connection, watches it and clears it away. It ends when ctx does.
func (l *link) live(ctx context.Context) {
	defer l.stop()
	leave, err := l.open(ctx)
	forget := func() {
		l.pool.mu.Lock()
		l.pool.shut(l)
		l.pool.mu.Unlock()
	}
	if err == nil {
		close(l.up)
		l.why = l.watch(ctx)
		forget()
		close(l.down)
		_ = l.wire.Close() // it is given up
	} else {
		l.err = err
		forget()
		close(l.up)
	}
	leave()
}

// open connects and proves who both are. Leave clears away what it took, also after an error.
func (l *link) open(ctx context.Context) (leave func(), err error) {
	var undo []func()
	leave = func() {
		for i := len(undo) - 1; i >= 0; i-- {
			undo[i]()
		}
	}
	r := l.route
	kept := l.wire != nil
	if kept {
		undo = append(undo, l.pool.leave, l.release)
	}
	known, err := l.pool.known.of(r)
	if err != nil {
		if kept {
			takeLeave(l.wire)
		}
		return leave, &transport.Error{Class: transport.ClassPermanent, Message: transport.Neutral("ssh: " + err.Error()), Err: err}
	}
	if kept {
		if err := l.takeUp(ctx, known); err == nil || l.trusted || ctx.Err() != nil || !transient(err) {
			return leave, err
		}
		// It has died since.
		undo = undo[:1]
		l.release()
	} else if !l.jump {
		if err := l.pool.enter(ctx, false); err != nil {
			return leave, l.failed(err)
		}
		undo = append(undo, l.pool.leave)
	}
	for again := true; ; again = false {
		release := func() {}
		if r.via != nil {
			if l.via, err = l.pool.use(ctx, r.via, true); err != nil {
				return leave, viaError(r.via, err)
			}
			via := l.via
			release = func() { l.pool.giveBack(via) }
			passed, err := via.pass(ctx)
			if err != nil {
				release()
				return leave, l.failed(err)
			}
			defer passed()
		}
		if l.wire, err = l.connect(ctx); err == nil {
			undo = append(undo, release)
			break
		}
		// A jump host found dead may have been started anew.
		gone := again && r.via != nil && l.via.isDown()
		release()
		if !gone {
			return leave, l.failed(err)
		}
	}
	if err := l.handshake(ctx, known); err != nil {
		_ = l.wire.Close() // the error says enough
		return leave, err
	}
	return leave, nil
}

// takeUp goes on with a connection that was kept, when somebody wants it.
func (l *link) takeUp(ctx context.Context, known known) error {
	select {
	case <-l.want:
	case <-ctx.Done():
		takeLeave(l.wire)
		return l.failed(errEnded)
	}
	passed := func() {}
	var err error
	if l.via != nil {
		passed, err = l.via.pass(ctx)
	}
	if err == nil {
		err = l.handshake(ctx, known)
		passed()
	}
	if err != nil {
		_ = l.wire.Close() // the error says enough
	}
	return err
}

func transient(err error) bool {
	e := (*transport.Error)(nil)
	return errors.As(err, &e) && e.Class == transport.ClassTransient
}

// pass waits until one more connection may be made through a jump host; passed says that it was.
func (l *link) pass(ctx context.Context) (passed func(), err error) {
	select {
	case l.jumped <- struct{}{}:
		return func() { <-l.jumped }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func viaError(r *route, err error) error {
	e := &transport.Error{Class: transport.ClassTransient, Message: err.Error(), Err: err}
	if cause := (*transport.Error)(nil); errors.As(err, &cause) {
		e.Class, e.Message = cause.Class, cause.Message
	}
	e.Message = fmt.Sprintf("jump host %s: %s", transport.Neutral(r.address), e.Message)
	return e
}

func (l *link) failed(err error) error { return l.route.failed(err) }

func (r *route) failed(err error) error {
	return &transport.Error{Class: transport.ClassTransient, Message: transport.Neutral(fmt.Sprintf("ssh: connect to %s port %d: %v",
		r.address, r.port, err)), Err: err}
}

// connect returns a connection on which the host has begun to speak: one that does not holds up nobody's handshake.
func (l *link) connect(ctx context.Context) (*wire, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, l.route.timeout, fmt.Errorf("no answer within %v", l.route.timeout))
	defer cancel()
	conn, err := l.route.dial(ctx, l.via)
	if err != nil {
		return nil, err
	}
	w := &wire{Conn: conn, ahead: make([]byte, 256)}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // what is waited for ends with it
	n, err := conn.Read(w.ahead)
	w.ahead = w.ahead[:n]
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = conn.Close() // the error says enough
		return nil, err
	}
	return w, nil
}

// dial connects to the host, through the connection to its jump host if it has one. The error says no more than why.
func (r *route) dial(ctx context.Context, via *link) (net.Conn, error) {
	address := net.JoinHostPort(r.address, strconv.Itoa(r.port))
	var conn net.Conn
	var err error
	if via != nil {
		conn, err = (&ssh.Client{Conn: via.conn}).DialContext(ctx, "tcp", address)
	} else {
		// ssh's own keep-alives are enough (watch).
		conn, err = (&net.Dialer{KeepAlive: -1}).DialContext(ctx, r.network, address)
	}
	if err != nil {
		return nil, transport.ConnectionError(ctx, err)
	}
	return conn, nil
}

// handshake sets l.conn, and what the host may want of it.
func (l *link) handshake(ctx context.Context, known known) error {
	r, p := l.route, l.pool
	select {
	case p.shaking <- struct{}{}:
		defer func() { <-p.shaking }()
	case <-ctx.Done():
		return l.failed(ctx.Err())
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.timeout, fmt.Errorf("no handshake within %v", r.timeout))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = l.wire.Close() })

	proof := p.identities.prove(r)
	defer proof.close()
	var refused *untrusted
	config := &ssh.ClientConfig{
		Config:            ssh.Config{KeyExchanges: r.kex, Ciphers: r.ciphers, MACs: r.macs},
		User:              r.user,
		HostKeyAlgorithms: known.algorithms(r),
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			err := known.check(r, key)
			l.trusted = err == nil
			_ = errors.As(err, &refused)
			return err
		},
		Auth: []ssh.AuthMethod{ssh.PublicKeys(proof.signers...)},
	}
	permanent := func(message string) error {
		return &transport.Error{Class: transport.ClassPermanent, Message: transport.Neutral("ssh: " + message)}
	}
	if len(config.HostKeyAlgorithms) == 0 {
		return permanent(fmt.Sprintf("what is known of the host keys of %s and HostKeyAlgorithms have nothing in common: change one of them",
			r.known))
	}
	conn, channels, requests, err := ssh.NewClientConn(l.wire, net.JoinHostPort(r.address, strconv.Itoa(r.port)), config)
	if !stop() && err == nil {
		_ = conn.Close()
		err = errEnded
	}
	mismatch := (*ssh.AlgorithmNegotiationError)(nil)
	switch {
	case err == nil:
		l.conn, l.channels, l.requests = conn, channels, requests
		return nil
	case refused != nil:
		return permanent(refused.message)
	case ctx.Err() != nil:
		return l.failed(context.Cause(ctx))
	case errors.As(err, &mismatch) && mismatch.What == "host key" && len(known.keys) == 0 && len(known.authorities) > 0:
		return permanent(fmt.Sprintf("%s shows no host certificate, and no key of its own is known, only an authority (%s): have its key signed",
			r.known, strings.Join(r.knownFiles, ", ")))
	case errors.As(err, &mismatch) && mismatch.What == "host key":
		return permanent(fmt.Sprintf("%s has no host key of a type that is known: it has %s, known are %s (%s); check its fingerprints, then add its keys there",
			r.known, strings.Join(mismatch.RequestedAlgorithms, ", "), strings.Join(mismatch.SupportedAlgorithms, ", "),
			strings.Join(r.knownFiles, ", ")))
	case errors.As(err, &mismatch):
		return permanent(mismatch.Error())
	case l.trusted:
		// It may pass: what looks keys up for sshd may fail when everybody asks at once.
		message := proof.refused(r.user)
		if !strings.Contains(err.Error(), "unable to authenticate") { // that says no more
			message += fmt.Sprintf(" (%v)", err)
		}
		return &transport.Error{Class: transport.ClassTransient, Message: transport.Neutral("ssh: " + message), Err: err}
	default:
		return l.failed(err)
	}
}

// watch waits for the end of a connection and says why it came. A host that says nothing is asked for
// a word, as ssh does (ssh_config(5), ServerAliveInterval).
func (l *link) watch(ctx context.Context) error {
	lost := make(chan error, 1)
	l.pool.attended.Go(func() { lost <- l.refuse() })
	tick := time.NewTicker(l.route.alive)
	defer tick.Stop()
	answer := make(chan struct{}, 1)
	asking, missed, heard := false, 0, l.wire.heard.Load()
	for {
		select {
		case <-ctx.Done():
			return errEnded
		case err := <-lost:
			return fmt.Errorf("the connection was lost: %w", err)
		case <-answer:
			asking, missed = false, 0
		case <-tick.C:
			if now := l.wire.heard.Load(); now != heard {
				heard, missed = now, 0
			} else if !asking {
				asking = true
				l.pool.attended.Go(func() {
					// The answer, even if it is no, is what matters; without one it ends with the connection.
					if _, _, err := l.conn.SendRequest("keepalive@openssh.com", true, nil); err == nil {
						answer <- struct{}{}
					}
				})
			} else if missed++; missed >= l.route.aliveMax {
				return fmt.Errorf("the host did not say a word for %v", l.route.alive*time.Duration(l.route.aliveMax+1))
			}
		}
	}
}

// refuse says no to all that the host wants, until the connection ends, and returns why it did. What else ssh.NewClient
// offers takes four more goroutines for each connection.
func (l *link) refuse() error {
	channels, requests := l.channels, l.requests
	for channels != nil || requests != nil {
		select {
		case c, ok := <-channels:
			if !ok {
				channels = nil
				continue
			}
			_ = c.Reject(ssh.UnknownChannelType, "not here") // the connection is gone, then
		case r, ok := <-requests:
			if !ok {
				requests = nil
				continue
			}
			_ = r.Reply(false, nil) // an answer is what a keep-alive of the host's wants
		}
	}
	return l.conn.Wait()
}

// lost is the error of a command whose connection is down.
func (l *link) lost() error {
	return &transport.Error{Class: transport.ClassTransient, Message: transport.Neutral(fmt.Sprintf("ssh: %s port %d: %v", l.route.address,
		l.route.port, l.why)), Err: l.why}
}

// session opens a session on the connection, when there is room for one more.
func (l *link) session(ctx context.Context) (ssh.Channel, <-chan *ssh.Request, error) {
	type opened struct {
		channel  ssh.Channel
		requests <-chan *ssh.Request
		err      error
	}
	refused := 0
	for {
		select {
		case <-l.sessions:
		case <-l.down:
			return nil, nil, l.lost()
		case <-ctx.Done():
			return nil, nil, transport.Stopped(ctx)
		}
		got := make(chan opened, 1)
		l.pool.attended.Go(func() {
			var o opened
			o.channel, o.requests, o.err = l.conn.OpenChannel("session", nil)
			got <- o
		})
		var o opened
		select {
		case o = <-got:
		case <-l.down:
			return nil, nil, l.lost()
		case <-ctx.Done():
			l.pool.attended.Go(func() {
				if o := <-got; o.err == nil {
					_ = o.channel.Close()
					ssh.DiscardRequests(o.requests)
				}
				l.sessions <- struct{}{}
			})
			return nil, nil, transport.Stopped(ctx)
		}
		if o.err == nil {
			return o.channel, o.requests, nil
		}
		if no := (*ssh.OpenChannelError)(nil); !errors.As(o.err, &no) {
			// Its end does that, or a host that does not keep to the protocol.
			select {
			case <-l.down:
				return nil, nil, l.lost()
			case <-time.After(slack):
				l.sessions <- struct{}{}
				return nil, nil, l.failed(o.err)
			}
		}
		// The host takes fewer sessions than we thought; unless it takes none, wait for one of the others.
		l.pool.mu.Lock()
		fewer := l.limit > 1
		if fewer {
			l.limit--
		}
		l.pool.mu.Unlock()
		if !fewer {
			l.sessions <- struct{}{}
			// It may just not have done with one that has ended: what we send after that may be read with it (channels.c).
			if refused++; refused < maxRefused {
				select {
				case <-time.After(slack >> (maxRefused - refused)):
				case <-ctx.Done():
				}
				continue
			}
			return nil, nil, &transport.Error{Class: transport.ClassTransient,
				Message: transport.Neutral(fmt.Sprintf("ssh: %s does not open a session: %v", l.route.address, o.err)), Err: o.err}
		}
	}
}

// wire is a network connection that tells whether something came. It reads at one go what comes first, the line that says who the
// host is: the library reads that byte by byte, some forty calls of the system for each host. Our own such line
// goes with what follows it at once; the host waits for neither, since it has begun to speak (RFC 4253, 4.2).
type wire struct {
	net.Conn
	ahead []byte // what came first and is still to be read
	spoke bool   // something was written
	held  []byte // what was written first and is still to be sent
	heard atomic.Int64
}

// Write is called by one goroutine at a time, as Read is.
func (w *wire) Write(p []byte) (int, error) {
	if !w.spoke {
		w.spoke, w.held = true, bytes.Clone(p)
		return len(p), nil
	}
	if w.held == nil {
		return w.Conn.Write(p)
	}
	all := append(w.held, p...)
	w.held = nil
	n, err := w.Conn.Write(all)
	return max(0, n-len(all)+len(p)), err
}

// Read is called by one goroutine at a time (net.Conn allows more, ssh has one).
func (w *wire) Read(p []byte) (int, error) {
	if len(w.ahead) > 0 {
		n := copy(p, w.ahead)
		if w.ahead = w.ahead[n:]; len(w.ahead) == 0 {
			w.ahead = nil
		}
		return n, nil
	}
	n, err := w.Conn.Read(p)
	w.heard.Add(int64(n))
	return n, err
}
