package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report"
	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/ui"
	"github.com/fleetsync/fleetsync/orchestrator"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/transport"
)

// drive carries out a plan to its end: it wires the loop to the world and to people.
func (a *app) drive(ctx context.Context, s *setup, pools *pooling.Client, plan *rollout.Plan) (err error) {
	state, err := rollout.NewState(plan)
	if err != nil {
		return err
	}
	journal, err := s.store.Create(plan.Run)
	if err != nil {
		return fail(exitJournal, fmt.Errorf("the journal cannot be made: %w", err), stateHint)
	}
	defer func() { err = errors.Join(err, journal.Close()) }()
	log, err := newRunLog(s.store.LogPath(plan.Run), plan.Run)
	if err != nil {
		return fail(exitJournal, fmt.Errorf("the log cannot be made: %w", err), "")
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	dialer := &transport.Dialer{}
	defer func() { _ = dialer.Close() }() // its connections are of no use any more

	screen := ui.New(a.stderr, a.terminal(), plan)
	settings := s.policy.For(plan.Mode)
	hands := &orchestrator.Hands{
		Plan: plan, Fleet: s.fleet, Rsync: s.policy.Rsync, Checks: settings.Gate.Checks,
		Dialer: dialer, Threshold: s.threshold(),
		Progress: screen.Progress, Log: log.Host,
	}
	if pools != nil {
		hands.Pools, hands.Health = pools, s.policy.Pooling.Health
	}
	held := &heldHosts{}
	observers := []orchestrator.Observer{log, held, screen}
	if a.json {
		observers = append(observers, &jsonEvents{w: a.stdout})
	}
	signals := a.watchSignals(held)
	run := orchestrator.Run{State: state, Journal: journal, Hands: hands, Observers: observers, World: signals.events}
	outcome, runErr := run.Do(ctx)
	terminated := signals.stop()
	screen.Close()

	report.Run(a.stderr, report.RunReport{
		State: state, Journal: s.store.JournalPath(plan.Run), Log: s.store.LogPath(plan.Run), Command: a.command(),
	})
	code := codeOf(outcome, terminated)
	if runErr != nil {
		if code != exitNotRestored {
			code = exitInternal
		}
		return fail(code, runErr, "fleetsync show "+plan.Run)
	}
	if code != exitDone {
		return ended(code)
	}
	return nil
}
