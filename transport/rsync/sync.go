package rsync

import (
	"context"
	"errors"

	"github.com/fleetsync/fleetsync/transport"
)

// Watch is what a caller wants to hear of a sync while it runs. The zero Watch hears nothing.
type Watch struct {
	// Progress gets the newest state of the transfer, one call at a time; what it has no time for
	// is dropped, so a slow one never holds up the transfer, only the return of Sync. Without it
	// rsync is not asked for it.
	Progress func(Progress)
	// Log gets every line that rsync says, neutralised; one call at a time for each of the two
	// streams. One that blocks holds up the transfer.
	Log func(line string)
}

// Sync runs p on the host of conn and waits for its end. The Stats are what rsync told before its
// end, also of a sync that failed. An error is an *Error.
func Sync(ctx context.Context, conn transport.Conn, p Pull, w Watch) (Stats, error) {
	if err := p.Validate(); err != nil {
		return Stats{}, &transport.Error{Class: transport.ClassPermanent, Message: transport.Neutral(err.Error()), Err: err}
	}
	var stats Stats
	latest := make(chan Progress, 1)
	told := make(chan struct{})
	go func() {
		defer close(told)
		for now := range latest {
			if w.Progress != nil { // arguments of the policy may ask for it, too
				w.Progress(now)
			}
		}
	}()
	stdout := &transport.Lines{Keep: 1, Log: func(line string) {
		if now, ok := parseProgress(line); ok {
			select {
			case <-latest:
			default:
			}
			latest <- now // never blocks: nobody else sends
			return
		}
		stats.parse(line)
		if w.Log != nil {
			w.Log(line)
		}
	}}
	p.progress = w.Progress != nil
	c := p.Command()
	out := &stages{rsync: stdout, after: transport.Tail{Max: 64 << 10}}
	c.Stdout, c.Log = out, w.Log
	r, err := conn.Run(ctx, c)
	stdout.Flush()
	close(latest)
	<-told
	if err != nil {
		return stats, asError(err)
	}
	stats.After = out.after.Bytes()
	return stats, ended(&stats, out.now, conn, r)
}

// asError returns err, which a Conn returned, as an *Error.
func asError(err error) error {
	var e *transport.Error
	if errors.As(err, &e) {
		return err
	}
	return &transport.Error{Class: transport.ClassTransient, Message: transport.Neutral(err.Error()), Err: err}
}

// ended judges how the command of a sync ended.
func ended(stats *Stats, at stage, conn transport.Conn, r transport.Result) error {
	if r.ExitCode != 0 && at == stageBefore {
		return scriptFailed(at, r)
	}
	// 24 is always rsync's (around.sh).
	if r.ExitCode != 0 && r.ExitCode != 24 && at == stageAfter {
		return scriptFailed(at, r)
	}
	switch r.ExitCode {
	case 0:
		return nil
	case 24:
		stats.Warning = summary(r.Stderr)
		if stats.Warning == "" {
			stats.Warning = "some files vanished from the source"
		}
		return nil
	case exitMissing:
		if _, ok := conn.(transport.Local); ok {
			if err := transport.Missing("rsync", "flock"); err != nil {
				return &transport.Error{Class: transport.ClassMissing, Message: err.Error(), Err: err}
			}
		}
	}
	e := &transport.Error{Program: "rsync", ExitCode: r.ExitCode, Message: summary(r.Stderr)}
	e.Class, e.Source = classify(r.ExitCode, r.Stderr)
	if why := refusal(r.Stderr); why != "" {
		e.Message = why
	}
	if e.Class == transport.ClassBusy {
		e.Message = "another rsync is writing the destination"
	}
	return e
}
