package transport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

// rsyncPort is where an rsync daemon listens (rsync(1)).
const rsyncPort = "873"

// greeting is what an rsync daemon says first (clientserver.c: start_daemon), before it is asked for a module.
const greeting = "@RSYNCD: "

// Greets tells whether the rsync daemon of an endpoint, rsync://ADDRESS[:PORT], greets who connects from this machine; nil
// if it does. No module is asked for, so that one that serves nobody just now (max connections, hosts allow,
// pre-xfer exec) greets all the same. It waits until ctx ends; then the error wraps the context's cause.
func Greets(ctx context.Context, endpoint string) error {
	address, ok := strings.CutPrefix(endpoint, "rsync://")
	if !ok {
		return fmt.Errorf("%q is no endpoint of an rsync daemon", endpoint)
	}
	address = strings.TrimRight(address, "/")
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(strings.Trim(address, "[]"), rsyncPort)
	}
	if err := greet(ctx, address); err != nil {
		return fmt.Errorf("no rsync daemon answers at %s: %w", Neutral(address), err)
	}
	return nil
}

// greet waits for the greeting of a daemon. The error says no more than why, and is neutralised.
func greet(ctx context.Context, address string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return why(ctx, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // what is waited for ends with it
	defer stop()
	line, err := firstLine(conn, func(string) bool { return true })
	switch {
	case err == nil && strings.HasPrefix(line, greeting):
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case line != "":
		return fmt.Errorf("what answers is none: it says %q", excerpt(line))
	default:
		return why(ctx, err)
	}
}

// why is why a connection failed: its context ended, if it did. What net adds is said already.
func why(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		return op.Err
	}
	if errors.Is(err, io.EOF) {
		return errors.New("it hung up without a word")
	}
	return err
}

// excerpt returns a few neutralised words of what a remote program said.
func excerpt(line string) string {
	const most = 80
	line = strings.TrimSpace(Neutral(line))
	if len(line) > most {
		line = strings.ToValidUTF8(line[:most], "") + "…"
	}
	return line
}

// maxGreeting bounds all that a peer may say before what is waited for.
const maxGreeting = 64 << 10

// firstLine reads lines until one is as wanted, and returns it without its end. With an error it returns the last that
// was not empty, or a part of it.
func firstLine(from io.Reader, wanted func(line string) bool) (string, error) {
	limited := &io.LimitedReader{R: from, N: maxGreeting}
	r := bufio.NewReader(limited)
	last := ""
	for {
		line, err := r.ReadString('\n')
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			last = line
		}
		switch {
		case err != nil && limited.N == 0:
			return last, errors.New("it says too much")
		case err != nil || wanted(line):
			return last, err
		}
	}
}
