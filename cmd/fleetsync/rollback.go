package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/session"
	"github.com/fleetsync/fleetsync/transport"
)

func (a *app) rollbackCommand() *cobra.Command {
	o := runOptions{mode: inventory.ModeSync}
	c := &cobra.Command{
		Use:     "rollback RUN",
		GroupID: groupRun,
		Short:   "Put back the trees that hosts had before a run",
		Long: `Put back the tree that each host had before a run, exactly, from what the host
itself kept then: canaries first, judged at the gate, then the others in batches.
No tree is taken from anywhere, so no proxy is taken out of its pools. A host that
is down is named and not tried: type the same again with --limit when it is back.

Canaries always keep what a sync replaces; the other hosts do where the policy
says keep: {hosts: all}. Masters are not among the hosts of a rollback: see
masters undo.

` + exitCodes,
		Example: `  fleetsync rollback 20260203-1412
  fleetsync rollback 20260203-1412 --limit role:canaries`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeRuns,
		RunE: func(c *cobra.Command, args []string) error {
			if err := o.check(c); err != nil {
				return err
			}
			return a.rollback(c.Context(), args[0], o)
		},
	}
	limitFlag(c, &o.limit)
	o.waitFlag(c)
	o.forceFlag(c)
	return c
}

func (a *app) rollback(ctx context.Context, name string, o runOptions) error {
	s, err := a.load()
	if err != nil {
		return err
	}
	undone, err := s.find(name)
	if err != nil {
		return withHint(err, a.command()+" history; a run of another master is rolled back there")
	}
	if err := s.programs(); err != nil {
		return err
	}
	run := s.newRun()
	on, err := a.begin(ctx, s, session.Claim{Run: run, Reason: "rollback", Wait: o.wait})
	if err != nil {
		return err
	}
	defer on.Close(ctx)
	prep, stop := untilSignal(ctx)
	defer stop()
	if err := on.RefuseOthers(prep, run); err != nil {
		return err
	}
	was, err := a.read(s, undone)
	if err != nil {
		return err
	}
	r := rollout.Request{
		Run: run, Mode: rollout.ModeRollback, Made: time.Now().UTC(), Limit: o.limit, Force: o.force, Undoes: undone, MaxDelete: -1,
	}
	if r.Selection, r.Left, err = a.kept(s, was.State, o.limit); err != nil {
		return err
	}
	if err := s.hooks(&r); err != nil {
		return err
	}
	req := &request{Request: r, settings: s.policy.For(inventory.ModeSync)}
	req.plan = func() (*rollout.Plan, error) { return rollout.NewRollback(s.fleet, req.settings, req.Request) }
	plan, err := s.planOf(req)
	if err != nil {
		return err
	}
	if plan, err = a.withoutDown(prep, s, req, plan); err != nil {
		return err
	}
	defer a.pruneManifests(s)
	return a.start(ctx, stop, on, plan, nil)
}

// kept returns the hosts that a run has changed and that can be rolled back, and the masters that it has changed
// too. A host that kept nothing is an error: people must know that not all will be as it was.
func (a *app) kept(s *setup, was *rollout.State, limit string) (names []string, left []rollout.Left, err error) {
	if was.Plan.Undoes != "" {
		return nil, nil, fail(exitInvalid, fmt.Errorf("run %s is a rollback itself", was.Plan.Run), a.command()+" sync brings the tree of the origin")
	}
	selection, err := s.selection(limit)
	if err != nil {
		return nil, nil, err
	}
	keeps := map[string]bool{}
	for _, h := range was.Plan.Hosts {
		keeps[h.Name] = h.Keep
	}
	trees, _, err := a.trees(s)
	if err != nil {
		return nil, nil, err
	}
	var nothing, since []string
	later := "" // the newest run that has changed one of the hosts since
	for _, r := range was.Report() {
		_, known := s.fleet.Host(r.Host)
		switch {
		case r.Standing == rollout.Untouched, r.Standing == rollout.Down, r.Standing == rollout.RolledBack, !known:
		case limit != "" && !slices.Contains(selection, r.Host):
		case s.isMaster(r.Host):
			left = append(left, rollout.Left{Host: r.Host, Reason: "a master: " + a.command() + " masters undo --on " + r.Host})
		case trees.Of(r.Host).Run > was.Plan.Run: // names of runs begin with their time
			since, later = append(since, r.Host), max(later, trees.Of(r.Host).Run)
		case keeps[r.Host]:
			names = append(names, r.Host)
		default:
			nothing = append(nothing, r.Host)
		}
	}
	switch {
	case len(since) > 0:
		return nil, nil, fail(exitInvalid, fmt.Errorf("run %s has changed %d hosts since run %s: %.300s", later, len(since), was.Plan.Run, inventory.FoldNames(since)),
			"take that back first: "+a.command()+" rollback "+later)
	case len(nothing) > 0:
		folded := inventory.FoldNames(nothing)
		hint := "keep: {hosts: all} in the policy lets every host keep its tree from now on"
		if len(names) > 0 {
			hint = a.command() + " rollback " + was.Plan.Run + " --limit " + transport.Word(inventory.FoldNames(names)) + "   # the others; " + hint
		}
		return nil, nil, fail(exitInvalid, fmt.Errorf("%d hosts have kept nothing of what run %s replaced: %.300s", len(nothing), was.Plan.Run, folded), hint)
	case len(names) == 0:
		return nil, nil, fail(exitInvalid, errors.New("run "+was.Plan.Run+" has left no host changed that could be rolled back"), a.command()+" show "+was.Plan.Run)
	}
	return names, left, nil
}
