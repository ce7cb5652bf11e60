// Package peer is what probes have in common: reading the first line of whoever answers on a port, and saying why none came. It
// bounds what is read, and neutralises what is told of it.
package peer

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/fleetsync/fleetsync/transport"
)

// Reason is why a connection failed: its context ended, if it did. What net adds is said already.
func Reason(ctx context.Context, err error) error {
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

// Excerpt returns a few neutralised words of what a remote program said.
func Excerpt(line string) string {
	const most = 80
	line = strings.TrimSpace(transport.Neutral(line))
	if len(line) > most {
		line = strings.ToValidUTF8(line[:most], "") + "…"
	}
	return line
}

// MaxSaid bounds all that a peer may say before what is waited for.
const MaxSaid = 64 << 10

// ReadLine reads lines until one is as wanted, and returns it without its end. With an error it returns the last that
// was not empty, or a part of it.
func ReadLine(from io.Reader, wanted func(line string) bool) (string, error) {
	limited := &io.LimitedReader{R: from, N: MaxSaid}
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
