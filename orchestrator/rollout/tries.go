package rollout

import "time"

// tries counts the failures of one step. The zero tries has none.
type tries struct {
	failures  int       // that count against the attempts that it has
	busySince time.Time // since somebody else writes what it would write; zero: nobody does
}

// again counts that a step failed, and says whether it is to be tried again, and not before when. What we ended ourselves says
// nothing of it and is tried at once; what is busy is waited for, as long as one attempt may take; what may pass has so many
// attempts; the rest has failed for good.
func (s *State) again(t *tries, e Event) (due time.Time, again bool) {
	switch e.Class {
	case Stopped:
		return time.Time{}, true
	case Busy:
		if t.busySince.IsZero() {
			t.busySince = e.At
		}
		return e.At.Add(s.backoff(1)), e.At.Before(t.busySince.Add(time.Duration(s.Plan.Limits.Timeout)))
	case Transient:
		t.busySince = time.Time{}
		t.failures++
		return e.At.Add(s.backoff(t.failures)), t.failures < s.Plan.Limits.Attempts
	default: // permanent, and what no such step should end with
		return time.Time{}, false
	}
}
