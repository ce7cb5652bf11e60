package rollout

import "time"

// recheckPause is how long after a recheck of a master the next one begins, unless a stage waits for it: while
// a master serves many hosts, somebody has always just pulled from it.
const recheckPause = 5 * time.Second

// recheck is what a run knows of whether a master still has its tree. Nobody tells when a tree changes, so it is
// looked at after each pull from it. What was pulled while it changed is found out by the host's own digest.
type recheck struct {
	pulled   bool // since the last recheck began
	running  bool
	attempts int
	failures int       // in succession
	ended    time.Time // the last one
	due      time.Time
}

// unchecked says whether somebody has pulled from a master that was not looked at since: what it served is
// not yet known to be the run's tree.
func (s *State) unchecked() bool {
	for _, i := range s.masters {
		if l := s.hosts[i].recheck; l.pulled || l.running {
			return true
		}
	}
	return false
}

// pulled records that a transfer from a source has ended, however it did.
func (s *State) pulled(i int) {
	if h := &s.hosts[i]; h.recheck != nil && !h.source.lost {
		h.recheck.pulled = true
	}
}

// suspect has a master looked at without a pause: a transfer failed that it may be the reason for.
func (s *State) suspect(i int) {
	if l := s.hosts[i].recheck; l != nil {
		l.ended = time.Time{}
	}
}

func (s *State) recheckStarted(i, attempt int) {
	l := s.hosts[i].recheck
	l.pulled, l.running, l.attempts = false, true, attempt
}

// recheckEnded folds what was seen. A master that cannot be looked at any more is no source either: only
// what is known to hold the run's tree may serve it.
func (s *State) recheckEnded(i int, e *Event, done bool) {
	l := s.hosts[i].recheck
	l.running, l.ended, l.due = false, e.At, time.Time{}
	switch {
	case done:
		l.failures = 0
	case e.Class == Changed:
		e.gaveUp(GiveUpPermanent)
		s.lose(i)
	case e.Class == Stopped:
		l.pulled = true
		e.retried(time.Time{}, s.stopping())
	default:
		l.failures++
		l.pulled = true
		l.due = e.At.Add(s.backoff(l.failures))
		e.Failures = l.failures
		if l.failures >= s.Plan.Limits.Attempts {
			e.gaveUp(GiveUpAttempts)
			s.lose(i)
		} else {
			e.retried(l.due, s.stopping())
		}
	}
	if s.hosts[i].source.lost {
		l.pulled = false
		if !done && e.GiveUp != GiveUpAttempts {
			e.gaveUp(GiveUpPermanent)
		}
	}
}

// lose records that a source must not serve any more.
func (s *State) lose(i int) {
	s.hosts[i].source.lost = true
	s.anyLost = true
	if l := s.hosts[i].recheck; l != nil {
		l.pulled = false
	}
	s.reconsider(i)
	s.updateOrigin()
}

// rechecks starts the rechecks that are due.
func (d *decider) rechecks() {
	s := d.s
	for _, i := range s.masters {
		l := s.hosts[i].recheck
		if !l.pulled || l.running {
			continue
		}
		due := l.due
		if next := l.ended.Add(recheckPause); s.stageLeft > 0 && !l.ended.IsZero() && next.After(due) {
			due = next
		}
		if due.After(d.now) {
			earliest(&d.Wake, due)
			continue
		}
		d.begin(i, l.attempts, Step{Kind: StepRecheck})
	}
}
