package ssh

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"github.com/fleetsync/fleetsync/transport"
)

// slack is what a host's answers may take, on top of the grace period.
const slack = time.Second

// run runs a command line in a session and waits for the session's end.
func (l *link) run(ctx context.Context, s *session, requests <-chan *xssh.Request, line string, c transport.Command, grace time.Duration,
) (transport.Result, error) {
	kept := &transport.Tail{Max: transport.KeptOutput}
	said := &transport.Lines{Log: c.Log, Keep: transport.KeptLines}
	stdout, stderr := newGate(kept), newGate(said)
	if c.Stdout != nil {
		stdout = newGate(c.Stdout)
	}
	finished, broken := l.start(s, requests, line, c.Stdin, stdout, stderr)

	var writeError error
	down, cancelled := l.down, ctx.Done()
	var late <-chan time.Time
	cut := func() {
		if !s.isCut {
			s.isCut = true
			close(s.cut)
		}
		if late == nil {
			late = time.After(grace + grace/2 + slack)
		}
	}
	done := false
	for waiting := true; waiting; {
		select {
		case <-finished:
			waiting, done = false, true
		case <-cancelled:
			cancelled = nil
			cut()
		case writeError = <-broken:
			cut() // its output has nowhere to go
		case <-down:
			down = nil
			late = time.After(slack) // what has arrived is still passed on
		case <-late:
			waiting = false
		}
	}
	cut()
	if !done {
		l.pool.background.Go(func() { _ = s.channel.Close() })
	}
	// Nothing is passed on any more once the caller has the result.
	code := s.exitCode()
	r := transport.Result{ExitCode: code}
	if code < 0 {
		r.ExitCode = 255 // as the ssh program has it
	}
	if stdout.shut() && c.Stdout == nil {
		r.Stdout = kept.Bytes()
	}
	if stderr.shut() {
		said.Flush()
		r.Stderr = said.String()
	}
	switch {
	case done && code == 0 && writeError == nil:
		return r, nil // done is done, even if the context ended meanwhile
	case ctx.Err() != nil:
		return r, transport.Stopped(ctx)
	case writeError != nil:
		return r, &transport.Error{Class: transport.ClassPermanent, Message: writeError.Error(), Err: writeError}
	case s.refused:
		return r, failure(transport.ClassTransient, nil, "%s refuses to run a command", l.route.address)
	case done && code >= 0:
		return r, nil
	}
	// A connection that is lost ends its sessions a little before it is known to be down.
	select {
	case <-l.down:
		return r, l.lost()
	case <-time.After(slack):
		return r, failure(transport.ClassTransient, nil, "%s ended the session and did not say how the command ended", l.route.address)
	}
}

// start starts the command of a session and what passes its input and output on. Finished is closed when the host has ended the
// session and all its output is passed on; broken gets the error of stdout's writer.
func (l *link) start(s *session, requests <-chan *xssh.Request, line string, stdin []byte, stdout, stderr io.Writer,
) (finished <-chan struct{}, broken <-chan error) {
	// These end with the session, or with the connection.
	l.pool.background.Go(func() {
		s.follow(requests)
		l.sessions <- struct{}{}
	})
	fed := make(chan struct{})
	l.pool.background.Go(func() {
		defer close(fed)
		s.feed(line, stdin)
	})
	// These may be blocked by the caller's writers, for whom nobody waits.
	failed := make(chan error, 1)
	var copied sync.WaitGroup
	copied.Go(func() {
		if err := copyOutput(stdout, s.channel); err != nil {
			failed <- err
			_, _ = io.Copy(io.Discard, s.channel) // what still comes must not block the rest
		}
	})
	copied.Go(func() {
		_ = copyOutput(stderr, s.channel.Stderr()) // Lines takes all; an error of the session is told by its end
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-s.ended
		copied.Wait()
		<-fed
	}()
	return done, failed
}

// copyOutput passes on what a command prints. Its buffer begins small, because most commands print little and many run at once: the two
// of 32 KiB that io.Copy makes for each command took more memory than the rest of a connection (measured).
func copyOutput(to io.Writer, from io.Reader) error {
	const most = 32 << 10
	buffer := make([]byte, 512)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if n == len(buffer) && n < most {
			buffer = make([]byte, most)
		}
	}
}
