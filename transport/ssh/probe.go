package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"

	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/internal/peer"
)

// Probe tells whether a host is there: whether something that speaks ssh answers at its address. Nobody logs in, and
// nothing is said of whether one could. Nil: it is worth trying. An error: nothing answers, something else does, its jump
// host cannot be used, or ssh cannot be given its address; one of a context that ended wraps its cause.
//
// A host that hangs up before it says a word, or says that it takes nobody else just now, is there: its sshd has too many
// half-made connections (MaxStartups, sshd_config(5)), and a command may get through. One that refuses connections is not: it is
// asked once, and who cares about an sshd that is just being restarted asks again.
//
// It takes ConnectTimeout at most, 10 s if that is nowhere set, and a jump host's connection before that; and it waits until one
// more connection may be open. What was opened is kept a while for the first command, if there is room for
// others; one that the host has closed meanwhile is made anew. The caller bounds how many hosts are asked at once.
//
// Of some hosts nothing can be known without a login, and the answer is nil: local ones; those that
// only the OpenSSH program can reach (Fallbacks); and, if that is the client, those behind a jump host.
func (d *Dialer) Probe(ctx context.Context, h transport.Host) error {
	if h.Local {
		return nil
	}
	h, err := addressed(h)
	if err != nil {
		return err
	}
	route, err := d.route(h)
	if err != nil || (route.via != nil && d.Config.Client == ClientOpenSSH) {
		return nil
	}
	return d.links.probe(ctx, route, d.Config.Client != ClientOpenSSH)
}

// probe asks by a connection of its own, which counts against the limit; keep has it adopted by p, if there is room, for the
// first command.
func (p *links) probe(ctx context.Context, r *route, keep bool) error {
	if p.isUp(r) {
		return nil
	}
	for again := true; ; again = false {
		release, jumped := func() {}, func() {}
		var via *link
		if r.via != nil {
			var err error
			if via, err = p.use(ctx, r.via, true); err != nil {
				return viaError(r.via, err)
			}
			release = func() { p.giveBack(via) }
		}
		done, err := p.takeProbeSlot(ctx)
		if err == nil && via != nil {
			if jumped, err = via.startJump(ctx); err != nil {
				done()
			}
		}
		if err != nil {
			release()
			return r.failed(err)
		}
		w, err := r.identify(ctx, via)
		jumped()
		if w != nil && keep && p.adopt(ctx, r, w, via, release) {
			return nil
		}
		if w != nil {
			hangUp(w)
		}
		done()
		gone := via != nil && via.isDown()
		release()
		// The jump host may have been restarted: its connection is made anew once.
		if err == nil || !again || !gone || ctx.Err() != nil {
			return err
		}
	}
}

// identify returns a connection on which the host has said that it speaks ssh. Without an error and without a connection the host
// is there, but takes nobody else just now.
func (r *route) identify(ctx context.Context, via *link) (*wire, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.probe, fmt.Errorf("no answer within %v", r.probe))
	defer cancel()
	conn, err := r.dial(ctx, via)
	if errors.Is(err, syscall.ECONNRESET) {
		return nil, nil // as below
	}
	if err != nil {
		return nil, r.failed(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // what is waited for ends with it
	var heard bytes.Buffer
	line, err := peer.ReadLine(io.TeeReader(conn, &heard), func(line string) bool { return strings.HasPrefix(line, "SSH-") })
	running := stop()
	if running && err == nil && (strings.HasPrefix(line, "SSH-2.0-") || strings.HasPrefix(line, "SSH-1.99-")) { // RFC 4253, 4.2 and 5.1
		return &wire{Conn: conn, ahead: heard.Bytes()}, nil
	}
	_ = conn.Close() // what was heard says enough
	switch {
	case !running:
		return nil, r.failed(context.Cause(ctx))
	case line == "" && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)), busy(line):
		return nil, nil
	case line == "":
		return nil, r.failed(peer.Reason(ctx, err))
	default:
		return nil, r.failed(fmt.Errorf("what answers does not speak ssh 2: it says %q", peer.Excerpt(line)))
	}
}

// hangUp ends a connection in a way that leaves no error in the host's log: sshd complains about a client that leaves without its
// version line, or before it has read all that was sent (seen: OpenSSH 9.2).
func hangUp(w *wire) {
	conn := w.Conn
	defer conn.Close()
	hard := time.AfterFunc(slack, func() { _ = conn.Close() })
	defer hard.Stop()
	_, _ = io.WriteString(conn, "SSH-2.0-fleetsync\r\n")
	if half, ok := conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(conn, peer.MaxSaid))
	}
}

// busy tells whether a line is what sshd says when it takes nobody else: beyond MaxStartups (sshd.c: drop_connection; since 8.6),
// or for a while from this address (PerSourcePenalties, 9.8 and later).
func busy(line string) bool {
	return strings.HasPrefix(line, "Exceeded MaxStartups") || strings.HasPrefix(line, "Not allowed at this time")
}
