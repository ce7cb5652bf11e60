package ssh

import (
	"context"
	"errors"
	"time"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"github.com/fleetsync/fleetsync/transport"
)

// openSession opens a session on the connection, as soon as one more may be open.
func (l *link) openSession(ctx context.Context) (xssh.Channel, <-chan *xssh.Request, error) {
	type opened struct {
		channel  xssh.Channel
		requests <-chan *xssh.Request
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
		l.pool.background.Go(func() {
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
			l.pool.background.Go(func() {
				if o := <-got; o.err == nil {
					_ = o.channel.Close()
					xssh.DiscardRequests(o.requests)
				}
				l.sessions <- struct{}{}
			})
			return nil, nil, transport.Stopped(ctx)
		}
		if o.err == nil {
			return o.channel, o.requests, nil
		}
		if no := (*xssh.OpenChannelError)(nil); !errors.As(o.err, &no) {
			// The connection has ended, or the host does not keep to the protocol.
			select {
			case <-l.down:
				return nil, nil, l.lost()
			case <-time.After(slack):
				l.sessions <- struct{}{}
				return nil, nil, l.failed(o.err)
			}
		}
		// The host takes fewer sessions than maxSessions: wait for one of the others to end, unless there is none.
		l.pool.mu.Lock()
		fewer := l.limit > 1
		if fewer {
			l.limit--
		}
		l.pool.mu.Unlock()
		if !fewer {
			l.sessions <- struct{}{}
			// It may not be done yet with one that has ended: sshd may read our next request with that one's end (channels.c).
			if refused++; refused < maxRefused {
				select {
				case <-time.After(slack >> (maxRefused - refused)):
				case <-ctx.Done():
				}
				continue
			}
			return nil, nil, failure(transport.ClassTransient, o.err, "%s does not open a session: %v", l.route.address, o.err)
		}
	}
}

// session is one command on the wire.
type session struct {
	channel xssh.Channel
	cut     chan struct{} // closed to end the command, by closing its lifeline
	isCut   bool          // cut is closed; only run reads and writes it
	ended   chan struct{} // closed when the host has ended the session
	code    int           // valid once ended is closed; -1: the host did not say
	refused bool          // the host does not run commands; valid once feed has returned
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
func (s *session) follow(requests <-chan *xssh.Request) {
	defer close(s.ended)
	for r := range requests {
		switch r.Type {
		case "exit-status":
			var status struct{ Code uint32 }
			if xssh.Unmarshal(r.Payload, &status) == nil {
				s.code = int(status.Code & 0xff)
			}
		case "exit-signal":
			var signal struct {
				Name       string
				CoreDumped bool
				Message    string
				Language   string
			}
			if xssh.Unmarshal(r.Payload, &signal) == nil {
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
	ok, err := s.channel.SendRequest("exec", true, xssh.Marshal(struct{ Command string }{line}))
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
