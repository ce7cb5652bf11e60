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
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/transport/rsync"
)

// runOptions is what a person asks of one run.
type runOptions struct {
	mode  inventory.Mode
	from  string
	limit string
	force string
	paths []string
	wait  bool

	override string // reason to go on past what the guard refuses
	full     bool   // every file of the origin is read, changed or not
	confirm  int    // deletions that are confirmed; negative: none
	behind   bool   // only hosts that are not known to hold the origin's tree
	planFile string // the plan that the run must be; empty: any
}

func (o *runOptions) flags(c *cobra.Command) {
	c.Flags().StringVar(&o.from, "from", "", "take the tree from this `master` instead of the first that may serve")
	limitFlag(c, &o.limit)
}

// limitFlag is the one that narrows a command to some hosts.
func limitFlag(c *cobra.Command, limit *string) {
	c.Flags().StringVar(limit, "limit", "", "only these hosts: names, ranges, @group, role:, datacenter:, with and, or, not")
}

// selection returns the hosts that --limit selects; nil, of an empty one, is all.
func (s *setup) selection(limit string) ([]string, error) {
	if limit == "" {
		return nil, nil
	}
	selection, err := s.fleet.Select(limit)
	if err != nil {
		return nil, usage(fmt.Errorf("--limit: %w", err), "")
	}
	return selection, nil
}

func (o *runOptions) waitFlag(c *cobra.Command) {
	c.Flags().BoolVar(&o.wait, "wait", false, "wait for a lock that somebody else holds")
}

func (o *runOptions) forceFlag(c *cobra.Command) {
	c.Flags().StringVar(&o.force, "force", "", "go on past a gate that does not pass; the `reason` is recorded")
}

// guardFlags are those of commands that look at the origin before they do anything.
func (o *runOptions) guardFlags(c *cobra.Command) {
	c.Flags().StringVar(&o.override, "override", "", "go on past what the guard refuses, but deletions; the `reason` is recorded")
	c.Flags().BoolVar(&o.full, "full", false, "read every file of the origin, also those that look unchanged")
}

// yesFlag is for who puts it everywhere: a run asks nothing but the number of deletions, which it does not answer.
func (o *runOptions) yesFlag(c *cobra.Command) {
	c.Flags().Bool("yes", false, "answer every question but the one for the number of deletions")
}

func (o *runOptions) confirmFlag(c *cobra.Command) {
	c.Flags().IntVar(&o.confirm, "confirm-deletions", -1, "go on though exactly this `number` of entries would be deleted")
}

// check refuses what cannot be meant.
func (o *runOptions) check(c *cobra.Command) error {
	for _, path := range o.paths {
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
	for name, reason := range map[string]string{"force": o.force, "override": o.override} {
		if flag := c.Flags().Lookup(name); flag != nil && flag.Changed && strings.TrimSpace(reason) == "" {
			return usage(errors.New("--"+name+" needs a reason"), `fleetsync sync --`+name+` "front page check is broken, T1234"`)
		}
	}
	if flag := c.Flags().Lookup("confirm-deletions"); flag != nil && flag.Changed && o.confirm < 0 {
		return usage(fmt.Errorf("--confirm-deletions %d: must be the number of deletions", o.confirm), "fleetsync plan tells it")
	}
	return nil
}

// newRun returns the name of a run that begins now.
func (s *setup) newRun() string {
	var random [2]byte
	_, _ = rand.Read(random[:]) // never fails, says its documentation
	return s.store.NewRun(time.Now(), random)
}

// request is what a plan is made from: what a person asked for, and what the pools can spare.
type request struct {
	rollout.Request
	settings inventory.Settings
	pools    string // digest of the pools when they were read; empty if they were not

	plan func() (*rollout.Plan, error) // nil: rollout.NewPlan
}

// request reads the pools, and touches nothing.
func (s *setup) request(ctx context.Context, pools *pooling.Client, run string, o runOptions) (*request, error) {
	r := &request{settings: s.policy.For(o.mode), Request: rollout.Request{
		Run: run, Limit: o.limit, From: o.from, Mode: o.mode, Made: time.Now().UTC(), Origin: o.from,
		Force: o.force, Override: o.override, Pools: pools != nil, Behind: o.behind,
		MaxDelete: rsync.Unlimited, Verify: s.policy.Verify, Keep: s.policy.Keep.Hosts == inventory.KeepAll,
	}}
	if len(o.paths) > 0 { // no paths on a command line are an empty list, which would sync nothing
		r.Paths = o.paths
	}
	if o.from != "" && !s.isMaster(o.from) {
		return nil, usage(fmt.Errorf("--from: %s is not a master", quoted(o.from)), "the inventory lists them under roles: masters")
	}
	if o.from != "" {
		if err := s.mayServe(o.from); err != nil {
			return nil, fail(exitGuard, fmt.Errorf("%w: %w", errRefused, err), "only who edits "+s.policy.Inventory+" can say otherwise")
		}
	}
	selection, err := s.selection(o.limit)
	if err != nil {
		return nil, err
	}
	r.Selection = selection
	if err := s.hooks(&r.Request); err != nil {
		return nil, err
	}
	if pools != nil {
		r.Quarantine = s.policy.Pooling.Quarantine
		if r.Quarantined, err = s.quarantined(ctx); err != nil {
			return nil, err
		}
		r.Drain, r.OnForeignEdit = s.policy.Pooling.Drain, s.policy.Pooling.OnForeignEdit
		if o.mode != inventory.ModeCanary {
			if err := s.spare(ctx, pools, r); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

// plan makes the plan of a run of which nothing is known but what was asked for.
func (s *setup) plan(ctx context.Context, pools *pooling.Client, run string, o runOptions) (*rollout.Plan, error) {
	r, err := s.request(ctx, pools, run, o)
	if err != nil {
		return nil, err
	}
	return s.planOf(r)
}

func (s *setup) planOf(r *request) (*rollout.Plan, error) {
	plan := r.plan
	if plan == nil {
		plan = func() (*rollout.Plan, error) { return rollout.NewPlan(s.fleet, r.settings, r.Request) }
	}
	made, err := plan()
	if err != nil && !errors.Is(err, rollout.ErrNoProxyFits) && !errors.Is(err, rollout.ErrDown) {
		return nil, fail(exitInvalid, err, "")
	}
	return made, err
}

// hooks tells a plan what the policy has to be done around the run and its hosts.
func (s *setup) hooks(r *rollout.Request) (err error) {
	for moment, hooks := range map[rollout.Moment][]inventory.Hook{
		rollout.MomentPre: s.policy.Hooks.Run.Pre, rollout.MomentPost: s.policy.Hooks.Run.Post, rollout.MomentOnFailure: s.policy.Hooks.Run.OnFailure,
	} {
		if len(hooks) > 0 {
			r.Hooks = append(r.Hooks, moment)
		}
	}
	slices.Sort(r.Hooks)
	if r.Post, err = inventory.Hooked(s.fleet, s.policy.Hooks.Hosts.Post); err != nil {
		return err
	}
	r.OnFailure, err = inventory.Hooked(s.fleet, s.policy.Hooks.Hosts.OnFailure)
	return err
}
