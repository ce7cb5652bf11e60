package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/orchestrator/session"
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
	name, err = s.find(name)
	if err != nil {
		return withHint(err, a.command()+" history; a run of another master is not resumed here: "+a.command()+" recover")
	}
	if err := s.programs(); err != nil {
		return err
	}
	on, err := a.begin(ctx, s, session.Claim{Run: name, Reason: "resume", Wait: wait})
	if err != nil {
		return err
	}
	defer on.Close(ctx)
	prep, stop := untilSignal(ctx)
	defer stop()
	run, err := on.Resume(prep, name)
	if err != nil {
		return err
	}
	stop()
	return a.drive(ctx, on, run)
}
