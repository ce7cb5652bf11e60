package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report"
	"github.com/fleetsync/fleetsync/orchestrator/manifest"
	"github.com/fleetsync/fleetsync/orchestrator/preflight"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/session"
)

func (a *app) verifyCommand() *cobra.Command {
	o := verifyOptions{most: 20}
	c := &cobra.Command{
		Use:     "verify",
		GroupID: groupSee,
		Short:   "See whether every host still holds what its last run left there",
		Long: `Ask every host for the metadata digest of its tree (paths, types, sizes, mtimes in
nanoseconds, modes, link targets) and compare it with what its last run left
there; with --content the content of every file too. Of a host that differs, the
paths that drifted are named. Nothing is changed, and no source is asked.

Ends 3 if a host has drifted, cannot be asked, or is not known to hold a tree.

` + exitCodes,
		Example: `  fleetsync verify
  fleetsync verify --limit role:proxies --content`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if flag := c.Flags().Lookup("limit"); flag.Changed && o.limit == "" {
				return usage(errors.New("--limit is empty"), "leave it out to mean all")
			}
			if o.most < 0 {
				return usage(errors.New("--most must not be negative"), "")
			}
			return a.verify(c.Context(), o)
		},
	}
	limitFlag(c, &o.limit)
	c.Flags().BoolVar(&o.content, "content", false, "read every file, and compare contents too")
	c.Flags().IntVar(&o.most, "most", o.most, "name at most this many `paths` of a host")
	return c
}

type verifyOptions struct {
	limit   string
	content bool
	most    int
}

func (a *app) verify(ctx context.Context, o verifyOptions) error {
	s, err := a.load()
	if err != nil {
		return err
	}
	if err := s.programs(); err != nil {
		return err
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	names, err := s.destinations(o.limit)
	if err != nil {
		return err
	}
	known, err := s.history().Known()
	if err != nil {
		return err
	}
	last := make([]rollout.LastTree, len(names))
	for i, name := range names {
		last[i] = known.Trees.Of(name)
	}
	v := preflight.Verifier{Hosts: s.asker(), Content: o.content, Most: o.most, Manifest: func(run string) *manifest.Manifest {
		m, err := manifest.Load(s.store.ManifestPath(run))
		if err != nil {
			a.say().Warn("the manifest of run %s is not here, so that drifted paths cannot be named: %v", run, err)
		}
		return m
	}}
	results := v.Verify(ctx, last)
	if ctx.Err() != nil {
		return session.ErrInterrupted
	}
	if !a.json {
		report.Verify(a.stdout, results, a.command())
	} else if err := printJSON(a.stdout, results...); err != nil {
		return err
	}
	wrong := 0
	for _, r := range results {
		if r.Verdict != preflight.IsSame {
			wrong++
		}
	}
	if wrong > 0 {
		return failuresError{fmt.Errorf("of %d of %d hosts it cannot be said that they hold what their last run left there", wrong, len(results))}
	}
	return nil
}

// destinations returns the hosts that a run would sync and that are selected, in the fleet's order.
func (s *setup) destinations(limit string) ([]string, error) {
	selection, err := s.selection(limit)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, h := range s.fleet.Hosts {
		if !s.isMaster(h.Name) && (limit == "" || slices.Contains(selection, h.Name)) {
			names = append(names, h.Name)
		}
	}
	if len(names) == 0 {
		return nil, usage(errors.New("no host is selected but masters"), "fleetsync masters status")
	}
	return names, nil
}
