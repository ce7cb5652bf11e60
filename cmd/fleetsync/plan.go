package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report"
	"github.com/fleetsync/fleetsync/inventory"
)

func (a *app) planCommand() *cobra.Command {
	o := runOptions{mode: inventory.ModeSync, confirm: -1}
	output := ""
	c := &cobra.Command{
		Use:     "plan [flags] [sync|canary|resync] [-- PATH...]",
		GroupID: groupSee,
		Short:   "Show what a run would do, and touch nothing",
		Long: `Show the plan of a run: its stages in order, each with its hosts and the reason
for its place; the limits; the proxies that will not serve, and why; and what a
sync would create, change and delete on the canaries. The guard looks at the
origin, the pools are read, and the canaries are asked by a dry run; nothing is
changed anywhere.

` + exitCodes,
		Example: `  fleetsync plan
  fleetsync plan resync --limit @appservers
  fleetsync plan -o tonight.json && fleetsync sync --plan tonight.json
  fleetsync plan --json | jq .stages`,
		ValidArgs: []string{string(inventory.ModeSync), string(inventory.ModeCanary), string(inventory.ModeResync)},
		RunE: func(c *cobra.Command, args []string) error {
			modes := args
			if dash := c.ArgsLenAtDash(); dash >= 0 {
				modes, o.paths = args[:dash], args[dash:]
			}
			switch len(modes) {
			case 0:
			case 1:
				o.mode = inventory.Mode(modes[0])
			default:
				return usage(fmt.Errorf("one mode is enough: %s", quoted(modes[1])), "fleetsync plan resync -- PATH")
			}
			switch o.mode {
			case inventory.ModeSync, inventory.ModeCanary, inventory.ModeResync:
			default:
				return usage(fmt.Errorf("no mode is called %s", quoted(string(o.mode))), "sync, canary or resync")
			}
			if err := o.check(c); err != nil {
				return err
			}
			s, err := a.load()
			if err != nil {
				return err
			}
			pools, err := s.pools()
			if err != nil {
				return err
			}
			if err := s.programs(); err != nil {
				return err
			}
			ctx, stop := untilSignal(c.Context())
			defer stop()
			if o.behind {
				if found, err := a.behind(ctx, s, &o); err != nil || !found {
					return err
				}
			}
			p, err := a.prepare(ctx, s, pools, s.newRun(), o)
			if err != nil {
				return err
			}
			if output != "" {
				if err := writePlan(output, p); err != nil {
					return err
				}
			}
			if a.json {
				return printJSON(a.stdout, p.plan)
			}
			report.Plan(a.stdout, p.plan)
			if p.over {
				report.Deletions(a.stdout, p.plan)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&o.behind, "behind", false, "only the hosts that are not known to hold the origin's tree")
	c.Flags().StringVarP(&output, "output", "o", "", "record the plan in this `file`, for sync --plan")
	o.flags(c)
	o.forceFlag(c)
	o.guardFlags(c)
	return c
}
