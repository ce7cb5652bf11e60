package rollouttest

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// Dice returns a number from 0 to sides-1; the label says what for.
type Dice func(sides int, label string) int

// Draw draws a play in which anything may go wrong: of a full run, of canaries, of one whose hosts all keep their
// trees, of one that nothing is known of, or of a rollback. Hosts may be down or in quarantine, the policy may have hooks,
// and may want whoever has no good tree out of its pools; sources may fall silent.
func Draw(dice Dice) (*Play, error) {
	plan, err := drawPlan(dice)
	if err != nil {
		return nil, err
	}
	p := &Play{Plan: plan}
	percent := func(label string) int { return []int{0, 3, 30, 100}[dice(4, label)] }
	bad := map[rollout.StepKind]int{
		rollout.StepSync: percent("bad syncs") / 2, rollout.StepCheck: percent("bad checks"), rollout.StepRollback: percent("bad rollbacks"),
		rollout.StepQuarantine: percent("bad quarantines"), rollout.StepRecheck: percent("bad looks"),
		rollout.StepRelease: percent("bad releases"),
		rollout.StepHook:    percent("bad hooks") / 2, rollout.StepPost: percent("bad posts") / 2, rollout.StepOnFailure: percent("bad failures"),
	}
	classes := map[rollout.StepKind][]rollout.Class{
		rollout.StepSync:     {rollout.Transient, rollout.Permanent, rollout.Busy},
		rollout.StepCheck:    {rollout.Transient},
		rollout.StepRollback: {rollout.Transient, rollout.Permanent, rollout.Busy}, rollout.StepRecheck: {rollout.Transient, rollout.Changed},
		rollout.StepQuarantine: {rollout.Transient, rollout.Capacity}, rollout.StepRelease: {rollout.Transient, rollout.Permanent},
		rollout.StepHook: {rollout.Permanent, rollout.Transient},
		rollout.StepPost: {rollout.Transient, rollout.Permanent, rollout.Busy}, rollout.StepOnFailure: {rollout.Transient, rollout.Permanent},
	}
	p.Do = func(step rollout.Step) (time.Duration, *rollout.Event) {
		took := time.Duration(1+dice(9, "seconds")) * time.Second
		if dice(100, "luck") >= bad[step.Kind] {
			if step.Kind == rollout.StepQuarantine && dice(5, "pools") == 0 {
				return took, &rollout.Event{Kind: rollout.StepDone, Detail: "it is in no pool"}
			}
			return took, nil
		}
		if step.Kind == rollout.StepCheck && dice(2, "fail") == 0 {
			return took, &rollout.Event{Kind: rollout.StepDone, Verdict: rollout.Fail, Detail: "status 500, not 200"}
		}
		class := classes[step.Kind][dice(len(classes[step.Kind]), "class")]
		if step.Kind == rollout.StepQuarantine && len(step.Objects) > 0 && class == rollout.Capacity {
			class = rollout.Transient // it has served, and is out already: that takes nothing from a pool
		}
		return took, Fail(class, string(step.Kind)+" does not work")
	}
	if dice(4, "abort") == 0 {
		p.World = []Happening{{
			After: time.Duration(1+dice(60, "abort at")) * time.Second,
			Event: rollout.Event{Kind: rollout.AbortAsked, Level: 1 + dice(2, "level"), Detail: "interrupted"},
		}}
	}
	if dice(4, "silent") == 0 {
		var sources []string
		for _, h := range plan.Hosts {
			if h.Slots > 0 {
				sources = append(sources, h.Name)
			}
		}
		if len(sources) > 0 {
			p.World = append(p.World, Happening{
				After: time.Duration(1+dice(60, "silent at")) * time.Second,
				Event: rollout.Event{Kind: rollout.SourceSilent, Host: sources[dice(len(sources), "silent source")], Error: "no answer for 15s"},
			})
			slices.SortStableFunc(p.World, func(a, b Happening) int { return cmp.Compare(a.After, b.After) })
		}
	}
	if dice(3, "resumed") == 0 {
		p.Resumed = 1 + dice(60, "resumed at")
	}
	return p, nil
}

func drawPlan(dice Dice) (*rollout.Plan, error) {
	f := Fleet(3 + dice(18, "hosts"))
	r, settings := Request(), Settings()
	var moments []rollout.Moment
	for _, m := range []rollout.Moment{rollout.MomentPre, rollout.MomentPost, rollout.MomentOnFailure} {
		if dice(3, "hook") == 0 {
			moments = append(moments, m)
		}
	}
	plans := rollout.NewPlan
	switch dice(6, "kind of run") {
	case 0:
		r, plans = Rollback(), rollout.NewRollback
		for _, h := range f.Hosts[len(f.Masters):] {
			r.Selection = append(r.Selection, h.Name)
		}
	case 1:
		r.Tree, r.Delta, r.MaxDelete = nil, nil, -1
	case 2:
		r.Mode = inventory.ModeCanary
	default:
		r.Keep, r.Pools = dice(2, "all keep") == 0, dice(4, "pools") > 0
	}
	r.Hooks = moments
	r.Post, r.OnFailure, r.Down, r.Quarantined = map[string]bool{}, map[string]bool{}, map[string]string{}, map[string]string{}
	some := []int{0, 0, 3, 1}
	post, onFailure, down, quarantined := some[dice(4, "post")], some[dice(4, "on failure")], some[dice(3, "down")],
		some[dice(3, "quarantined")]
	if down > 0 || dice(2, "budget") == 0 {
		settings.Batches.MaxFailures = inventory.Amount{Count: 6}
	}
	if dice(2, "quarantine") == 0 {
		r.Quarantine = inventory.QuarantineAll
	}
	one := func(in int, label string) bool { return in > 0 && dice(in, label) == 0 }
	for _, h := range f.Hosts[1:] { // all but the origin
		r.Post[h.Name], r.OnFailure[h.Name] = one(post, "has post"), one(onFailure, "has on failure")
		if one(2*down, "is down") && len(r.Down) < 4 {
			r.Down[h.Name] = "ssh: connect to host " + h.Name + ": connection timed out"
		}
		if r.Pools && one(2*quarantined, "is quarantined") {
			r.Quarantined[h.Name] = "20160131-100000-2222"
		}
	}
	p, err := plans(f, settings, r)
	if errors.Is(err, rollout.ErrDown) {
		r.Down = nil // nobody is left to be a canary
		return plans(f, settings, r)
	}
	return p, err
}
