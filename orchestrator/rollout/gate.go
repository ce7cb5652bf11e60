package rollout

import (
	"fmt"
	"time"
)

// gate is how the canaries stand. Its verdict is empty until it is known.
type gate struct {
	opened  time.Time // when the last canary was synced
	checks  []check
	verdict Verdict
	why     string
	decided time.Time // when the verdict became known
}

type check struct {
	name     string
	round    int
	running  bool
	started  time.Time // of its last round
	last     Verdict   // of the last round that ended
	unknowns int       // in succession
	passed   bool      // a round that began after the soak
}

// soaked is when a round must begin to count for the gate.
func (s *State) soaked() time.Time { return s.gate.opened.Add(time.Duration(s.Plan.Gate.Soak)) }

// due returns when the next round of c is to start.
func (s *State) due(c *check) time.Time {
	soaked := s.soaked()
	if c.name == SoakCheck {
		return soaked
	}
	if c.round == 0 || c.started.Before(s.gate.opened) {
		return s.gate.opened
	}
	due := c.started.Add(time.Duration(s.Plan.Gate.Interval))
	if c.started.Before(soaked) && soaked.Before(due) {
		return soaked
	}
	return due
}

// judged folds the end of a round into the gate: one fail decides it; unknown is tried again, but
// never counts as pass; pass counts when the round began after the soak.
func (s *State) judged(c *check, v Verdict, detail string) {
	if c.last = v; v != Pass && v != Fail {
		c.last = Unknown
	}
	switch v {
	case Pass:
		c.unknowns = 0
		c.passed = !c.started.Before(s.soaked())
	case Fail:
		s.decide(Fail, fmt.Sprintf("check %q failed: %s", c.name, detail))
		return
	default: // unknown, and what is no verdict
		c.unknowns++
		c.passed = false
		if c.unknowns > s.Plan.Gate.Unknowns {
			s.decide(Unknown, fmt.Sprintf("check %q is unknown %d times in succession: %s", c.name, c.unknowns, detail))
			return
		}
	}
	for i := range s.gate.checks {
		if !s.gate.checks[i].passed {
			return
		}
	}
	s.decide(Pass, "")
}

// decide closes the gate. What does not pass halts the run, unless it was forced.
func (s *State) decide(v Verdict, why string) {
	if s.gate.verdict != "" {
		return
	}
	s.gate.verdict, s.gate.why = v, why
	if v != Pass && s.Plan.Force == "" {
		s.wantRollbacks()
		s.stop(HaltGate, fmt.Sprintf("the gate says %s: %s", v, why))
	}
}

func (s *State) check(name string) *check {
	for i := range s.gate.checks {
		if s.gate.checks[i].name == name {
			return &s.gate.checks[i]
		}
	}
	return nil
}
