package reporttest

import (
	"time"

	"pgregory.net/rapid"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// Draw draws a play in which anything may go wrong: of a full run, of canaries, of one whose hosts all keep their
// trees, of one that nothing is known of, or of a rollback.
func Draw(t *rapid.T) *Play {
	p := &Play{Plan: drawPlan(t)}
	percent := func(label string) int { return rapid.SampledFrom([]int{0, 3, 30, 100}).Draw(t, label) }
	bad := map[rollout.StepKind]int{
		rollout.StepSync: percent("bad syncs") / 2, rollout.StepCheck: percent("bad checks"), rollout.StepRollback: percent("bad rollbacks"),
		rollout.StepQuarantine: percent("bad quarantines"), rollout.StepLook: percent("bad looks"),
	}
	classes := map[rollout.StepKind][]rollout.Class{
		rollout.StepSync:     {rollout.Transient, rollout.Permanent, rollout.Busy},
		rollout.StepCheck:    {rollout.Transient},
		rollout.StepRollback: {rollout.Transient, rollout.Permanent, rollout.Busy}, rollout.StepLook: {rollout.Transient, rollout.Changed},
		rollout.StepQuarantine: {rollout.Transient, rollout.Capacity},
	}
	p.Do = func(step rollout.Step) (time.Duration, *rollout.Event) {
		took := time.Duration(rapid.IntRange(1, 9).Draw(t, "seconds")) * time.Second
		if rapid.IntRange(0, 99).Draw(t, "luck") >= bad[step.Kind] {
			return took, nil
		}
		if step.Kind == rollout.StepCheck && rapid.Bool().Draw(t, "fail") {
			return took, &rollout.Event{Kind: rollout.StepDone, Verdict: rollout.Fail, Detail: "status 500, not 200"}
		}
		return took, Fail(rapid.SampledFrom(classes[step.Kind]).Draw(t, "class"), string(step.Kind)+" does not work")
	}
	if rapid.IntRange(0, 3).Draw(t, "abort") == 0 {
		p.World = []Happening{{
			After: time.Duration(rapid.IntRange(1, 60).Draw(t, "abort at")) * time.Second,
			Event: rollout.Event{Kind: rollout.AbortAsked, Level: rapid.IntRange(1, 2).Draw(t, "level"), Detail: "interrupted"},
		}}
	}
	if rapid.IntRange(0, 2).Draw(t, "resumed") == 0 {
		p.Resumed = rapid.IntRange(1, 60).Draw(t, "resumed at")
	}
	return p
}

func drawPlan(t *rapid.T) *rollout.Plan {
	f := Fleet(rapid.IntRange(3, 20).Draw(t, "hosts"))
	r := Request()
	var plan *rollout.Plan
	var err error
	switch rapid.IntRange(0, 5).Draw(t, "kind of run") {
	case 0:
		r = Rollback()
		for _, h := range f.Hosts[len(f.Masters):] {
			r.Selection = append(r.Selection, h.Name)
		}
		plan, err = rollout.NewRollback(f, Settings(), r)
	case 1:
		r.Tree, r.Delta, r.MaxDelete = nil, nil, -1
		plan, err = rollout.NewPlan(f, Settings(), r)
	case 2:
		r.Mode = inventory.ModeCanary
		plan, err = rollout.NewPlan(f, Settings(), r)
	default:
		r.Keep, r.Pools = rapid.Bool().Draw(t, "all keep"), rapid.IntRange(0, 3).Draw(t, "pools") > 0
		plan, err = rollout.NewPlan(f, Settings(), r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return plan
}
