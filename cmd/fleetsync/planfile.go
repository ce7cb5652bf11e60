package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/orchestrator/preflight"
	"github.com/fleetsync/fleetsync/transport"
)

// writePlan records a plan in a file, whole or not at all.
func writePlan(name string, v preflight.Verdict) error {
	data, err := preflight.SavePlan(v)
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(name, data, 0o644); err != nil {
		return usage(fmt.Errorf("the plan cannot be written: %w", err), "")
	}
	return nil
}

// readPlan takes what is asked for from a plan's file: what else is asked for would contradict it.
func (a *app) readPlan(c *cobra.Command, o *runFlags) error {
	for _, name := range []string{"limit", "from", "force", "override", "behind"} {
		if c.Flags().Changed(name) {
			return usage(fmt.Errorf("--plan and --%s contradict each other: the plan says all", name), a.command()+" plan --"+name+" ... -o FILE")
		}
	}
	if len(o.Paths) > 0 {
		return usage(errors.New("--plan and paths contradict each other: the plan says all"), a.command()+" plan -o FILE -- PATH")
	}
	data, err := os.ReadFile(o.planFile)
	if err != nil {
		return noPlanError{fmt.Errorf("--plan: %w", err)}
	}
	saved, err := preflight.ParsePlan(data)
	if err != nil {
		return noPlanError{fmt.Errorf("--plan: %s %w", transport.Quoted(o.planFile), err)}
	}
	saved.Apply(&o.Request)
	return nil
}
