package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report"
	"github.com/fleetsync/fleetsync/inventory"
)

func (a *app) planCommand() *cobra.Command {
	o := runOptions{mode: inventory.ModeSync}
	c := &cobra.Command{
		Use:     "plan [flags] [sync|canary|resync] [-- PATH...]",
		GroupID: groupSee,
		Short:   "Show what a run would do, and touch nothing",
		Long: `Show the plan of a run: its stages in order, each with its hosts and the reason
for its place; the limits; and the proxies that will not serve, and why. The
pools are read; nothing is changed anywhere.

` + exitCodes,
		Example: `  fleetsync plan
  fleetsync plan resync --limit @appservers
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
			plan, err := s.plan(c.Context(), pools, newRun(), o)
			if err != nil {
				return err
			}
			if a.json {
				return printJSON(a.stdout, plan)
			}
			report.Plan(a.stdout, plan)
			return nil
		},
	}
	o.flags(c)
	return c
}
