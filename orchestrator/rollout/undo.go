package rollout

import (
	"fmt"
	"slices"
	"time"
)

// undo is what a run knows of putting a host's tree back as it was.
type undo struct {
	wanted   bool // of a canary: the gate did not pass
	attempts int  // started
	tries         // of those, failed
	due      time.Time
	gaveUp   bool
	fresh    bool // put back before the run began again, and not synced since
}

// wantRollbacks wants the canaries rolled back that the run has touched: the gate did not pass.
func (s *State) wantRollbacks() {
	s.rollingBack = true
	for _, i := range s.canaries {
		if h := &s.hosts[i]; h.attempts > 0 && !h.undo.fresh && s.Plan.Hosts[i].Keep {
			h.undo.wanted = true
		}
	}
}

// toRollBack says whether a canary is to be rolled back now or later. The second Ctrl-C and a lost lock leave
// it as it is.
func (s *State) toRollBack(i int) bool {
	h := &s.hosts[i]
	return h.undo.wanted && !h.undo.gaveUp && h.sync != rolledBack && s.abort < AbortNow
}

// rollbacksLeft says whether canaries are left to be rolled back after the gate did not pass.
func (s *State) rollbacksLeft() bool {
	return s.rollingBack && slices.ContainsFunc(s.canaries, s.toRollBack)
}

// rollbacks rolls back canaries, as many at once as hosts may be synced.
func (d *decider) rollbacks() {
	s := d.s
	if !s.rollingBack {
		return
	}
	d.room = s.Plan.Limits.Parallel - s.syncing
	for _, i := range s.canaries {
		switch h := &s.hosts[i]; {
		case h.sync == syncing || h.hook.running || !s.toRollBack(i):
		case h.undo.due.After(d.now):
			earliest(&d.Wake, h.undo.due)
		case d.room > 0:
			d.startUndo(i)
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
	d.begin(i, d.s.hosts[i].undo.attempts, Step{Kind: StepRollback})
	d.room--
}

func (s *State) undoStarted(i int, e *Event) error {
	h := &s.hosts[i]
	switch {
	case s.Plan.Undoes == "" && !h.undo.wanted:
		return fmt.Errorf("nothing says that the host is to be rolled back")
	case h.sync == syncing, h.sync == rolledBack, h.hook.running:
		return fmt.Errorf("the host is %s", h.sync)
	}
	h.sync, h.undo.attempts, h.at = syncing, e.Attempt, e.At
	h.err, h.class = "", ""
	s.ready.remove(i)
	s.delayed.remove(i)
	s.postHooks.remove(i)
	s.failureHooks.remove(i)
	h.hook.wanted, h.hook.post = false, "" // should the rollback fail, too, on_failure is wanted again
	s.syncing++
	return nil
}

// undoEnded folds the end of a rollback: of a canary that the gate did not pass, or of any host in a run that
// rolls back another.
func (s *State) undoEnded(i int, e *Event, done bool) {
	h := &s.hosts[i]
	s.syncing--
	h.at = e.At
	if done {
		h.sync, h.err, h.class = rolledBack, "", ""
		if e.Detail != "" {
			s.hooked = append(s.hooked, HookResult{Host: e.Host, Detail: e.Detail})
		}
		h.undo.busySince, h.undo.due = time.Time{}, time.Time{}
		if s.Plan.Undoes != "" {
			s.finalize(i)
		}
		return
	}
	h.sync, h.err, h.class = waiting, e.Error, e.Class
	due, why := s.again(&h.undo.tries, e)
	e.Failures = h.undo.failures
	if why == "" {
		if s.Plan.Undoes != "" {
			s.wait(i, due)
			e.retried(due, s.stopping())
		} else {
			h.undo.due = due
			e.retried(due, s.abort >= AbortNow)
		}
		return
	}
	e.gaveUp(why)
	h.sync, h.undo.gaveUp = failed, true
	if s.Plan.Undoes != "" {
		s.failedForGood(i, "rolled back", h.err)
		return
	}
	s.wantFailureHook(i)
	if s.Plan.Quarantine {
		s.wantQuarantine(i, "it cannot be rolled back: "+e.Error)
	}
}
