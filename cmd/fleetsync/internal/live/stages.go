package live

import (
	"fmt"
	"time"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// verb is what a run does to its hosts.
func verb(s *rollout.Snapshot) string {
	if s.Plan.Undoes != "" {
		return "rolled back"
	}
	return "synced"
}

// did says how many of so many hosts have what the run was to bring them, or had it and were rolled back.
func did(s *rollout.Snapshot, c rollout.Counts, hosts int) string {
	said := text.Count(s.Done(c)) + " of " + text.Hosts(hosts) + " " + verb(s)
	if s.Plan.Undoes == "" && c.RolledBack > 0 {
		said += fmt.Sprintf(", %s rolled back", text.Count(c.RolledBack))
	}
	return said
}

// stages tells which stages have ended and begun.
func (t *teller) stages() {
	if t.stage < 0 {
		t.stage = t.Place
		t.stageBegins()
	}
	for t.stage < t.Place {
		t.stageEnds(t.Stages[t.stage])
		t.stage++
		if t.Stopping == "" || t.stage < len(t.Stages) && t.Stages[t.stage].Kind == rollout.StageRepool {
			t.stageBegins() // else nothing of it will start
		}
	}
}

func (t *teller) stageBegins() {
	t.progress = t.at
	if t.stage == len(t.Stages) {
		return
	}
	stage, what, hosts := t.Stages[t.stage], "", text.Fold(t.Plan.Stages[t.stage].Hosts, maxFold)
	switch stage.Kind {
	case rollout.StageSync:
		hosts, what = text.Hosts(stage.Left), " to sync"
	case rollout.StageUndo:
		hosts, what = text.Hosts(stage.Left), " to roll back"
	case rollout.StageCheck:
		hosts, what = text.Plural(len(t.Gate.Checks), "check")+" of "+hosts, ", soak "+text.Time(time.Duration(t.Plan.Gate.Soak))
	case rollout.StageDepool:
		what = " to be taken out"
	case rollout.StageRepool:
		what = " to be put back"
	case rollout.StageHook: // its step tells
	}
	if what != "" && (stage.Counts.Hosts == 0 || stage.Left > 0) { // else it was complete when the run went on
		t.tellPlain("%s: %s%s", name(stage.Name), hosts, what)
	}
}

func (t *teller) stageEnds(stage *rollout.StageReport) {
	title, took, c := name(stage.Name), text.Time(stage.Ended.Sub(stage.Began)), stage.Counts
	switch changed := stage.Left > 0; {
	case changed && t.Done(c) == c.Hosts:
		t.tell(good, "%s: %s %s in %s", title, text.Hosts(c.Hosts), verb(t.Snapshot), took)
	case changed:
		t.tell(warn, "%s: %s in %s, %s failed", title, did(t.Snapshot, c, c.Hosts), took, text.Count(c.Failed))
	case stage.Kind == rollout.StageDepool && len(t.Out) > 0:
		t.tell(good, "%s: %s out of the pools in %s", title, text.Hosts(len(t.Out)), took)
	case stage.Kind != rollout.StageRepool || len(t.Held) > 0: // who is held still is named at the end
	case t.PoolsIn(rollout.PoolQuarantined) > 0:
		t.tell(good, "%s: %s back in the pools in %s, the others are in quarantine", title, text.Hosts(t.PoolsIn(rollout.PoolBack)), took)
	default:
		t.tell(good, "%s: all are back in the pools in %s", title, took)
	}
}

// howFar tells how far a stage that changes hosts has come, from time to time: where nothing happens, nothing is said.
func (t *teller) howFar() {
	const pause = 10 * time.Second
	flights := len(t.Flights(rollout.StepSync, rollout.StepRollback))
	if t.at.Sub(t.progress) < pause || t.RollingBack || t.Stopping != "" && flights == 0 || t.stage == len(t.Stages) {
		return
	}
	stage := t.Stages[t.stage]
	if stage.Counts.Hosts == 0 {
		return
	}
	t.progress = t.at
	said := did(t.Snapshot, stage.Counts, stage.Counts.Hosts)
	if n := stage.Counts.Failed; n > 0 {
		said += ", " + text.Count(n) + " failed"
	}
	said += ", " + text.Count(flights) + " in flight"
	if n := t.Counts.InHooks; n > 0 {
		said += ", " + text.Count(n) + " in their post hooks"
	}
	if t.Plan.Undoes == "" {
		said += ", " + text.Bytes(t.Outcome.Bytes)
	}
	t.tellPlain("%s: %s", name(stage.Name), said)
}
