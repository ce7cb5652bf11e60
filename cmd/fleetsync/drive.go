package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/live"
	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report"
	"github.com/fleetsync/fleetsync/orchestrator"
	"github.com/fleetsync/fleetsync/orchestrator/preflight"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/session"
)

// untilSignal bounds what comes before a run begins: a signal ends it at once.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
}

// begin takes the fleet's lock, or ends at a signal. Who gets a session must close it.
func (a *app) begin(ctx context.Context, s *setup, claim session.Claim) (*session.Session, error) {
	c, err := a.session(s)
	if err != nil {
		return nil, err
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	return session.Open(ctx, *c, claim)
}

// start begins the run of a verdict and carries it out. Until it has begun, a signal ends it; stop ends that.
func (a *app) start(ctx context.Context, stop func(), on *session.Session, v preflight.Verdict) error {
	run, err := on.Start(v.Plan, v.Manifest)
	if err != nil {
		return err
	}
	stop()
	return a.drive(ctx, on, run)
}

// drive carries out a run to its end: it wires it to signals, to the screen and to who reads events, and says what it came to.
func (a *app) drive(ctx context.Context, on *session.Session, run *session.Run) error {
	plan := run.State.Plan
	model, held := &orchestrator.Model{}, &heldHosts{}
	screen := live.New(a.stderr, a.terminal(), model.Snapshot)
	view := session.View{Observers: []orchestrator.Observer{held, screen}}
	if screen.Live() {
		view.Model = model
	}
	var events *live.Events
	if a.json {
		events = live.NewEvents(a.stdout)
		view.Observers = append(view.Observers, events)
	}
	signals := a.watchSignals(on.World(), held)
	outcome, err := run.Do(ctx, view)
	terminated := signals.stop()
	// From here on a signal ends the process: all is put back that will be, and who reads may not.
	screen.Close()
	if events != nil {
		events.Close()
	}
	unfinished := run.Finish(ctx)
	report.Run(a.stderr, report.RunReport{
		Now: run.State.Snapshot().Died(), Journal: on.Store.JournalPath(plan.Run), Log: on.Store.LogPath(plan.Run), Command: a.command(),
	})
	switch {
	case err != nil:
		return &runError{run: plan.Run, outcome: outcome, err: err}
	case len(outcome.Out) > 0 || outcome.Result != rollout.ResultDone:
		return toldError{&runError{run: plan.Run, outcome: outcome, terminated: terminated}}
	default:
		return unfinished
	}
}
