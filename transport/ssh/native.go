package ssh

import (
	"context"
	"time"

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
		// Not made before there is a connection: thousands may wait for one, and a line is 2 KiB.
		line, err := remoteLine(c, n.host, n.grace)
		if err != nil {
			n.pool.giveBack(l)
			return transport.Result{}, err
		}
		channel, requests, err := l.openSession(ctx)
		if err == nil {
			s := &session{channel: channel, cut: make(chan struct{}), ended: make(chan struct{}), code: -1}
			r, err := l.run(ctx, s, requests, line, c, n.grace)
			n.pool.giveBack(l)
			return r, err
		}
		n.pool.giveBack(l)
		// The connection was lost before the command began: the host may have been restarted.
		if again && l.isDown() && ctx.Err() == nil {
			continue
		}
		return transport.Result{}, err
	}
}
