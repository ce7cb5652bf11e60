package rollout

import "time"

// tries counts the failures of one step. The zero tries has none.
type tries struct {
	failures  int       // that count against the attempts that it has
	busySince time.Time // since somebody else writes what it would write; zero: nobody does
}

// again counts that a step failed, and says whether it is to be tried again, and not before when. What we ended ourselves says
// nothing of it and is tried at once; what is busy is waited for, as long as one attempt may take; what may pass has so many
// attempts; the rest has failed for good. A reason to give up is empty if it is tried again.
func (s *State) again(t *tries, e *Event) (due time.Time, why GiveUp) {
	switch e.Class {
	case Stopped:
		return time.Time{}, ""
	case Busy:
		if t.busySince.IsZero() {
			t.busySince = e.At
		}
		if !e.At.Before(t.busySince.Add(time.Duration(s.Plan.Limits.Timeout))) {
			why = GiveUpTime
		}
		return e.At.Add(s.backoff(1)), why
	case Transient:
		t.busySince = time.Time{}
		t.failures++
		if t.failures >= s.Plan.Limits.Attempts {
			why = GiveUpAttempts
		}
		return e.At.Add(s.backoff(t.failures)), why
	default: // permanent, and what no such step should end with
		return time.Time{}, GiveUpPermanent
	}
}

// retried says in an event that its step is tried again, not before due. Once it is not because the run stops: while that
// is so, nothing is that the run was to bring to its hosts.
func (e *Event) retried(due time.Time, stopping bool) {
	if stopping {
		e.gaveUp(GiveUpStopping)
		return
	}
	e.Fate, e.GiveUp, e.RetryAt = FateRetry, "", due
}

// gaveUp says in an event that its step is not tried again.
func (e *Event) gaveUp(why GiveUp) { e.Fate, e.GiveUp, e.RetryAt = FateGivenUp, why, time.Time{} }
