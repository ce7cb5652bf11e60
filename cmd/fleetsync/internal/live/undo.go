package live

import (
	"fmt"
	"time"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// tries counts the failures of steps whose fate the state does not tell while a run stops. They are kept as package
// rollout keeps them.
type tries struct {
	failures  int // in succession
	busySince time.Time
}

// again says whether a step that failed is tried again.
func (t *tries) again(e rollout.Event, l rollout.Limits) bool {
	switch e.Class {
	case rollout.Stopped:
		return true
	case rollout.Busy:
		if t.busySince.IsZero() {
			t.busySince = e.At
		}
		return e.At.Before(t.busySince.Add(time.Duration(l.Timeout)))
	case rollout.Transient, rollout.Conflict, rollout.Unhealthy:
		t.failures++
		t.busySince = time.Time{}
		return t.failures < l.Attempts
	case rollout.Permanent, rollout.Capacity, rollout.Changed:
		return false
	default:
		return false
	}
}

// tried returns what is known of the failures of a step.
func (s *story) tried(id rollout.StepID) *tries {
	t := s.trials[id]
	if t == nil {
		t = &tries{}
		s.trials[id] = t
	}
	return t
}

// fromKept stands where a transfer has its source: a host that is rolled back takes the tree from itself.
const fromKept = "what it kept"

// undo folds the rollback of a host.
func (s *story) undo(e rollout.Event) {
	stage := &s.stages[s.stageOf[e.Host]]
	if e.Kind == rollout.StepStarted {
		if s.has[e.Host] {
			delete(s.has, e.Host)
			s.synced--
			stage.done--
		}
		s.notFailed(e.Host, stage)
		delete(s.hooks.ending, e.Host)
		delete(s.trials, rollout.StepID(string(rollout.StepOnFailure)+"/"+e.Host))
		s.flights[e.Host] = &flight{source: fromKept, attempt: e.Attempt, since: e.At, undo: true}
		s.undoing++
		return
	}
	delete(s.flights, e.Host)
	s.undoing--
	if e.Kind == rollout.StepDone {
		s.undone[e.Host] = true
		if s.plan.Undoes != "" {
			stage.done++
		} else {
			s.back++
		}
		if e.Detail != "" {
			if suffix, show := s.again.admit(e.Host, e.Detail); show {
				s.tellPlain("%s: rolled back: %s%s", name(e.Host), reason(e.Detail), suffix)
			}
		}
		return
	}
	if e.Class == rollout.Stopped {
		s.endedUndos++
		return
	}
	limit, kind, then := &s.final, bad, "not tried again"
	if s.tried(e.Step).again(e, s.plan.Limits) && (s.plan.Undoes == "" || s.stopping == "") {
		limit, kind, then = &s.again, warn, "will be tried again"
	} else {
		s.failed[e.Host] = true
		stage.failed++
	}
	if suffix, show := limit.admit(e.Host, string(e.Class)+e.Error); show {
		s.tell(kind, "%s: cannot be rolled back: %s (attempt %d, %s)%s", name(e.Host), because(e), e.Attempt, then, suffix)
	}
}

// notFailed takes back that a host has failed for good.
func (s *story) notFailed(host string, stage *chapter) {
	if s.failed[host] {
		delete(s.failed, host)
		stage.failed--
	}
}

// look folds a look at a master. Somebody looks all the time, so only what is wrong is told.
func (s *story) look(e rollout.Event) {
	switch {
	case e.Kind == rollout.StepStarted:
	case e.Kind == rollout.StepDone:
		delete(s.trials, e.Step)
	case e.Class == rollout.Stopped:
	case e.Class == rollout.Changed:
		s.changed(e)
	case s.tried(e.Step).again(e, s.plan.Limits):
		s.tell(warn, "%s: cannot be looked at: %s (attempt %d, will be tried again)",
			name(e.Host), because(e), e.Attempt)
	default:
		s.tell(bad, "%s cannot be looked at: no source any more: %s", s.master(e.Host), because(e))
	}
}

// changed tells once that a source does not hold the run's tree any more: the look that found it and the event that
// follows say the same.
func (s *story) changed(e rollout.Event) {
	if s.lost[e.Host] {
		return
	}
	s.lost[e.Host] = true
	s.tell(bad, "%s HAS CHANGED: no source any more%s", s.master(e.Host), detail(e))
}

// master names a master, and the origin as such.
func (s *story) master(host string) string {
	if host == s.plan.Origin {
		return "the origin " + name(host)
	}
	return name(host)
}

// backs tells of the canaries that have been rolled back, once none is in flight.
func (s *story) backs() {
	if s.back == 0 || s.undoing > 0 {
		return
	}
	s.tell(good, "canaries: %s rolled back, with the tree that was there before", text.Hosts(s.back))
	s.back = 0
}

// keeping says what becomes of the canaries where the gate does not pass.
func (s *story) keeping() string {
	for _, h := range s.plan.Hosts {
		if h.Role == rollout.RoleCanary && h.Keep {
			return ", and the canaries get back what they had"
		}
	}
	return ""
}

// verb is what the run does to its hosts.
func (s *story) verb() string {
	if s.plan.Undoes != "" {
		return "rolled back"
	}
	return "synced"
}

// did is how many hosts have what the run was to bring them.
func (s *story) did() int {
	if s.plan.Undoes != "" {
		return len(s.undone)
	}
	return s.synced
}

// taken says how many of the hosts have lost again what the run brought them.
func (s *story) taken() string {
	if s.plan.Undoes != "" || len(s.undone) == 0 {
		return ""
	}
	return fmt.Sprintf(", %s rolled back", text.Count(len(s.undone)))
}
