package reporttest

import (
	"time"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// Dice returns a number from 0 to sides-1; the label says what for.
type Dice func(sides int, label string) int

// Draw draws a play in which anything may go wrong: of a full run, of canaries, of one whose hosts all keep their
// trees, of one that nothing is known of, or of a rollback.
func Draw(dice Dice) (*Play, error) {
	plan, err := drawPlan(dice)
	if err != nil {
		return nil, err
	}
	p := &Play{Plan: plan}
	percent := func(label string) int { return []int{0, 3, 30, 100}[dice(4, label)] }
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
		took := time.Duration(1+dice(9, "seconds")) * time.Second
		if dice(100, "luck") >= bad[step.Kind] {
			return took, nil
		}
		if step.Kind == rollout.StepCheck && dice(2, "fail") == 0 {
			return took, &rollout.Event{Kind: rollout.StepDone, Verdict: rollout.Fail, Detail: "status 500, not 200"}
		}
		return took, Fail(classes[step.Kind][dice(len(classes[step.Kind]), "class")], string(step.Kind)+" does not work")
	}
	if dice(4, "abort") == 0 {
		p.World = []Happening{{
			After: time.Duration(1+dice(60, "abort at")) * time.Second,
			Event: rollout.Event{Kind: rollout.AbortAsked, Level: 1 + dice(2, "level"), Detail: "interrupted"},
		}}
	}
	if dice(3, "resumed") == 0 {
		p.Resumed = 1 + dice(60, "resumed at")
	}
	return p, nil
}

func drawPlan(dice Dice) (*rollout.Plan, error) {
	f := Fleet(3 + dice(18, "hosts"))
	r := Request()
	switch dice(6, "kind of run") {
	case 0:
		r = Rollback()
		for _, h := range f.Hosts[len(f.Masters):] {
			r.Selection = append(r.Selection, h.Name)
		}
		return rollout.NewRollback(f, Settings(), r)
	case 1:
		r.Tree, r.Delta, r.MaxDelete = nil, nil, -1
		return rollout.NewPlan(f, Settings(), r)
	case 2:
		r.Mode = inventory.ModeCanary
		return rollout.NewPlan(f, Settings(), r)
	default:
		r.Keep, r.Pools = dice(2, "all keep") == 0, dice(4, "pools") > 0
		return rollout.NewPlan(f, Settings(), r)
	}
}
