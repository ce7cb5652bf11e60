package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/session"
)

func (a *app) syncCommand() *cobra.Command {
	o := runOptions{mode: inventory.ModeSync}
	c := &cobra.Command{
		Use:     "sync [flags] [-- PATH...]",
		GroupID: groupRun,
		Short:   "Bring every host up to date: canaries, gate, proxies, then the fleet in batches",
		Long: `Bring every host up to date. Canaries get the tree first and are judged at the
gate; the proxies are taken out of their pools, synced, and serve the fleet in
batches; then every pool is put back as it was.

With paths, only those files and directories of the tree are synced, under the
same gate. The hosts then hold part of the tree at its new state.

Before anything begins the guard looks at the origin, and the canaries are asked
what a sync would do to them. More deletions than the policy allows need their
exact number; --yes does not exist for that.

` + exitCodes,
		Example: `  fleetsync sync
  fleetsync sync --behind
  fleetsync sync --plan tonight.json
  fleetsync sync --limit 'datacenter:eqiad and not @jobrunners'
  fleetsync sync -- wmf-config/ docroot/index.html`,
		RunE: a.runE(&o),
	}
	c.Flags().BoolVar(&o.behind, "behind", false, "only the hosts that are not known to hold the origin's tree")
	c.Flags().StringVar(&o.planFile, "plan", "", "run exactly the plan in this `file`, or refuse if anything has changed since")
	o.flags(c)
	o.waitFlag(c)
	o.forceFlag(c)
	o.guardFlags(c)
	o.confirmFlag(c)
	o.yesFlag(c)
	return c
}

func (a *app) canaryCommand() *cobra.Command {
	o := runOptions{mode: inventory.ModeCanary}
	c := &cobra.Command{
		Use:     "canary [flags] [-- PATH...]",
		GroupID: groupRun,
		Short:   "Bring the canaries up to date and judge them, and nothing else",
		Long: `Bring the canaries up to date and judge them at the gate. No other host is
touched; and no pool, but of a canary that has no good tree afterwards (quarantine:
in the policy) or has one again.

` + exitCodes,
		Example: `  fleetsync canary
  fleetsync canary -- wmf-config/`,
		RunE: a.runE(&o),
	}
	o.flags(c)
	o.waitFlag(c)
	o.guardFlags(c)
	o.confirmFlag(c)
	o.yesFlag(c)
	return c
}

func (a *app) resyncCommand() *cobra.Command {
	o := runOptions{mode: inventory.ModeResync}
	c := &cobra.Command{
		Use:     "resync [flags] [-- PATH...]",
		GroupID: groupRun,
		Short:   "Bring every host up to date in an emergency",
		Long: `Bring every host up to date on the worst day of the year: a sync with the
settings that the policy has under modes: resync, as more hosts at once, a
larger failure budget and no soak. The gate and the pools are handled as in a
sync.

` + exitCodes,
		Example: `  fleetsync resync
  fleetsync resync --from tin.eqiad.wmnet --limit @appservers`,
		RunE: a.runE(&o),
	}
	o.flags(c)
	o.waitFlag(c)
	o.forceFlag(c)
	o.guardFlags(c)
	o.confirmFlag(c)
	o.yesFlag(c)
	return c
}

// runE is what the three commands do.
func (a *app) runE(o *runOptions) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		if len(args) > 0 && c.ArgsLenAtDash() != 0 {
			return usage(errors.New("unexpected argument "+quoted(args[0])), "paths follow two dashes: fleetsync "+c.Name()+" -- "+args[0])
		}
		o.paths = args
		if err := o.check(c); err != nil {
			return err
		}
		if o.planFile != "" {
			if err := a.readPlan(c, o); err != nil {
				return err
			}
		}
		return a.execute(c.Context(), *o)
	}
}

// stateHint is what to do where nothing can be recorded.
const stateHint = "state: in the policy must name a folder that you may write"

// execute plans a run and carries it out.
func (a *app) execute(ctx context.Context, o runOptions) error {
	s, err := a.load()
	if err != nil {
		return err
	}
	if err := s.programs(); err != nil {
		return err
	}
	run := s.newRun()
	on, err := a.begin(ctx, s, session.Claim{Run: run, Reason: string(o.mode), Wait: o.wait})
	if err != nil {
		return err
	}
	defer on.Close(ctx)
	prep, stop := untilSignal(ctx)
	defer stop()
	if err := on.RefuseOthers(prep, run); err != nil {
		return err
	}
	if o.behind {
		found, err := a.behind(prep, s, &o)
		if err != nil || !found {
			return err
		}
	}
	p, err := a.prepare(prep, s, on.Pools, run, o)
	if err != nil {
		return err
	}
	if o.planFile != "" {
		if err := a.comparePlan(o.planFile, p); err != nil {
			return err
		}
	}
	if err := a.confirmDeletions(p); err != nil {
		return err
	}
	defer a.pruneManifests(s)
	return a.start(ctx, stop, on, p.plan, p.manifest)
}
