package preflight

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// SavedPlan is a plan that waits to be carried out, with what tells whether the world is still as it was.
type SavedPlan struct {
	Format string        `json:"format"`
	Plan   *rollout.Plan `json:"plan"`
	Pools  string        `json:"pools,omitempty"` // digest of the pools
}

const savedFormat = "fleetsync plan 1"

// ErrNoPlan says that something is not a saved plan, or none that this program can read.
var ErrNoPlan = errors.New("is no plan of this program")

// SavePlan returns a verdict's plan as ParsePlan reads it.
func SavePlan(v Verdict) ([]byte, error) {
	data, err := json.MarshalIndent(SavedPlan{Format: savedFormat, Plan: v.Plan, Pools: v.Pools}, "", "  ")
	return append(data, '\n'), err
}

// ParsePlan reads what SavePlan has returned. The error is ErrNoPlan.
func ParsePlan(data []byte) (*SavedPlan, error) {
	s := &SavedPlan{}
	if err := json.Unmarshal(data, s); err != nil || s.Format != savedFormat || s.Plan == nil {
		return nil, ErrNoPlan
	}
	return s, nil
}

// Apply lets a request ask for what the plan was asked for, and for no other plan.
func (s *SavedPlan) Apply(r *Request) {
	p := s.Plan
	r.Mode, r.Limit, r.From, r.Force, r.Override, r.Paths, r.Saved = p.Mode, p.Limit, p.From, p.Force, p.Override, p.Paths, s
}

// errChanged is that what a plan was made from is not so any more.
var errChanged = errors.New("has changed since the plan was made")

// saved refuses if the run that could begin now is not the one that was planned.
func (j *judgement) saved() error {
	s := j.request.Saved
	if s == nil {
		return nil
	}
	was, is := *s.Plan, *j.Plan
	switch {
	case was.Fleet != is.Fleet || was.Inventory != is.Inventory:
		return refuse(PlanChanged, "the inventory %w", errChanged)
	case was.Tree == nil || is.Tree == nil || *was.Tree != *is.Tree:
		return refuseByGuard(TreeChanged, "the tree of %s %w", is.Origin, errChanged)
	case s.Pools != j.Pools:
		return refuse(PlanChanged, "what the pools say %w", errChanged)
	}
	if changed := changedDown(was.Hosts, is.Hosts); changed != "" {
		return refuse(PlanChanged, "who is there %w: %s", errChanged, changed)
	}
	was.Hosts, was.Left = sameReasons(was, is)
	// Who confirms does so for the run, not for the plan.
	was.Run, was.Made, was.Limits.MaxDelete, was.Delta = is.Run, is.Made, is.Limits.MaxDelete, withConfirmation(was.Delta, is.Delta)
	if !reflect.DeepEqual(was.Delta, is.Delta) {
		return refuseByGuard(TreeChanged, "what a sync would do to the canaries %w", errChanged)
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
		return refuse(PlanChanged, "the policy, or what the pools can spare, %w of %s", errChanged, s.Plan.Made.Format(time.DateTime))
	}
	return nil
}

// changedDown says which hosts are down now and were not when a plan was made, and the other way round; empty: none. It is what plans
// differ in most of the time, and all that follows from it, as other canaries, would not tell people why.
func changedDown(was, is []rollout.Host) string {
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

// sameReasons returns the hosts of a plan, and the proxies that it leaves out, with the reasons of another for those that are down:
// whichever it is, they are.
func sameReasons(was, is rollout.Plan) ([]rollout.Host, []rollout.Left) {
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

// withConfirmation returns what dry runs said, with the confirmation of another.
func withConfirmation(d, other *rollout.Delta) *rollout.Delta {
	if d == nil || other == nil {
		return d
	}
	same := *d
	same.Confirmed = other.Confirmed
	return &same
}
