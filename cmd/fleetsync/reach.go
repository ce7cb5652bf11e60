package main

import (
	"context"
	"errors"
	"slices"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report"
	"github.com/fleetsync/fleetsync/orchestrator/preflight"
	"github.com/fleetsync/fleetsync/orchestrator/session"
)

// reach asks every host, or those selected, what a run needs of it, and says what is wrong. It changes nothing.
func (a *app) reach(ctx context.Context, s *setup, limit string) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	selection, err := s.selection(limit)
	if err != nil {
		return err
	}
	var names []string
	for _, h := range s.fleet.Hosts {
		if limit == "" || slices.Contains(selection, h.Name) {
			names = append(names, h.Name)
		}
	}
	results := preflight.Reach(ctx, s.asker(), s.fleet, s.policy, names)
	if ctx.Err() != nil {
		return session.ErrInterrupted
	}
	a.fallbacks(s)
	if !a.json {
		report.Reach(a.stdout, results)
	} else if err := printJSON(a.stdout, results...); err != nil {
		return err
	}
	if slices.ContainsFunc(results, func(r preflight.Reached) bool { return len(r.Wrong) > 0 }) {
		return toldError{failuresError{errors.New("a run could not sync every host")}}
	}
	return nil
}
