package rollout

import (
	"fmt"
	"slices"
	"time"
)

// poolStatus is where a pooled proxy stands.
type poolStatus string

const (
	poolIdle      poolStatus = "idle" // not looked at, or to be looked at again
	poolObserving poolStatus = "observing"
	poolObserved  poolStatus = "observed"
	poolDepooling poolStatus = "depooling"
	poolOut       poolStatus = "out"
	poolRestoring poolStatus = "restoring"
	poolBack      poolStatus = "back"
	poolStuck     poolStatus = "stuck" // not restored, and not tried again
)

// pool is what a run knows of the pool objects of one proxy.
type pool struct {
	status   poolStatus
	refused  bool             // its depool was given up: it will not serve
	held     bool             // a depool was started and no repool is done since
	seen     []Object         // the objects as they were last observed
	receipts []Object         // the same objects as they were before we took them out
	attempts map[StepKind]int // started, per kind of step
	failures int              // in succession, of repools or of what comes before them
	failed   StepKind         // the last of those
	since    time.Time        // the first of those failures
	due      time.Time        // not to be tried before
	outAt    time.Time        // when the depool was done
	err      string           // why the last step failed
}

// settled says whether nothing more will happen to the proxy before it is repooled.
func (p *pool) settled() bool {
	switch p.status {
	case poolOut, poolBack, poolStuck, poolRestoring:
		return true
	default:
		return p.refused
	}
}

// observed records a new look at the objects. The receipt of one that bears our marker stays the
// older one, which says what it was before; the receipt of one that somebody deleted goes with it.
// An error means that what we would put back is not known: the proxy must not be touched any more
// than it has been.
func (p *pool) observed(objects []Object) error {
	receipts := make([]Object, len(objects))
	for i, o := range objects {
		receipts[i] = o
		if !o.Held {
			continue
		}
		was := slices.IndexFunc(p.receipts, func(r Object) bool { return r.Key == o.Key })
		if was < 0 {
			return fmt.Errorf("pool object %s bears this run's marker, but the journal has no receipt for it", o.Key)
		}
		receipts[i] = p.receipts[was]
	}
	p.seen, p.receipts = objects, receipts
	return nil
}

// needed says whether the run still wants proxy i out of its pools.
func (s *State) needed(i int) bool {
	h := &s.hosts[i]
	return !s.stopping() && s.fleetLeft > 0 && !h.pool.refused && h.pool.status != poolStuck &&
		!h.source.lost && !h.source.dropped && h.sync != failed
}

// restorable says whether proxy i is to be repooled now or later, and no longer used.
func (s *State) restorable(i int) bool {
	h := &s.hosts[i]
	return h.pool.held && h.pool.status != poolStuck && !s.needed(i)
}

// poolFailed records that a step on the pool objects of a proxy failed.
func (s *State) poolFailed(i int, kind StepKind, e Event) {
	p := s.hosts[i].pool
	p.err = e.Error
	if e.Class == Stopped {
		p.status = poolIdle
		return
	}
	if (p.failed == StepRepool) != (kind == StepRepool) {
		p.failures = 0 // a repool has attempts of its own
	}
	p.failed = kind
	if p.failures == 0 {
		p.since = e.At
	}
	p.failures++
	p.due = e.At.Add(s.backoff(p.failures))
	p.status = poolIdle
	switch {
	case kind == StepRepool:
		// An API that is away is waited for: to leave a host out is the worst end of a run. What
		// answers and says no is asked as often as any other step.
		away := e.Class == Transient && e.At.Before(p.since.Add(time.Duration(s.Plan.Limits.Restore)))
		if e.Class == Permanent || !away && p.failures >= s.Plan.Limits.Attempts {
			p.status = poolStuck
		}
	case e.Class == Capacity, e.Class == Permanent, p.failures >= s.Plan.Limits.Attempts:
		p.refused = true
		p.failures = 0
		p.due = time.Time{}
	}
}
