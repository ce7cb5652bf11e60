package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
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
	again := a.command() + " plan -o " + shellWord(name)
	switch {
	case was.Fleet != is.Fleet || was.Inventory != is.Inventory:
		return fail(exitInvalid, fmt.Errorf("the inventory %w", errChanged), again)
	case was.Tree == nil || is.Tree == nil || *was.Tree != *is.Tree:
		return fail(exitGuard, fmt.Errorf("%w: the tree of %s %w", errRefused, is.Origin, errChanged), again)
	case f.Pools != now.pools:
		return fail(exitInvalid, fmt.Errorf("what the pools say %w", errChanged), again)
	}
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

// sameBut returns what dry runs said, with the confirmation of another.
func sameBut(d, other *rollout.Delta) *rollout.Delta {
	if d == nil || other == nil {
		return d
	}
	same := *d
	same.Confirmed = other.Confirmed
	return &same
}
