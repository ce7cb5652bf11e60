package ssh

import (
	"context"
	"errors"
	"fmt"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"github.com/fleetsync/fleetsync/transport"
)

// link is one native connection to a host. Its goroutine (live) moves it through these states:
//
//	state     what it is                                       entered when
//	probed    the host has said that it speaks ssh             Probe has connected and adopt keeps the connection
//	opening   it is being connected and both sides proved      a command or a jump wants it (use)
//	up        sessions can be opened on it; idle if users is 0 the handshake is done
//	failed    err says why there is no connection              connecting or the handshake did not succeed
//	down      why says how it was lost                         the host is gone, or it was ended (end)
//
// probed -> opening -> up -> down, and opening -> failed; a probed one that dies before its handshake connects once more.
// A link that is failed or down is forgotten by its pool, and the next command makes a new one. The pool ends it (probed, opening
// without users, up and idle) when it is idle for too long, when others wait for its place, or when the Dialer is closed.
type link struct {
	pool  *links
	key   string
	route *route
	jump  bool // others go through it, and no command

	want chan struct{} // closed when somebody wants to use it: probed -> opening
	up   chan struct{} // closed when it is up, or failed if err is set
	down chan struct{} // closed when it is down
	stop func()        // ends it
	err  error         // an *Error: why it failed; set before up is closed
	why  error         // why it is down; set before down is closed

	conn     xssh.Conn
	channels <-chan xssh.NewChannel // that the host wants to open
	requests <-chan *xssh.Request   // that it has besides
	wire     *wire                  // set from the start if it begins as probed
	via      *link                  // the jump host's
	release  func()                 // gives via back
	trusted  bool                   // the host has proved who it is
	sessions chan struct{}          // a token for each session that may be opened
	jumping  chan struct{}          // a token for each connection that is being made through it

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
		l.pool.end(l)
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

// open takes a probed link, or none, to up: it connects, and each side proves who it is. The caller calls leave when the
// connection is of no use any more, also after an error: it gives back the slot and the use of the jump host's connection.
func (l *link) open(ctx context.Context) (leave func(), err error) {
	var undo []func()
	leave = func() {
		for i := len(undo) - 1; i >= 0; i-- {
			undo[i]()
		}
	}
	r := l.route
	probed := l.wire != nil
	if probed {
		undo = append(undo, l.pool.leaveSlot, l.release)
	}
	known, err := l.pool.known.of(r)
	if err != nil {
		if probed {
			hangUp(l.wire)
		}
		return leave, failure(transport.ClassPermanent, err, "%v", err)
	}
	if probed {
		if err := l.resume(ctx, known); err == nil || l.trusted || ctx.Err() != nil || !transient(err) {
			return leave, err
		}
		// It has died since it was probed: connect anew.
		undo = undo[:1]
		l.release()
	} else if !l.jump {
		if err := l.pool.takeSlot(ctx, false); err != nil {
			return leave, l.failed(err)
		}
		undo = append(undo, l.pool.leaveSlot)
	}
	for again := true; ; again = false {
		release := func() {}
		if r.via != nil {
			if l.via, err = l.pool.use(ctx, r.via, true); err != nil {
				return leave, viaError(r.via, err)
			}
			via := l.via
			release = func() { l.pool.giveBack(via) }
			jumped, err := via.startJump(ctx)
			if err != nil {
				release()
				return leave, l.failed(err)
			}
			defer jumped()
		}
		if l.wire, err = l.connect(ctx); err == nil {
			undo = append(undo, release)
			break
		}
		// The jump host may have been restarted: its connection is made anew once.
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

// resume waits until somebody wants a probed link, and does its handshake.
func (l *link) resume(ctx context.Context, known known) error {
	select {
	case <-l.want:
	case <-ctx.Done():
		hangUp(l.wire)
		return l.failed(errEnded)
	}
	jumped := func() {}
	var err error
	if l.via != nil {
		jumped, err = l.via.startJump(ctx)
	}
	if err == nil {
		err = l.handshake(ctx, known)
		jumped()
	}
	if err != nil {
		_ = l.wire.Close() // the error says enough
	}
	return err
}

// transient tells whether another try may succeed.
func transient(err error) bool {
	e := (*transport.Error)(nil)
	return errors.As(err, &e) && e.Class == transport.ClassTransient
}

// watch waits for the end of a connection and returns why it came. A host that is silent is sent keep-alives, as ssh does
// (ssh_config(5), ServerAliveInterval).
func (l *link) watch(ctx context.Context) error {
	lost := make(chan error, 1)
	l.pool.background.Go(func() { lost <- l.refuse() })
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
				l.pool.background.Go(func() {
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

// refuse rejects every channel and request of the host until the connection ends, and returns why it did. ssh.NewClient would do
// that too, with four more goroutines for each connection.
func (l *link) refuse() error {
	channels, requests := l.channels, l.requests
	for channels != nil || requests != nil {
		select {
		case c, ok := <-channels:
			if !ok {
				channels = nil
				continue
			}
			_ = c.Reject(xssh.UnknownChannelType, "not here") // the connection is gone, then
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
	return failure(transport.ClassTransient, l.why, "%s port %d: %v", l.route.address, l.route.port, l.why)
}

// isDown tells whether the connection was up and is lost.
func (l *link) isDown() bool {
	select {
	case <-l.down:
		return true
	default:
		return false
	}
}
