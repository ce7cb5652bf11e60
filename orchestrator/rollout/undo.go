package rollout

import (
	"fmt"
	"time"
)

// undo is what a run knows of putting a host's tree back as it was.
type undo struct {
	wanted    bool // of a canary: the gate did not pass
	attempts  int  // started
	failures  int  // of those, failed in a way that counts
	busySince time.Time
	due       time.Time
	gaveUp    bool
	fresh     bool // put back before the run began again, and not synced since
}

// quarantine is what a run knows of taking a host that has no good tree out of its pools.
type quarantine struct {
	running  bool
	failures int
	due      time.Time
	done     bool
	gaveUp   bool
	why      string // the host has no good tree
	err      string // why the last attempt failed
}

// condemn wants the canaries rolled back that the run has touched: the gate did not pass.
func (s *State) condemn() {
	s.mends = true
	for _, i := range s.canaries {
		if h := &s.hosts[i]; h.attempts > 0 && !h.undo.fresh && s.Plan.Hosts[i].Keep {
			h.undo.wanted = true
		}
	}
}

// condemned says whether a canary is to be rolled back now or later. The second Ctrl-C and a lost lock leave
// it as it is.
func (s *State) condemned(i int) bool {
	h := &s.hosts[i]
	return h.undo.wanted && !h.undo.gaveUp && h.sync != rolledBack && s.abort < AbortNow
}

// quarantinable says whether a host is to be taken out of its pools now or later.
func (s *State) quarantinable(i int) bool {
	q := s.hosts[i].quarantine
	return q != nil && !q.done && !q.gaveUp && s.abort < AbortNow
}

// mending says whether something is left to be done for canaries after the gate did not pass.
func (s *State) mending() bool {
	if !s.mends {
		return false
	}
	for _, i := range s.canaries {
		if s.condemned(i) || s.quarantinable(i) {
			return true
		}
	}
	return false
}

// mend rolls back canaries, as many at once as hosts may be synced, and takes those out of their pools that
// cannot be: one at a time, as each is judged by what the one before has left in the pool.
func (d *decider) mend() {
	s := d.s
	if !s.mends {
		return
	}
	d.room = s.Plan.Limits.Parallel - s.syncing
	quarantining := s.depools > 0
	for _, i := range s.canaries {
		h := &s.hosts[i]
		switch {
		case h.sync == syncing:
		case s.condemned(i):
			if h.undo.due.After(d.now) {
				earliest(&d.Wake, h.undo.due)
				continue
			}
			if d.room > 0 {
				d.startUndo(i)
			}
		case s.quarantinable(i) && !h.quarantine.running && !quarantining:
			if h.quarantine.due.After(d.now) {
				earliest(&d.Wake, h.quarantine.due)
				continue
			}
			quarantining = true
			name := s.Plan.Hosts[i].Name
			d.Start = append(d.Start, Step{
				ID: stepID(StepQuarantine, name), Kind: StepQuarantine, Attempt: h.takings + 1, Host: name,
			})
		}
	}
}

// undos starts the rollbacks of a stage, as many at once as hosts may be synced.
func (d *decider) undos() {
	s := d.s
	d.room = s.Plan.Limits.Parallel - s.syncing
	if d.room <= 0 {
		return
	}
	s.delayed.walk(d.now, func(i int) bool {
		d.startUndo(i)
		return d.room > 0
	})
	for i := s.ready.head(); i != none && d.room > 0; i = s.ready.next(anywhere, i) {
		d.startUndo(i)
	}
	if d.room > 0 {
		earliest(&d.Wake, s.delayed.wake(d.now))
	}
}

func (d *decider) startUndo(i int) {
	name := d.s.Plan.Hosts[i].Name
	d.Start = append(d.Start, Step{
		ID: stepID(StepRollback, name), Kind: StepRollback, Attempt: d.s.hosts[i].undo.attempts + 1, Host: name,
	})
	d.room--
}

func (s *State) undoStarted(i int, e Event) error {
	h := &s.hosts[i]
	switch {
	case s.Plan.Undoes == "" && !h.undo.wanted:
		return fmt.Errorf("nothing says that the host is to be rolled back")
	case h.sync == syncing, h.sync == rolledBack:
		return fmt.Errorf("the host is %s", h.sync)
	}
	h.sync, h.undo.attempts, h.at = syncing, e.Attempt, e.At
	s.ready.remove(i)
	s.delayed.remove(i)
	s.syncing++
	return nil
}

// undoEnded folds the end of a rollback: of a canary that the gate condemned, or of any host in a run that
// rolls back another.
func (s *State) undoEnded(i int, e Event, done bool) {
	h := &s.hosts[i]
	s.syncing--
	h.at = e.At
	if done {
		h.sync, h.err, h.class = rolledBack, "", ""
		h.undo.busySince, h.undo.due = time.Time{}, time.Time{}
		if s.Plan.Undoes != "" {
			s.settle(i)
		}
		return
	}
	h.sync, h.err, h.class = waiting, e.Error, e.Class
	switch e.Class {
	case Stopped:
		s.undoAgain(i, time.Time{})
		return
	case Busy:
		if h.undo.busySince.IsZero() {
			h.undo.busySince = e.At
		}
		if e.At.Before(h.undo.busySince.Add(time.Duration(s.Plan.Limits.Timeout))) {
			s.undoAgain(i, e.At.Add(s.backoff(1)))
			return
		}
	case Transient:
		h.undo.busySince = time.Time{}
		if h.undo.failures++; h.undo.failures < s.Plan.Limits.Attempts {
			s.undoAgain(i, e.At.Add(s.backoff(h.undo.failures)))
			return
		}
	default: // for good
	}
	h.sync, h.undo.gaveUp = failed, true
	if s.Plan.Undoes != "" {
		s.gaveUp(i, "rolled back")
		return
	}
	if s.Plan.Quarantine && h.quarantine == nil {
		h.quarantine = &quarantine{why: "it cannot be rolled back: " + e.Error}
	}
}

// undoAgain puts a host among those to be rolled back, not before due.
func (s *State) undoAgain(i int, due time.Time) {
	if s.Plan.Undoes != "" {
		s.wait(i, due)
		return
	}
	s.hosts[i].undo.due = due
}

func (s *State) quarantineEnded(i int, e Event, done bool) {
	q := s.hosts[i].quarantine
	q.running = false
	s.depools--
	if done {
		q.done, q.err = true, ""
		if e.Detail != "" {
			q.why += " (" + e.Detail + ")"
		}
		return
	}
	q.err = e.Error
	if e.Class == Stopped {
		return
	}
	q.failures++
	q.due = e.At.Add(s.backoff(q.failures))
	q.gaveUp = e.Class == Capacity || e.Class == Permanent || q.failures >= s.Plan.Limits.Attempts
}
