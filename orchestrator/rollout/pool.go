package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/fleetsync/fleetsync/inventory"
)

// poolStatus is where the pool objects of a proxy stand. What moves them:
//
//	idle ──observe──▶ observing ──done──▶ observed ──depool──▶ depooling ──done──▶ out ──repool──▶ restoring ──done──▶ back
//	  ▲                   │                                        │               │                   │
//	  └──────failed───────┴────────────────failed──────────────────┘               │                   └─failed: idle,
//	  └──────────somebody put it back, and the policy says: take it out again──────┘                     or stuck if given up
//
// An observe or a depool that is given up leaves it idle or observed and refused: the proxy does not serve. From the moment a depool
// starts until a repool is done it is held, whatever its status: something of it may be out, and is to be put back. A run that is
// resumed begins with idle again. A quarantine of a proxy that is held ends in back: the end of the run does not put it back.
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
	refused  bool              // its depool was given up: it will not serve
	refusal  string            // why
	held     bool              // a depool was started and no repool is done since
	seen     []Object          // the objects as they were last observed
	receipts []Object          // the same objects as they were before we took them out
	attempts map[StepKind]int  // started, per kind of step
	failures int               // in succession, of repools or of what comes before them
	failed   StepKind          // the last of those
	since    time.Time         // the first of those failures
	due      time.Time         // not to be tried before
	outAt    time.Time         // when the depool was done
	err      string            // why the last step failed
	known    map[string]uint64 // key → the index at which the last depool found or wrote it
	late     []Event           // edits that became known while a depool was under way
	edits    int               // by which somebody put it back while it served
	out      map[string]bool   // keys of the objects that are out because of this run, as far as its events tell
}

// final says whether nothing more will happen to the proxy before it is repooled.
func (p *pool) final() bool {
	switch p.status {
	case poolOut, poolBack, poolStuck, poolRestoring:
		return true
	default:
		return p.refused
	}
}

// Receipts returns what is to be put back of objects that were just found: each as it was found, but
// one that bears our marker as the older receipt has it, which says what it was before. What somebody
// deleted has no receipt any more. An error means that what we would put back is not known: the proxy
// must not be touched any more than it has been.
func Receipts(found, older []Object) ([]Object, error) {
	receipts := slices.Clone(found)
	for i, o := range found {
		if !o.Held {
			continue
		}
		was := slices.IndexFunc(older, func(r Object) bool { return r.Key == o.Key })
		if was < 0 {
			return nil, fmt.Errorf("pool object %s bears this run's marker, but the journal has no receipt for it", o.Key)
		}
		receipts[i] = older[was]
	}
	return receipts, nil
}

// observed records the objects as they were just read, unless what we would put back is not known.
func (p *pool) observed(objects []Object) error {
	receipts, err := Receipts(objects, p.receipts)
	if err != nil {
		return err
	}
	p.seen, p.receipts = objects, receipts
	return nil
}

// wroteAll records what a depool found and wrote, and folds the edits that became known meanwhile:
// which of them came before can be told only now.
func (s *State) wroteAll(i int, written []Object) {
	p := s.hosts[i].pool
	if p.out == nil && len(written) > 0 {
		p.out = map[string]bool{}
	}
	for _, o := range written {
		p.out[o.Key] = true
	}
	p.known = map[string]uint64{}
	for _, o := range p.seen {
		p.known[o.Key] = o.Index
	}
	for _, o := range written {
		p.known[o.Key] = o.Index
	}
	late := p.late
	p.late = nil
	for _, e := range late {
		s.edited(i, &e)
	}
}

// edited folds an edit by somebody else of an object that we may hold. Ours is only that the proxy is
// out: what they want else stays, and is named.
func (s *State) edited(i int, e *Event) {
	h := &s.hosts[i]
	switch p := h.pool; {
	case p == nil || !p.held || p.status == poolRestoring:
		return // a repool finds out by itself what others did, and says so
	case p.status == poolDepooling:
		p.late = append(p.late, *e)
		return
	case len(e.Objects) == 1 && e.Objects[0].Index <= p.known[e.Objects[0].Key]:
		return // it is our own write, or was before it
	}
	s.named = append(s.named, Named{Host: e.Host, Detail: e.Detail})
	for _, o := range e.Objects {
		delete(h.pool.out, o.Key) // it is theirs now, whether it is in or out
	}
	if e.Edit != EditIn || h.pool.status != poolOut {
		return
	}
	// Users are on it: it must not serve the fleet too, and what it serves is ended.
	s.anyLost = true
	h.pool.edits++
	if s.Plan.OnForeignEdit == inventory.ForeignEditDepoolAgain && h.pool.edits <= s.Plan.Limits.Attempts {
		h.pool.status, h.pool.due = poolIdle, e.At.Add(s.backoff(h.pool.edits))
	} else {
		h.source.lost = true
	}
	s.reconsider(i)
}

// needed says whether the run still wants proxy i out of its pools.
func (s *State) needed(i int) bool {
	h := &s.hosts[i]
	return !s.stopping() && s.fleetLeft > 0 && !h.pool.refused && h.pool.status != poolStuck &&
		!h.source.lost && !h.source.dropped && !h.source.silent && h.sync != failed && !s.inQuarantine(i)
}

// restorable says whether proxy i is to be repooled now or later, and no longer used. One that is silent has no users to
// come back to, and may be well again at the end; one that has no good tree stays out.
func (s *State) restorable(i int) bool {
	h := &s.hosts[i]
	asleep := h.source.silent && !s.stopping() && s.fleetLeft > 0
	return h.pool.held && h.pool.status != poolStuck && !s.needed(i) && !asleep && !s.toQuarantine(i)
}

// poolFailed records that a step on the pool objects of a proxy failed.
func (s *State) poolFailed(i int, kind StepKind, e *Event) {
	p := s.hosts[i].pool
	p.err = e.Error
	if kind == StepRepool {
		for _, o := range e.Objects {
			delete(p.out, o.Key)
		}
	}
	if e.Class == Stopped {
		p.status = poolIdle
		e.retried(time.Time{}, s.stopping() && kind != StepRepool)
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
		switch {
		case e.Class == Permanent:
			e.gaveUp(GiveUpPermanent)
		case !away && p.failures >= s.Plan.Limits.Attempts:
			if e.gaveUp(GiveUpAttempts); e.Class == Transient {
				e.GiveUp = GiveUpTime
			}
		}
		if e.Fate == FateGivenUp {
			p.status = poolStuck
		}
	case e.Class == Capacity:
		e.gaveUp(GiveUpCapacity)
	case e.Class == Permanent:
		e.gaveUp(GiveUpPermanent)
	case p.failures >= s.Plan.Limits.Attempts:
		e.gaveUp(GiveUpAttempts)
	}
	e.Failures = p.failures
	switch {
	case e.Fate != FateGivenUp:
		e.retried(p.due, s.stopping() && kind != StepRepool)
	case kind != StepRepool:
		p.refused, p.refusal = true, e.Error
		p.failures = 0
		p.due = time.Time{}
	}
}

// held returns the keys of those objects that bear this run's marker.
func held(objects []Object) map[string]bool {
	keys := map[string]bool{}
	for _, o := range objects {
		if o.Held {
			keys[o.Key] = true
		}
	}
	return keys
}
