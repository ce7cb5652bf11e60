package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/preflight"
	"github.com/fleetsync/fleetsync/transport/rsync"
)

// runFlags is what is typed about one run.
type runFlags struct {
	preflight.Request
	wait     bool
	yes      bool   // of masters
	planFile string // the plan that the run must be; empty: any
}

func newRunFlags(mode inventory.Mode) runFlags {
	return runFlags{Request: preflight.Request{Mode: mode, Confirmed: -1}}
}

// hostFlags are those of runs over the fleet.
func (o *runFlags) hostFlags(c *cobra.Command) {
	c.Flags().StringVar(&o.From, "from", "", "take the tree from this `master` instead of the first that may serve")
	limitFlag(c, &o.Limit)
}

// limitFlag is the one that narrows a command to some hosts.
func limitFlag(c *cobra.Command, limit *string) {
	c.Flags().StringVar(limit, "limit", "", "only these hosts: names, ranges, @group, role:, datacenter:, with and, or, not")
}

func (o *runFlags) behindFlag(c *cobra.Command) {
	c.Flags().BoolVar(&o.Behind, "behind", false, "only the hosts that are not known to hold the origin's tree")
}

func (o *runFlags) waitFlag(c *cobra.Command) {
	c.Flags().BoolVar(&o.wait, "wait", false, "wait for a lock that somebody else holds")
}

func (o *runFlags) forceFlag(c *cobra.Command) {
	c.Flags().StringVar(&o.Force, "force", "", "go on past a gate that does not pass; the `reason` is recorded")
}

// guardFlags are those of commands that look at the origin before they do anything.
func (o *runFlags) guardFlags(c *cobra.Command) {
	c.Flags().StringVar(&o.Override, "override", "", "go on past what the guard refuses, but deletions; the `reason` is recorded")
	c.Flags().BoolVar(&o.Full, "full", false, "read every file of the origin, also those that look unchanged")
}

// yesFlag is for who puts it everywhere: a run asks nothing but the number of deletions, which it does not answer.
func (o *runFlags) yesFlag(c *cobra.Command) {
	c.Flags().Bool("yes", false, "answer every question but the one for the number of deletions")
}

func (o *runFlags) confirmFlag(c *cobra.Command) {
	c.Flags().IntVar(&o.Confirmed, "confirm-deletions", -1, "go on though exactly this `number` of entries would be deleted")
}

// check refuses what cannot be meant.
func (o *runFlags) check(c *cobra.Command) error {
	for _, path := range o.Paths {
		p := rsync.Pull{Source: "rsync://localhost/tree", Destination: "/srv/tree", Scratch: "/srv/scratch", Paths: []string{path}}
		if err := p.Validate(); err != nil {
			return usage(err, "paths are relative to the tree, as in: fleetsync sync -- wmf-config/ docroot/index.html")
		}
	}
	for _, name := range []string{"limit", "from", "plan", "output"} {
		// An unset variable in a script must not become the whole fleet.
		if flag := c.Flags().Lookup(name); flag != nil && flag.Changed && strings.TrimSpace(flag.Value.String()) == "" {
			return usage(fmt.Errorf("--%s is empty", name), "leave it out to mean all")
		}
	}
	for name, reason := range map[string]string{"force": o.Force, "override": o.Override} {
		if flag := c.Flags().Lookup(name); flag != nil && flag.Changed && strings.TrimSpace(reason) == "" {
			return usage(errors.New("--"+name+" needs a reason"), `fleetsync sync --`+name+` "front page check is broken, T1234"`)
		}
	}
	if flag := c.Flags().Lookup("confirm-deletions"); flag != nil && flag.Changed && o.Confirmed < 0 {
		return usage(fmt.Errorf("--confirm-deletions %d: must be the number of deletions", o.Confirmed), "fleetsync plan tells it")
	}
	return nil
}
