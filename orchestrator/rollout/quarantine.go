package rollout

import (
	"slices"
	"time"

	"github.com/fleetsync/fleetsync/inventory"
)

// quarantine is what a run knows of a host that has no good tree and is, or is to be, out of its pools for that: now because
// of this run, or since an earlier one. A host that gets a good tree after all is put back. What moves it:
//
//	none ──the host fails for good, or was down──▶ wanted ──quarantine done──▶ out ──it has a good tree, release done──▶ none
//	                                                 │ └──nothing of it is in a pool──▶ none
//	                                                 ├──its pools cannot spare it while proxies are out──▶ later ──they are back──▶ wanted
//	                                                 └──failed: wanted again, or given up and named
//
// A host that is out and fails again is taken out once more (again), because somebody may have put it back meanwhile.
type quarantine struct {
	out      bool // of its pools, as far as is known
	again    bool // whether it still is has to be seen to
	unseen   bool // it was, and whether it still is could not be seen to
	why      string
	running  bool // it is being taken out or put back
	failures int  // in succession, of the one or the other
	due      time.Time
	gaveUp   bool
	err      string // why the last attempt failed
	later    bool   // its pools could not spare it while proxies were out
}

// wantQuarantine wants a host out of its pools until it has a good tree.
func (s *State) wantQuarantine(i int, why string) {
	s.model.named = false
	h := &s.hosts[i]
	if q := h.quarantine; q != nil {
		// That it was taken out once does not prove that nobody has put it back: it is seen to again.
		q.again, q.gaveUp, q.failures = q.out, false, 0
		return
	}
	h.quarantine = &quarantine{why: why}
	if !slices.Contains(s.quarantines, i) {
		s.quarantines = append(s.quarantines, i)
	}
}

// unfit wants a host out of its pools because it will not get the run's tree, if the plan says so. A canary that will be
// rolled back gets a good one; one that was down is no older than the fleet if nobody but canaries gets the tree.
func (s *State) unfit(i int) {
	h := &s.hosts[i]
	if s.Plan.Mode == inventory.ModeCanary && h.sync == down {
		return
	}
	if s.Plan.QuarantineAll && s.Plan.Hosts[i].Role != RoleMaster && !h.undo.wanted {
		why := "it cannot be synced: "
		if h.sync == down {
			why = "it was down: "
		}
		s.wantQuarantine(i, why+h.err)
	}
}

// inQuarantine says whether a host is out of its pools because it had no good tree.
func (s *State) inQuarantine(i int) bool {
	q := s.hosts[i].quarantine
	return q != nil && q.out
}

// toQuarantine says whether a host is to be taken out of its pools now or later, because it has no good tree. What a host that was
// down has is as good as what the others have, until the gate lets these have another.
func (s *State) toQuarantine(i int) bool {
	q := s.hosts[i].quarantine
	return q != nil && (!q.out || q.again) && !q.gaveUp && s.abort < AbortNow && (s.hosts[i].sync != down || s.passed())
}

// passed says whether the gate has let the fleet have the tree.
func (s *State) passed() bool {
	return s.gate.verdict == Pass || s.gate.verdict != "" && s.Plan.Force != ""
}

// toRelease says whether a host is to be put back now or later, because it has a good tree: the whole of it, and on a canary
// one is good when the gate says so.
func (s *State) toRelease(i int) bool {
	h := &s.hosts[i]
	if !s.inQuarantine(i) || h.quarantine.gaveUp || h.sync != synced || len(s.Plan.Paths) > 0 || s.abort >= AbortNow {
		return false
	}
	return s.Plan.Hosts[i].Role != RoleCanary || s.passed()
}

// quarantinesLeft says whether some host is still to be taken out or put back because of its tree.
func (s *State) quarantinesLeft() bool {
	return slices.ContainsFunc(s.quarantines, func(i int) bool { return s.toQuarantine(i) || s.toRelease(i) })
}

// holds says whether proxies other than i are out of their pools and will be put back. One that is to stay out for its own tree is
// nothing to wait for.
func (s *State) holds(i int) bool {
	return slices.ContainsFunc(s.pooled, func(p int) bool {
		return p != i && s.hosts[p].pool.held && s.hosts[p].pool.status != poolStuck && !s.toQuarantine(p)
	})
}

// quarantines takes hosts out of their pools that have no good tree, one at a time, as each is judged by what the one before
// has left in the pool; and puts back those that have one again.
func (d *decider) quarantines() {
	s := d.s
	taking := s.depools > 0 || slices.ContainsFunc(d.Start, func(step Step) bool { return step.Kind == StepDepool })
	for _, i := range s.quarantines {
		q := s.hosts[i].quarantine
		out, release := s.toQuarantine(i), s.toRelease(i)
		switch {
		case !out && !release || q.running:
		case q.due.After(d.now):
			earliest(&d.Wake, q.due)
		case release:
			d.startQuarantine(StepRelease, i, s.hosts[i].releaseAttempts)
		case taking || q.later && s.holds(i) || s.poolBusy(i):
		default:
			taking = true
			d.startQuarantine(StepQuarantine, i, s.hosts[i].quarantineAttempts)
		}
	}
}

// poolBusy says whether a step changes or reads the pool objects of a host just now.
func (s *State) poolBusy(i int) bool {
	p := s.hosts[i].pool
	if p == nil {
		return false
	}
	switch p.status {
	case poolObserving, poolDepooling, poolRestoring:
		return true
	case poolIdle, poolObserved, poolOut, poolBack, poolStuck:
		return false
	default:
		return false
	}
}

func (d *decider) startQuarantine(kind StepKind, i, attempts int) {
	step := Step{Kind: kind}
	if p := d.s.hosts[i].pool; p != nil && p.held {
		step.Objects = p.receipts
	}
	d.begin(i, attempts, step)
}

// quarantineStarted records that a host is being taken out or put back.
func (s *State) quarantineStarted(i int, kind StepKind, attempt int) {
	h := &s.hosts[i]
	h.quarantine.running = true
	if kind == StepRelease {
		h.releaseAttempts = attempt
		return
	}
	h.quarantineAttempts = attempt
	s.depools++
}

func (s *State) quarantineEnded(i int, kind StepKind, e *Event, done bool) {
	q := s.hosts[i].quarantine
	q.running, q.later = false, false
	if kind == StepQuarantine {
		s.depools--
		if !done {
			q.unseen = q.unseen || q.out
			q.out, q.again = false, false // it is in some pool, for all that is known
		}
	}
	switch {
	case done && (kind == StepRelease || len(e.Objects) == 0):
		// It is back. Or it is in no pool, or out of all of them because of somebody else: there is nothing to take out, nor to put
		// back. It is named as failed.
		s.hosts[i].quarantine = nil
		return
	case done:
		q.out, q.again, q.unseen, q.err, q.failures = true, false, false, "", 0
		if e.Detail != "" {
			q.why += " (" + e.Detail + ")"
		}
		if p := s.hosts[i].pool; p != nil {
			p.held, p.status, p.out = false, poolBack, nil // the end of the run does not put it back
			s.reconsider(i)
		}
		return
	case e.Class == Stopped:
		e.retried(time.Time{}, s.abort >= AbortNow)
		return
	case e.Class == Capacity && s.holds(i):
		q.later = true
		e.Fate = FateDeferred
		return
	}
	q.err = e.Error
	q.failures++
	q.due = e.At.Add(s.backoff(q.failures))
	e.Failures = q.failures
	switch {
	case e.Class == Capacity:
		e.gaveUp(GiveUpCapacity)
	case e.Class == Permanent:
		e.gaveUp(GiveUpPermanent)
	case q.failures >= s.Plan.Limits.Attempts:
		e.gaveUp(GiveUpAttempts)
	default:
		e.retried(q.due, s.abort >= AbortNow)
		return
	}
	q.gaveUp = true
}

// reopenQuarantine forgets what kept a host in quarantine, or out of one, before the run was opened again.
func (s *State) reopenQuarantine(i int) {
	h := &s.hosts[i]
	switch q := h.quarantine; {
	case q == nil:
	case q.out || q.unseen || h.sync == down:
		q.out = q.out || q.unseen // else nobody would put it back once it has a good tree
		q.failures, q.due, q.gaveUp, q.later, q.again, q.unseen = 0, time.Time{}, false, false, false, false
	default:
		h.quarantine = nil // its tree is tried again
	}
}

// nameQuarantine says of a host what is to be said of its quarantine at the end of a run: that it is out, or that it should be.
func (s *State) nameQuarantine(i int, o *Outcome) {
	h := &s.hosts[i]
	q := h.quarantine
	if q == nil || h.pool != nil && h.pool.held {
		return // one that could not be put back is named for that
	}
	if !q.out && h.sync == down && !s.passed() {
		return // it is no worse than the others
	}
	n := Named{Host: s.Plan.Hosts[i].Name, Detail: q.why}
	switch {
	case q.out && q.err != "":
		n.Detail += "; it is not back in its pools: " + q.err
	case !q.out:
		if n.Detail += "; it is not out of its pools"; q.unseen {
			n.Detail += ", for all that is known"
		}
		if q.err != "" {
			n.Detail += ": " + q.err
		}
	}
	if q.out {
		o.Quarantined = append(o.Quarantined, n)
	} else {
		o.Mixed = append(o.Mixed, n)
	}
}
