package rsync

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/internal/peer"
)

// rsyncPort is where an rsync daemon listens (rsync(1)).
const rsyncPort = "873"

// greeting is what an rsync daemon says first (clientserver.c: start_daemon), before it is asked for a module.
const greeting = "@RSYNCD: "

// ProbeDaemon tells whether the rsync daemon of an endpoint, rsync://ADDRESS[:PORT], greets who connects from this machine; nil
// if it does. No module is asked for, so that one that serves nobody just now (max connections, hosts allow,
// pre-xfer exec) greets all the same. It waits until ctx ends; then the error wraps the context's cause.
func ProbeDaemon(ctx context.Context, endpoint string) error {
	address, ok := strings.CutPrefix(endpoint, "rsync://")
	if !ok {
		return fmt.Errorf("%q is no endpoint of an rsync daemon", endpoint)
	}
	address = strings.TrimRight(address, "/")
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(strings.Trim(address, "[]"), rsyncPort)
	}
	if err := awaitGreeting(ctx, address); err != nil {
		return fmt.Errorf("no rsync daemon answers at %s: %w", transport.Neutral(address), err)
	}
	return nil
}

// awaitGreeting waits for the greeting of a daemon. The error says no more than why, and is neutralised.
func awaitGreeting(ctx context.Context, address string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return peer.Reason(ctx, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // what is waited for ends with it
	defer stop()
	line, err := peer.ReadLine(conn, func(string) bool { return true })
	switch {
	case err == nil && strings.HasPrefix(line, greeting):
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case line != "":
		return fmt.Errorf("what answers is none: it says %q", peer.Excerpt(line))
	default:
		return peer.Reason(ctx, err)
	}
}
