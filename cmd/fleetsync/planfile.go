package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/transport"
)

// planFile is a plan that waits to be carried out, with what tells whether the world is still as it was.
type planFile struct {
	Format string        `json:"format"`
	Plan   *rollout.Plan `json:"plan"`
	Pools  string        `json:"pools,omitempty"` // digest of the pools
}

const planFormat = "fleetsync plan 1"

// writePlan records a plan, whole or not at all.
func writePlan(name string, p *prepared) error {
	data, err := json.MarshalIndent(planFile{Format: planFormat, Plan: p.plan, Pools: p.pools}, "", "  ")
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(name, append(data, '\n'), 0o644); err != nil {
		return fail(exitUsage, fmt.Errorf("the plan cannot be written: %w", err), "")
	}
	return nil
}

func loadPlan(name string) (*planFile, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fail(exitInvalid, fmt.Errorf("--plan: %w", err), "fleetsync plan -o FILE writes one")
	}
	f := &planFile{}
	if err := json.Unmarshal(data, f); err != nil || f.Format != planFormat || f.Plan == nil {
		return nil, fail(exitInvalid, fmt.Errorf("--plan: %s is no plan of this program", quoted(name)), "fleetsync plan -o FILE writes one")
	}
	return f, nil
}

// readPlan takes what is asked for from a plan's file: what else is asked for would contradict it.
func (a *app) readPlan(c *cobra.Command, o *runOptions) error {
	for _, name := range []string{"limit", "from", "force", "override", "behind"} {
		if c.Flags().Changed(name) {
			return usage(fmt.Errorf("--plan and --%s contradict each other: the plan says all", name), a.command()+" plan --"+name+" ... -o FILE")
		}
	}
	if len(o.paths) > 0 {
		return usage(errors.New("--plan and paths contradict each other: the plan says all"), a.command()+" plan -o FILE -- PATH")
	}
	f, err := loadPlan(o.planFile)
	if err != nil {
		return err
	}
	p := f.Plan
	o.mode, o.limit, o.from, o.force, o.override, o.paths = p.Mode, p.Limit, p.From, p.Force, p.Override, p.Paths
	return nil
}

// comparePlan refuses if the run that could begin now is not the one that was planned.
func (a *app) comparePlan(name string, now *prepared) error {
	f, err := loadPlan(name)
	if err != nil {
		return err
	}
	was, is := *f.Plan, *now.plan
	again := a.command() + " plan -o " + transport.Word(name)
	switch {
	case was.Fleet != is.Fleet || was.Inventory != is.Inventory:
		return fail(exitInvalid, fmt.Errorf("the inventory %w", errChanged), again)
	case was.Tree == nil || is.Tree == nil || *was.Tree != *is.Tree:
		return fail(exitGuard, fmt.Errorf("%w: the tree of %s %w", errRefused, is.Origin, errChanged), again)
	case f.Pools != now.pools:
		return fail(exitInvalid, fmt.Errorf("what the pools say %w", errChanged), again)
	}
	if changed := downs(was.Hosts, is.Hosts); changed != "" {
		return fail(exitInvalid, fmt.Errorf("who is there %w: %s", errChanged, changed), again)
	}
	was.Hosts, was.Left = sameDown(was, is)
	// Who confirms does so for the run, not for the plan.
	was.Run, was.Made, was.Limits.MaxDelete, was.Delta = is.Run, is.Made, is.Limits.MaxDelete, sameBut(was.Delta, is.Delta)
	if !reflect.DeepEqual(was.Delta, is.Delta) {
		return fail(exitGuard, fmt.Errorf("%w: what a sync would do to the canaries %w", errRefused, errChanged), again)
	}
	one, err := json.Marshal(was)
	if err != nil {
		return err
	}
	other, err := json.Marshal(is)
	if err != nil {
		return err
	}
	if string(one) != string(other) {
		return fail(exitInvalid, fmt.Errorf("the policy, or what the pools can spare, %w of %s", errChanged, f.Plan.Made.Format(time.DateTime)), again)
	}
	return nil
}

// downs says which hosts are down now and were not when a plan was made, and the other way round; empty: none. It is what plans differ in
// most of the time, and all that follows from it, as other canaries, would not tell people why.
func downs(was, is []rollout.Host) string {
	down := func(hosts, others []rollout.Host) []string {
		var names []string
		for _, h := range hosts {
			if h.Down != "" && !slices.ContainsFunc(others, func(o rollout.Host) bool { return o.Name == h.Name && o.Down != "" }) {
				names = append(names, h.Name)
			}
		}
		return names
	}
	var parts []string
	if names := down(is, was); len(names) > 0 {
		parts = append(parts, "down now, and not then: "+inventory.FoldNames(names))
	}
	if names := down(was, is); len(names) > 0 {
		parts = append(parts, "down then, and not now: "+inventory.FoldNames(names))
	}
	return strings.Join(parts, "; ")
}

// sameDown returns the hosts of a plan, and the proxies that it leaves out, with the reasons of another for those that are down: whichever
// it is, they are.
func sameDown(was, is rollout.Plan) ([]rollout.Host, []rollout.Left) {
	reason := map[string]string{}
	for _, h := range is.Hosts {
		reason[h.Name] = h.Down
	}
	hosts, left := slices.Clone(was.Hosts), slices.Clone(was.Left)
	for i, h := range hosts {
		hosts[i].Down = reason[h.Name]
	}
	for i, l := range left {
		if at := slices.IndexFunc(is.Left, func(o rollout.Left) bool { return o.Host == l.Host }); at >= 0 && reason[l.Host] != "" {
			left[i].Reason = is.Left[at].Reason
		}
	}
	return hosts, left
}

// sameBut returns what dry runs said, with the confirmation of another.
func sameBut(d, other *rollout.Delta) *rollout.Delta {
	if d == nil || other == nil {
		return d
	}
	same := *d
	same.Confirmed = other.Confirmed
	return &same
}
