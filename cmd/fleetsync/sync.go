package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/preflight"
	"github.com/fleetsync/fleetsync/orchestrator/session"
	"github.com/fleetsync/fleetsync/transport"
)

// runCommand is one of the commands that sync the fleet.
type runCommand struct {
	mode                 inventory.Mode
	short, long, example string
}

var runCommands = []runCommand{
	{
		inventory.ModeSync, "Bring every host up to date: canaries, gate, proxies, then the fleet in batches",
		`Bring every host up to date. Canaries get the tree first and are judged at the
gate; the proxies are taken out of their pools, synced, and serve the fleet in
batches; then every pool is put back as it was.

With paths, only those files and directories of the tree are synced, under the
same gate. The hosts then hold part of the tree at its new state.

Before anything begins the guard looks at the origin, and the canaries are asked
what a sync would do to them. More deletions than the policy allows need their
exact number; --yes does not exist for that.`,
		`  fleetsync sync
  fleetsync sync --behind
  fleetsync sync --plan tonight.json
  fleetsync sync --limit 'datacenter:eqiad and not @jobrunners'
  fleetsync sync -- wmf-config/ docroot/index.html`,
	},
	{
		inventory.ModeCanary, "Bring the canaries up to date and judge them, and nothing else",
		`Bring the canaries up to date and judge them at the gate. No other host is
touched; and no pool, but of a canary that has no good tree afterwards (quarantine:
in the policy) or has one again.`,
		`  fleetsync canary
  fleetsync canary -- wmf-config/`,
	},
	{
		inventory.ModeResync, "Bring every host up to date in an emergency",
		`Bring every host up to date on the worst day of the year: a sync with the
settings that the policy has under modes: resync, as more hosts at once, a
larger failure budget and no soak. The gate and the pools are handled as in a
sync.`,
		`  fleetsync resync
  fleetsync resync --from tin.eqiad.wmnet --limit @appservers`,
	},
}

// runCommands returns the commands that sync the fleet: all with the same flags, but for those that would mean nothing.
func (a *app) runCommands() (all []*cobra.Command) {
	for _, r := range runCommands {
		o := newRunFlags(r.mode)
		c := &cobra.Command{
			Use: string(r.mode) + " [flags] [-- PATH...]", GroupID: groupRun, Short: r.short, Long: r.long + "\n\n" + exitCodes, Example: r.example,
			RunE: func(c *cobra.Command, args []string) error { return a.runOnFleet(c, args, &o) },
		}
		if r.mode == inventory.ModeSync {
			o.behindFlag(c)
			c.Flags().StringVar(&o.planFile, "plan", "", "run exactly the plan in this `file`, or refuse if anything has changed since")
		}
		if r.mode != inventory.ModeCanary { // nothing comes after its gate
			o.forceFlag(c)
		}
		o.hostFlags(c)
		o.waitFlag(c)
		o.guardFlags(c)
		o.confirmFlag(c)
		o.yesFlag(c)
		all = append(all, c)
	}
	return all
}

func (a *app) runOnFleet(c *cobra.Command, args []string, o *runFlags) error {
	if len(args) > 0 && c.ArgsLenAtDash() != 0 {
		return usage(errors.New("unexpected argument "+transport.Quoted(args[0])), "paths follow two dashes: fleetsync "+c.Name()+" -- "+args[0])
	}
	o.Paths = args
	if err := o.check(c); err != nil {
		return err
	}
	if o.planFile != "" {
		if err := a.readPlan(c, o); err != nil {
			return err
		}
	}
	s, err := a.load()
	if err != nil {
		return err
	}
	return a.carryOut(c.Context(), s, *o, string(o.Mode), a.confirmDeletions)
}

// stateHint is what to do where nothing can be recorded.
const stateHint = "state: in the policy must name a folder that you may write"

// carryOut plans what is asked for, under the fleet's lock, and carries it out, unless it is refused. Confirm asks for what must be
// confirmed, and returns the verdict that it has become.
func (a *app) carryOut(
	ctx context.Context, s *setup, o runFlags, reason string, confirm func(preflight.Verdict) (preflight.Verdict, error),
) error {
	o.Run, o.Made, o.Begin, o.Command = s.newRun(), time.Now().UTC(), true, a.command()
	if err := s.programs(); err != nil {
		return err
	}
	on, err := a.begin(ctx, s, session.Claim{Run: o.Run, Reason: reason, Wait: o.wait})
	if err != nil {
		return err
	}
	defer on.Close(ctx)
	prep, stop := untilSignal(ctx)
	defer stop()
	v, err := a.judge(prep, s, &on.Config, o)
	if err != nil || v.Plan == nil {
		return err
	}
	if v, err = confirm(v); err != nil {
		return err
	}
	return a.start(ctx, stop, on, v)
}
