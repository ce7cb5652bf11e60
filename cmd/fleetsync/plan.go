package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report"
	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/transport"
)

func (a *app) planCommand() *cobra.Command {
	o := newRunFlags(inventory.ModeSync)
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
				modes, o.Paths = args[:dash], args[dash:]
			}
			switch len(modes) {
			case 0:
			case 1:
				o.Mode = inventory.Mode(modes[0])
			default:
				return usage(fmt.Errorf("one mode is enough: %s", transport.Quoted(modes[1])), "fleetsync plan resync -- PATH")
			}
			switch o.Mode {
			case inventory.ModeSync, inventory.ModeCanary, inventory.ModeResync:
			default:
				return usage(fmt.Errorf("no mode is called %s", transport.Quoted(string(o.Mode))), "sync, canary or resync")
			}
			if err := o.check(c); err != nil {
				return err
			}
			return a.plan(c.Context(), o, output)
		},
	}
	o.behindFlag(c)
	c.Flags().StringVarP(&output, "output", "o", "", "record the plan in this `file`, for sync --plan")
	o.hostFlags(c)
	o.forceFlag(c)
	o.guardFlags(c)
	return c
}

func (a *app) plan(ctx context.Context, o runFlags, output string) error {
	s, err := a.load()
	if err != nil {
		return err
	}
	if err := s.programs(); err != nil {
		return err
	}
	c, err := a.session(s)
	if err != nil {
		return err
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	o.Run, o.Made, o.Command = s.newRun(), time.Now().UTC(), a.command()
	v, err := a.judge(ctx, s, c, o)
	if err != nil || v.Plan == nil {
		return err
	}
	if output != "" {
		if err := writePlan(output, v); err != nil {
			return err
		}
	}
	if a.json {
		return printJSON(a.stdout, v.Plan)
	}
	report.Plan(a.stdout, v.Plan)
	if v.OverBudget {
		report.Deletions(a.stdout, v.Plan)
	}
	return nil
}
