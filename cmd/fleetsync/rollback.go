package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

func (a *app) rollbackCommand() *cobra.Command {
	o := newRunFlags(rollout.ModeRollback)
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
	limitFlag(c, &o.Limit)
	o.waitFlag(c)
	o.forceFlag(c)
	return c
}

func (a *app) rollback(ctx context.Context, name string, o runFlags) error {
	s, err := a.load()
	if err != nil {
		return err
	}
	if o.Undoes, err = s.find(name); err != nil {
		return withHint(err, a.command()+" history; a run of another master is rolled back there")
	}
	return a.carryOut(ctx, s, o, "rollback", a.confirmDeletions) // of which it makes none
}
