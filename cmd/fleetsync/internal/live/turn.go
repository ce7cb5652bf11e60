package live

import (
	"fmt"
	"time"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// reportEvery is the least time between two lines of progress. They are driven by events: where
// nothing happens, nothing is said.
const reportEvery = 10 * time.Second

// turn tells what a turn of the loop changed in the run as a whole.
func (s *story) turn(state view) {
	s.gate(state)
	_, place, _ := state.Stage()
	if s.place < 0 {
		s.place = place
		s.begin()
	}
	for s.place < place {
		s.end()
		s.place++
		if state.Stopping == "" || s.place < len(s.plan.Stages) && s.plan.Stages[s.place].Kind == rollout.StageRepool {
			s.begin() // else nothing of it will start
		}
	}
	if why := state.Stopping; why != "" && s.stopping == "" {
		s.stop(why)
	}
	if s.ended > 0 {
		then := ", and will be tried again from another source"
		if s.stopping != "" {
			then = ""
		}
		s.tell(note, "%s stopped%s", text.Plural(s.ended, "running sync"), then)
		s.ended = 0
	}
	if s.endedUndos > 0 {
		s.tell(bad, "%s stopped: the tree there may be mixed", text.Plural(s.endedUndos, "running rollback"))
		s.endedUndos = 0
	}
	s.turnOfHooks()
	s.backs()
	if s.at.Sub(s.reported) >= reportEvery && (s.stopping == "" || len(s.flights) > 0) {
		s.report()
	}
}

// gate tells the verdict, once.
func (s *story) gate(state view) {
	verdict, why := state.Gate.Verdict, state.Gate.Why
	if s.gated || verdict == "" {
		return
	}
	s.gated = true
	took := ""
	if s.place >= 0 && s.place < len(s.stages) && s.plan.Stages[s.place].Kind == rollout.StageCheck {
		took = " after " + text.Time(s.at.Sub(s.stages[s.place].began))
	}
	switch {
	case verdict == rollout.Pass:
		s.tell(good, "gate: pass%s", took)
	case s.plan.Force != "":
		s.tell(warn, "gate: %s%s, overridden (%s): %s", name(string(verdict)), took, reason(s.plan.Force), reason(why))
	default:
		s.tell(bad, "gate: %s%s: %s; nothing new starts%s", name(string(verdict)), took, reason(why), s.keeping())
		s.stopTold = true
	}
}

// begin tells that the current stage begins.
func (s *story) begin() {
	s.reported = s.at
	if s.place == len(s.stages) {
		return
	}
	stage, c := s.plan.Stages[s.place], &s.stages[s.place]
	c.began = s.at
	switch stage.Kind {
	case rollout.StageSync, rollout.StageUndo:
		what := "sync"
		if stage.Kind == rollout.StageUndo {
			what = "roll back"
		}
		c.left = c.total - c.done
		if c.left > 0 {
			s.tellPlain("%s: %s to %s", name(stage.Name), text.Hosts(c.left), what)
		}
	case rollout.StageCheck:
		s.tellPlain("%s: %s of %s, soak %s", name(stage.Name), text.Plural(len(s.plan.Gate.Checks), "check"),
			text.Fold(stage.Hosts, maxFold), text.Time(time.Duration(s.plan.Gate.Soak)))
	case rollout.StageDepool:
		s.tellPlain("%s: %s to be taken out", name(stage.Name), text.Fold(stage.Hosts, maxFold))
	case rollout.StageRepool:
		s.tellPlain("%s: %s to be put back", name(stage.Name), text.Fold(stage.Hosts, maxFold))
	case rollout.StageHook: // its step tells
	}
}

// end tells that the current stage is complete.
func (s *story) end() {
	stage, c := s.plan.Stages[s.place], &s.stages[s.place]
	took := text.Time(s.at.Sub(c.began))
	switch stage.Kind {
	case rollout.StageSync, rollout.StageUndo:
		failed := max(0, c.total-c.done) // whoever of a complete stage is not synced
		if c.left == 0 {
			return // it was complete when the run went on
		}
		if failed == 0 {
			s.tell(good, "%s: %s %s in %s", name(stage.Name), text.Hosts(c.done), s.verb(), took)
		} else {
			s.tell(warn, "%s: %s of %s %s in %s, %s failed", name(stage.Name), text.Count(c.done), text.Hosts(c.total), s.verb(), took, text.Count(failed))
		}
	case rollout.StageDepool:
		if len(s.held) > 0 {
			s.tell(good, "%s: %s out of the pools in %s", name(stage.Name), text.Hosts(len(s.held)), took)
		}
	case rollout.StageRepool:
		if len(s.held) == 0 {
			s.tell(good, "%s: all are back in the pools in %s", name(stage.Name), took)
		}
	case rollout.StageCheck, rollout.StageHook: // what there is to tell has been told
	}
}

// stop tells why nothing new starts, unless somebody asked for it, which has been told.
func (s *story) stop(why string) {
	s.stopping = why
	if s.stopTold {
		return
	}
	ending := ""
	if n := len(s.flights); n > 0 {
		what := "sync"
		if s.plan.Undoes != "" {
			what = "rollback"
		}
		ending = fmt.Sprintf("; %s in flight may end", text.Plural(n, what))
	}
	s.tell(bad, "halted: %s; nothing new starts%s", reason(why), ending)
}

// report tells how far the current stage has come.
func (s *story) report() {
	if s.place < 0 || s.place == len(s.stages) {
		return
	}
	switch s.plan.Stages[s.place].Kind {
	case rollout.StageSync, rollout.StageUndo:
	case rollout.StageCheck, rollout.StageDepool, rollout.StageRepool, rollout.StageHook:
		return
	}
	s.reported = s.at
	c := s.stages[s.place]
	failed := ""
	if c.failed > 0 {
		failed = fmt.Sprintf(", %s failed", text.Count(c.failed))
	}
	moved := ", " + text.Bytes(s.bytes)
	if s.plan.Undoes != "" {
		moved = ""
	}
	if n := len(s.hooks.ending); n > 0 {
		moved = fmt.Sprintf(", %s in their post hooks", text.Count(n)) + moved
	}
	s.tellPlain("%s: %s of %s %s%s, %s in flight%s", name(s.plan.Stages[s.place].Name), text.Count(c.done),
		text.Hosts(c.total), s.verb(), failed, text.Count(len(s.flights)), moved)
}
