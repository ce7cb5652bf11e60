package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/orchestrator/journal"
)

func (a *app) resumeCommand() *cobra.Command {
	wait := false
	c := &cobra.Command{
		Use:     "resume RUN",
		GroupID: groupRun,
		Short:   "Go on with a run that died, halted or was interrupted",
		Long: `Go on with a run of this machine that died, halted or was interrupted. What is
done is not done again; steps that never ended are; hosts that failed get new
attempts. Nothing is assumed that may have changed: pool objects are looked at
again, and taken out again if somebody put them back meanwhile.

A run of another master is not resumed here: see recover.

` + exitCodes,
		Example:           "  fleetsync resume 20260203-1412",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeRuns,
		RunE:              func(c *cobra.Command, args []string) error { return a.resume(c.Context(), args[0], wait) },
	}
	c.Flags().BoolVar(&wait, "wait", false, "wait for a lock that somebody else holds")
	return c
}

func (a *app) resume(ctx context.Context, name string, wait bool) error {
	s, err := a.load()
	if err != nil {
		return err
	}
	run, err := s.store.Find(name)
	if err != nil {
		return fail(exitJournal, err, a.command()+" history; a run of another master is not resumed here: "+a.command()+" recover")
	}
	if err := s.programs(); err != nil {
		return err
	}
	j, err := a.begin(ctx, s, run, "resume", wait)
	if err != nil {
		return err
	}
	defer j.end(ctx)
	if err := j.reopen(run); err != nil {
		return err
	}
	prep, stop := untilSignal(ctx)
	defer stop()
	if err := j.refuseOthers(prep, run); err != nil {
		return errors.Join(err, j.journal.Close())
	}
	if err := j.refuseFollowed(run); err != nil {
		return errors.Join(err, j.journal.Close())
	}
	j.changed = j.lookAgain(prep)
	stop()
	return j.drive(ctx)
}

// refuseFollowed refuses to go on with a run after which another has changed one of its hosts: what every host holds is
// told by the newest run, and an undo goes back from there.
func (j *job) refuseFollowed(run string) error {
	trees, _, err := j.app.trees(j.setup)
	if err != nil {
		return err
	}
	later, n := "", 0
	for _, r := range j.state.Report() {
		if last := trees.Of(r.Host).Run; last > run { // names of runs begin with their time
			later, n = max(later, last), n+1
		}
	}
	if n == 0 {
		return nil
	}
	return fail(exitInvalid, fmt.Errorf("run %s has changed %d of its hosts since", later, n),
		j.app.command()+" sync; what run "+run+" has left out of its pools is put back by: "+j.app.command()+" recover")
}

// lookAgain says why a resumed run must not go on: its origin does not hold the tree any more that it began with.
// Empty: it does, or the run's own looks will find out that nobody can tell.
func (j *job) lookAgain(ctx context.Context) string {
	plan := j.state.Plan
	if plan.Tree == nil || plan.Origin == "" {
		return ""
	}
	digest, err := j.setup.asking().Digest(ctx, plan.Origin, plan.Paths)
	if err != nil || digest != plan.Tree.Digest {
		return "the tree of " + plan.Origin + " is not the one that the run began with: begin a new one"
	}
	return ""
}

// reopen opens the journal of a run and folds it.
func (j *job) reopen(run string) error {
	s := j.setup
	opened, events, err := journal.Open(s.store.JournalPath(run))
	if err != nil {
		return fail(exitJournal, err, j.app.command()+" history")
	}
	state, err := journal.Fold(events)
	if err != nil {
		return errors.Join(fail(exitJournal, fmt.Errorf("%s: %w", s.store.JournalPath(run), err), j.app.command()+" history"), opened.Close())
	}
	if names := missing(state.Plan, s.fleet); names != "" {
		return errors.Join(fail(exitInvalid, fmt.Errorf("the run is about hosts that the inventory does not name any more: %s", names),
			"put them back into "+s.policy.Inventory+", or plan anew: "+j.app.command()+" recover, then sync"), opened.Close())
	}
	if state.Plan.Inventory != s.fleet.Digest {
		j.app.say().Warn("the inventory has changed since run %s was planned", run)
	}
	j.state, j.journal = state, opened
	return nil
}
