package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/journal"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/transport"
)

// runOptions is what a person asks of one run.
type runOptions struct {
	mode  inventory.Mode
	from  string
	limit string
	force string
	paths []string
	wait  bool
}

func (o *runOptions) flags(c *cobra.Command) {
	c.Flags().StringVar(&o.from, "from", "", "take the tree from this `master` instead of the first that may serve")
	c.Flags().StringVar(&o.limit, "limit", "", "only these hosts: names, ranges, @group, role:, datacenter:, with and, or, not")
}

func (o *runOptions) waitFlag(c *cobra.Command) {
	c.Flags().BoolVar(&o.wait, "wait", false, "wait for a lock that somebody else holds")
}

func (o *runOptions) forceFlag(c *cobra.Command) {
	c.Flags().StringVar(&o.force, "force", "", "go on past a gate that does not pass; the `reason` is recorded")
}

// check refuses what cannot be meant.
func (o *runOptions) check(c *cobra.Command) error {
	for _, path := range o.paths {
		p := transport.Pull{Source: "rsync://localhost/tree", Destination: "/srv/tree", Scratch: "/srv/scratch", Paths: []string{path}}
		if err := p.Validate(); err != nil {
			return usage(err, "paths are relative to the tree, as in: fleetsync sync -- wmf-config/ docroot/index.html")
		}
	}
	for _, name := range []string{"limit", "from"} {
		// An unset variable in a script must not become the whole fleet.
		if flag := c.Flags().Lookup(name); flag.Changed && strings.TrimSpace(flag.Value.String()) == "" {
			return usage(fmt.Errorf("--%s is empty", name), "leave it out to mean all")
		}
	}
	if flag := c.Flags().Lookup("force"); flag != nil && flag.Changed && strings.TrimSpace(o.force) == "" {
		return usage(errors.New("--force needs a reason"), `fleetsync sync --force "front page check is broken, T1234"`)
	}
	return nil
}

// newRun returns the name of a run that begins now.
func newRun() string {
	var random [2]byte
	_, _ = rand.Read(random[:]) // never fails, says its documentation
	return journal.NewRun(time.Now(), random)
}

// plan makes the plan of a run. It reads the pools and touches nothing.
func (s *setup) plan(ctx context.Context, pools *pooling.Client, run string, o runOptions) (*rollout.Plan, error) {
	r := rollout.Request{
		Run: run, Limit: o.limit, From: o.from, Mode: o.mode, Made: time.Now().UTC(), Origin: o.from, Force: o.force, Pools: pools != nil,
	}
	if len(o.paths) > 0 { // no paths on a command line are an empty list, which would sync nothing
		r.Paths = o.paths
	}
	if o.from != "" && !slices.ContainsFunc(s.fleet.Masters, func(m inventory.Master) bool { return m.Host == o.from }) {
		return nil, usage(fmt.Errorf("--from: %s is not a master", quoted(o.from)), "the inventory lists them under roles: masters")
	}
	if o.limit != "" {
		selection, err := s.fleet.Select(o.limit)
		if err != nil {
			return nil, usage(fmt.Errorf("--limit: %w", err), "")
		}
		r.Selection = selection
	}
	if pools != nil {
		r.Drain, r.OnForeignEdit = s.policy.Pooling.Drain, s.policy.Pooling.OnForeignEdit
		if o.mode != inventory.ModeCanary {
			left, err := s.left(ctx, pools, r.Selection)
			if err != nil {
				return nil, err
			}
			r.Left = left
		}
	}
	plan, err := rollout.NewPlan(s.fleet, s.policy.For(o.mode), r)
	if err != nil && !errors.Is(err, rollout.ErrNoProxyFits) {
		return nil, fail(exitInvalid, err, "")
	}
	return plan, err
}
