package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	xssh "golang.org/x/crypto/ssh"

	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/internal/peer"
)

// startJump waits until one more connection may be made through this jump host; done says that it was.
func (l *link) startJump(ctx context.Context) (done func(), err error) {
	select {
	case l.jumping <- struct{}{}:
		return func() { <-l.jumping }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// failure is why a command cannot be run over ssh: the message, neutralised, is all that people read.
func failure(class transport.Class, cause error, format string, args ...any) error {
	return &transport.Error{Class: class, Message: transport.Neutral("ssh: " + fmt.Sprintf(format, args...)), Err: cause}
}

// viaError is why a host cannot be reached through the jump host of route r.
func viaError(r *route, err error) error {
	e := &transport.Error{Class: transport.ClassTransient, Message: err.Error(), Err: err}
	if cause := (*transport.Error)(nil); errors.As(err, &cause) {
		e.Class, e.Message = cause.Class, cause.Message
	}
	e.Message = fmt.Sprintf("jump host %s: %s", transport.Neutral(r.address), e.Message)
	return e
}

// failed is why there is no connection.
func (l *link) failed(err error) error { return l.route.failed(err) }

func (r *route) failed(err error) error {
	return failure(transport.ClassTransient, err, "connect to %s port %d: %v", r.address, r.port, err)
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
		conn, err = (&xssh.Client{Conn: via.conn}).DialContext(ctx, "tcp", address)
	} else {
		// ssh's own keep-alives are enough (watch).
		conn, err = (&net.Dialer{KeepAlive: -1}).DialContext(ctx, r.network, address)
	}
	if err != nil {
		return nil, peer.Reason(ctx, err)
	}
	return conn, nil
}
