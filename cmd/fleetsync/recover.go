package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/session"
	"github.com/fleetsync/fleetsync/transport"
)

func (a *app) recoverCommand() *cobra.Command {
	yes := false
	c := &cobra.Command{
		Use:     "recover",
		GroupID: groupRun,
		Short:   "Put back what runs that died have left out of its pools",
		Long: `Put back what runs that died have left out of its pools, on whichever master they
ran, and release their lock. It shows first what it will do. What somebody else
has changed meanwhile is left alone. A host whose health check says no stays
out, and is named.

A run of this machine is dead when its process is. One of another machine is
dead when its lease has run out: recover waits for that, and refuses if the run
turns out to live.

` + exitCodes,
		Example: "  fleetsync recover\n  fleetsync recover --yes",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.recover(c.Context(), yes) },
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

func (a *app) recover(ctx context.Context, yes bool) error {
	s, err := a.load()
	if err != nil {
		return err
	}
	c, err := a.session(s)
	if err != nil {
		return err
	}
	prep, stop := untilSignal(ctx)
	defer stop()
	if err := c.AwaitDeath(prep); err != nil {
		return err
	}
	on, err := session.Open(prep, *c, session.Claim{Reason: "recover"})
	if err != nil {
		return err
	}
	defer on.Close(ctx)
	if c.Pools == nil {
		return withHint(fmt.Errorf("%w: nothing can be out of them", session.ErrNoPools), "")
	}
	found, err := on.Leftovers(prep)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return a.printOut(nil, "nothing to recover: no run has left anything out of its pools")
	}
	a.printLeftovers(found)
	if !yes {
		if err := a.ask("go on?", a.command()+" recover --yes"); err != nil {
			return err
		}
	}
	stop()
	return a.printOut(on.Restore(ctx, found), "recovered: nothing is out of its pools because of a run that died")
}

// printLeftovers shows what will be done.
func (a *app) printLeftovers(found []session.Leftover) {
	say := a.say()
	for _, l := range found {
		say.Say("run %s:", l.Run)
		for _, r := range l.Receipts {
			say.Say("  put back %s: what of its %d objects bears the run's mark", r.Host, len(r.Objects))
		}
		for _, host := range l.Quarantined {
			say.Say("  leave %s out of its pools: it has no good tree", host)
		}
		if len(l.Receipts)+len(l.Quarantined) == 0 {
			say.Say("  nothing is out; it is only listed as unfinished")
		}
	}
}

// printOut says what recover came to: which hosts are still out, or that all is well.
func (a *app) printOut(out []rollout.Out, well string) error {
	switch {
	case a.json:
		err := printJSON(a.stdout, struct {
			Out []rollout.Out `json:"out"`
		}{out})
		if err != nil {
			return err
		}
	case len(out) == 0:
		_, err := fmt.Fprintln(a.stdout, well)
		return err
	default:
		for _, o := range out {
			a.say().Say("%s: still out: %s", o.Host, o.Error)
			a.say().Say("hint: %s pool repool %s", a.command(), transport.Word(o.Host))
		}
	}
	if len(out) > 0 {
		return toldError{&session.NotRestoredError{Out: out}}
	}
	return nil
}
