package rollout_test

import (
	"slices"
	"testing"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// treesOf folds a run of hosts a, b and c, of which a is the canary, to where the steps lead. Those that the plan has already are
// in none of its stages.
func treesOf(t *testing.T, plan rollout.Plan, steps ...rollout.Event) *rollout.State {
	t.Helper()
	plan.Limits = rollout.Limits{Parallel: 3, Attempts: 1, MaxFailures: 3}
	kind := rollout.StageSync
	if plan.Undoes == "" {
		plan.Origin = "m"
		plan.Hosts = []rollout.Host{{Name: "m", Role: rollout.RoleMaster, Slots: 3}}
	} else {
		kind = rollout.StageUndo
	}
	stage := rollout.Stage{Name: "all", Kind: kind, Origin: true}
	for _, h := range []rollout.Host{{Name: "a", Role: rollout.RoleCanary, Keep: true}, {Name: "b", Role: rollout.RoleHost},
		{Name: "c", Role: rollout.RoleHost}} {
		if !slices.ContainsFunc(plan.Hosts, func(has rollout.Host) bool { return has.Name == h.Name }) {
			plan.Hosts, stage.Hosts = append(plan.Hosts, h), append(stage.Hosts, h.Name)
		}
	}
	plan.Stages = []rollout.Stage{stage}
	s, err := rollout.NewState(&plan)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range append([]rollout.Event{{Kind: rollout.RunStarted}}, steps...) {
		e.Seq, e.Run, e.At = int64(i+1), plan.Run, epoch.Add(seconds(i))
		if err := s.Apply(&e); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// ran returns the beginning and the end of a step of a host.
func ran(kind rollout.StepKind, host string, end rollout.Event) []rollout.Event {
	id := rollout.StepID(string(kind) + "/" + host)
	begin := rollout.Event{Kind: rollout.StepStarted, Step: id, Host: host, Attempt: 1}
	if kind == rollout.StepSync {
		begin.Source = "m"
	}
	end.Step, end.Host, end.Attempt = id, host, 1
	return []rollout.Event{begin, end}
}

// TestTrees folds what is last known of three hosts. Planted, one at a time, and seen to fail: an older run that counts over
// a newer one; a rollback that counts as a tree of its own; what a rollback has undone taken for the truth, and what was
// before that forgotten; a tree held in part, or by a host that failed, as held; what failed passed over; a host that was down
// when a run was rolled back, taken for rolled back.
func TestTrees(t *testing.T) {
	done, failed := rollout.Event{Kind: rollout.StepDone, Stats: &rollout.Stats{}},
		rollout.Event{Kind: rollout.StepFailed, Class: rollout.Permanent, Error: "no"}
	all := func(kind rollout.StepKind, ends map[string]rollout.Event) []rollout.Event {
		var events []rollout.Event
		for _, host := range []string{"a", "b", "c"} {
			if end, ok := ends[host]; ok {
				events = append(events, ran(kind, host, end)...)
			}
		}
		return events
	}
	everywhere := map[string]rollout.Event{"a": done, "b": done, "c": done}
	first := func() *rollout.State {
		return treesOf(t, rollout.Plan{Run: "r1", Tree: &rollout.Tree{Fingerprint: "one", Digest: "d1"}}, all(rollout.StepSync, everywhere)...)
	}
	second := treesOf(t, rollout.Plan{Run: "r2", Tree: &rollout.Tree{Fingerprint: "two", Digest: "d2"}}, all(rollout.StepSync, everywhere)...)
	partial := treesOf(t, rollout.Plan{Run: "r2", Paths: []string{"x"}, Tree: &rollout.Tree{Fingerprint: "two", Digest: "d2"}},
		all(rollout.StepSync, map[string]rollout.Event{"a": done, "b": failed})...)
	undone := treesOf(t, rollout.Plan{Run: "r3", Undoes: "r2"}, all(rollout.StepRollback, map[string]rollout.Event{"a": done, "b": failed})...)
	absent := treesOf(t, rollout.Plan{Run: "r3", Undoes: "r2", Hosts: []rollout.Host{{Name: "b", Role: rollout.RoleHost,
		Down: "no route to host"}}},
		all(rollout.StepRollback, map[string]rollout.Event{"a": done})...)
	type want struct {
		standing         rollout.Standing
		run, fingerprint string
	}
	for _, test := range []struct {
		name string
		runs []*rollout.State // newest first
		want map[string]want
	}{
		{"nothing", nil, map[string]want{"a": {}}},
		{"one run", []*rollout.State{first()}, map[string]want{"a": {rollout.Synced, "r1", "one"}, "c": {rollout.Synced, "r1", "one"}}},
		{"the newer one counts", []*rollout.State{second, first()}, map[string]want{"a": {rollout.Synced, "r2", "two"}}},
		{"partly, failed, untouched", []*rollout.State{partial, first()}, map[string]want{
			"a": {rollout.Partial, "r2", "two"}, "b": {rollout.Failed, "r2", "two"}, "c": {rollout.Synced, "r1", "one"},
		}},
		{"rolled back", []*rollout.State{undone, second, first()}, map[string]want{
			"a": {rollout.Synced, "r1", "one"}, "b": {rollout.Failed, "r3", ""}, "c": {rollout.Synced, "r2", "two"},
		}},
		{"rolled back, but for one that was down", []*rollout.State{absent, second, first()}, map[string]want{
			"a": {rollout.Synced, "r1", "one"}, "b": {rollout.Synced, "r2", "two"}, "c": {rollout.Synced, "r2", "two"},
		}},
		{"rolled back to nothing known", []*rollout.State{undone, second}, map[string]want{"a": {}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			trees := rollout.NewTrees([]string{"a", "b", "c"})
			for _, s := range test.runs {
				trees.Add(s)
			}
			for host, want := range test.want {
				is := trees.Of(host)
				fingerprint := ""
				if is.Tree != nil {
					fingerprint = is.Tree.Fingerprint
				}
				if is.Standing != want.standing || is.Run != want.run || fingerprint != want.fingerprint {
					t.Errorf("%s is %+v (%s), should be %+v", host, is, fingerprint, want)
				}
				if has := is.Has(want.fingerprint); has != (want.standing == rollout.Synced) {
					t.Errorf("%s has the tree: %v", host, has)
				}
			}
		})
	}
}
