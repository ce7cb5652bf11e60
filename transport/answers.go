package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"
)

// Answers tells whether a host is there: whether something that speaks ssh answers at its address. Nobody logs in, and
// nothing is said of whether one could. Nil: it is worth trying. An error: nothing answers, something else does, its jump
// host cannot be used, or ssh cannot be given its address; one of a context that ended wraps its cause.
//
// A host that hangs up before it says a word, or says that it takes nobody else just now, is there: its sshd has too many
// half-made connections (MaxStartups, sshd_config(5)), and a command may get through. One that refuses connections is not: it is
// asked once, and who cares about an sshd that is just being restarted asks again.
//
// It takes ConnectTimeout at most, 10 s if that is nowhere set, and a jump host's connection before that: that one is kept for
// who comes next, and the host's own does not count among MaxConnections. The caller bounds how many hosts are asked at once.
//
// Of some hosts nothing can be known without a login, and the answer is nil: local ones; those that
// only the OpenSSH program can reach (Fallbacks); and, if that is the client, those behind a jump host.
func (d *Dialer) Answers(ctx context.Context, h Host) error {
	if h.Local {
		return nil
	}
	h, err := h.addressed()
	if err != nil {
		return err
	}
	route, err := d.route(h)
	if err != nil || (route.via != nil && d.SSH.Client == ClientOpenSSH) {
		return nil
	}
	return d.links.answers(ctx, route)
}

// answers asks by a connection of its own, which is not one of p's.
func (p *links) answers(ctx context.Context, r *route) error {
	for again := true; ; again = false {
		var via *link
		if r.via != nil {
			var err error
			if via, err = p.use(ctx, r.via, true); err != nil {
				return viaError(r.via, err)
			}
		}
		err := r.answers(ctx, via)
		gone := via != nil && via.isDown()
		if via != nil {
			p.giveBack(via)
		}
		// A jump host found dead may have been started anew.
		if err == nil || !again || !gone || ctx.Err() != nil {
			return err
		}
	}
}

func (r *route) answers(ctx context.Context, via *link) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.probe, fmt.Errorf("no answer within %v", r.probe))
	defer cancel()
	conn, err := r.dial(ctx, via)
	if errors.Is(err, syscall.ECONNRESET) {
		return nil // as below
	}
	if err != nil {
		return r.failed(err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // what is waited for ends with it
	defer stop()
	line, err := firstLine(conn, func(line string) bool { return strings.HasPrefix(line, "SSH-") })
	switch {
	case err == nil && (strings.HasPrefix(line, "SSH-2.0-") || strings.HasPrefix(line, "SSH-1.99-")): // RFC 4253, 4.2 and 5.1
		takeLeave(conn)
		return nil
	case ctx.Err() != nil:
		return r.failed(context.Cause(ctx))
	case line == "" && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)), busy(line):
		return nil
	case line == "":
		return r.failed(why(ctx, err))
	default:
		return r.failed(fmt.Errorf("what answers does not speak ssh 2: it says %q", excerpt(line)))
	}
}

// takeLeave ends a connection as one that sshd has nothing to complain about: it logs an error when somebody leaves who did
// not say who he is, or before he has heard all (seen: OpenSSH 9.2). What comes of it does not matter.
func takeLeave(conn net.Conn) {
	hard := time.AfterFunc(slack, func() { _ = conn.Close() })
	defer hard.Stop()
	_, _ = io.WriteString(conn, "SSH-2.0-fleetsync\r\n")
	if half, ok := conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(conn, maxGreeting))
	}
}

// busy tells whether sshd says so: beyond MaxStartups (sshd.c: drop_connection; since 8.6 in words), or
// for now to this address (PerSourcePenalties, 9.8 and later).
func busy(line string) bool {
	return strings.HasPrefix(line, "Exceeded MaxStartups") || strings.HasPrefix(line, "Not allowed at this time")
}
