package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report"
)

// Bounds of check --reach.
const (
	reachAtOnce  = 128
	reachTimeout = 30 * time.Second // of one host: one that hangs costs this, and nobody waits for it twice
	maxSkew      = 5 * time.Second  // between a host's clock and ours: what keeps a run from nothing, but reads wrong in logs
)

// reach asks every host, or those selected, what a run needs of it, and says what is wrong. It changes nothing.
func (a *app) reach(ctx context.Context, s *setup, limit string) error {
	ctx, stop := untilSignal(ctx)
	defer stop()
	selection, err := s.selection(limit)
	if err != nil {
		return err
	}
	var results []report.Reached
	for _, h := range s.fleet.Hosts {
		if limit == "" || slices.Contains(selection, h.Name) {
			results = append(results, report.Reached{Host: h.Name})
		}
	}
	serves := map[string]bool{}
	for _, m := range s.fleet.Masters {
		serves[m.Host] = m.Serve
	}
	for _, p := range s.fleet.Proxies {
		serves[p.Host] = true
	}
	var group errgroup.Group
	group.SetLimit(min(reachAtOnce, s.policy.SSH.MaxConnections)) // nobody's time is spent waiting for a connection
	for i := range results {
		group.Go(func() error {
			s.reachOne(ctx, &results[i], serves[results[i].Host])
			return nil
		})
	}
	_ = group.Wait() // every host has a result
	if err := ctx.Err(); err != nil {
		return err
	}
	a.fallbacks(s)
	if a.json {
		for _, r := range results {
			if err := printJSON(a.stdout, r); err != nil {
				return err
			}
		}
	} else {
		report.Reach(a.stdout, results)
	}
	if slices.ContainsFunc(results, func(r report.Reached) bool { return len(r.Wrong) > 0 }) {
		return toldError{failuresError{errors.New("a run could not sync every host")}}
	}
	return nil
}

// reachOne asks one host.
func (s *setup) reachOne(ctx context.Context, r *report.Reached, serves bool) {
	ctx, cancel := context.WithTimeoutCause(ctx, reachTimeout, errors.New("it does not answer within "+reachTimeout.String()))
	defer cancel()
	wrong := func(format string, args ...any) { r.Wrong = append(r.Wrong, fmt.Sprintf(format, args...)) }
	before := time.Now()
	p, err := s.asker().Probe(ctx, r.Host)
	if err != nil {
		wrong("%v", err)
		return
	}
	// The host read its clock somewhere in between.
	r.Took = time.Since(before)
	r.Skew = p.Clock.Sub(before.Add(r.Took / 2)).Round(time.Millisecond)
	r.Rsync, r.Free, r.Reached = p.Rsync, p.Free, true
	if off := r.Skew.Abs() - r.Took/2; off > maxSkew {
		wrong("its clock is off by %v", r.Skew.Round(time.Second))
	}
	for _, reason := range p.Wrong() {
		wrong("%s", reason)
	}
	if p.Free < s.policy.Guard.MinFree {
		wrong("%d bytes are free, and guard: min_free wants %d", p.Free, s.policy.Guard.MinFree)
	}
	if serves {
		if err := s.asker().Serves(ctx, r.Host); err != nil {
			wrong("%v", err)
		}
	}
}
