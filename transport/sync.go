package transport

import (
	"context"
	"errors"
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
func Sync(ctx context.Context, conn Conn, p Pull, w Watch) (Stats, error) {
	if err := p.Validate(); err != nil {
		return Stats{}, &Error{Class: ClassPermanent, Message: Neutral(err.Error()), Err: err}
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
	stdout := &lines{keep: 1, log: func(line string) {
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
	out := &stages{rsync: stdout, after: tail{max: 64 << 10}}
	c.Stdout, c.Log = out, w.Log
	r, err := conn.Run(ctx, c)
	stdout.flush()
	close(latest)
	<-told
	if err != nil {
		return stats, asError(err)
	}
	stats.After = out.after.bytes()
	return stats, ended(&stats, out.now, conn, r)
}

// asError returns err, which a Conn returned, as an *Error.
func asError(err error) error {
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	return &Error{Class: ClassTransient, Message: Neutral(err.Error()), Err: err}
}

// ended judges how the command of a sync ended.
func ended(stats *Stats, at stage, conn Conn, r Result) error {
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
		if _, ok := conn.(Local); ok {
			if err := Missing("rsync", "flock"); err != nil {
				return &Error{Class: ClassMissing, Message: err.Error(), Err: err}
			}
		}
	}
	e := &Error{Program: "rsync", ExitCode: r.ExitCode, Message: summary(r.Stderr)}
	e.Class, e.Source = classify(r.ExitCode, r.Stderr)
	if why := refusal(r.Stderr); why != "" {
		e.Message = why
	}
	if e.Class == ClassBusy {
		e.Message = "another rsync is writing the destination"
	}
	return e
}
