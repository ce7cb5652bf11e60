package rollout

import (
	"fmt"
	"slices"
	"time"
)

// Moment is when in a run something is done that the policy has for it.
type Moment string

// The moments.
const (
	MomentPre       Moment = "pre"        // before anything is touched; if it fails nothing is
	MomentPost      Moment = "post"       // at the end of a run that was not stopped
	MomentOnFailure Moment = "on_failure" // at the end of one that was, or on which some host failed
)

// HookState is how the post hooks of a host stand.
type HookState string

// The states of hooks of hosts. A host that has none, or that has not come to them, has no state.
const (
	HooksPending HookState = "pending" // they are to be run
	HooksRunning HookState = "running"
	HooksDone    HookState = "done"
	HooksFailed  HookState = "failed"  // of post: the host has the tree, and has failed all the same
	HooksSkipped HookState = "skipped" // they were to be run, and will not be
)

// HookResult is what hooks had to say that did not go well.
type HookResult struct {
	Host   string `json:"host,omitempty"`   // empty: the run's own
	Moment Moment `json:"moment,omitempty"` // empty: the pre and post hooks around a rollback
	Failed bool   `json:"failed,omitempty"` // else they were done, but for what may fail
	Detail string `json:"detail"`
}

// moment is how a moment of the run stands.
type moment struct {
	running, over bool
	attempts      int
	since         time.Time // when its hooks were last begun
}

// hostHookState is what a run knows of the hooks of a host: post, once it has the tree, or on_failure, when it will not get it.
type hostHookState struct {
	attempts  map[StepKind]int
	running   bool
	tries               // of the one that is due
	tried     bool      // a sync was started since the run was last opened
	post      HookState // its post hooks, once they have ended
	wanted    bool      // what is for failure: the host was tried, and will not get the tree
	onFailure HookState // that, once it has been done or given up
}

// hook adds the stage of a moment, if the plan has something to do then.
func (p *Plan) hook(m Moment, why string) {
	if slices.Contains(p.Hooks, m) {
		p.Stages = append(p.Stages, Stage{Name: string(m), Kind: StageHook, Why: why})
	}
}

// startHook starts what the policy has for a moment, unless it is running or over.
func (d *decider) startHook(m Moment) {
	if at := d.s.moments[m]; !at.running && !at.over {
		d.Start = append(d.Start, Step{ID: stepID(StepHook, string(m)), Kind: StepHook, Attempt: at.attempts + 1, Moment: m})
	}
}

// endsBadly says whether the run is to end with what the policy has for a run that failed.
func (s *State) endsBadly() bool {
	bad := s.stopping() || s.failures > 0 || s.postFailed
	return bad && s.abort < AbortNow && slices.Contains(s.Plan.Hooks, MomentOnFailure) && !s.moments[MomentOnFailure].over
}

func (s *State) hookStarted(m Moment, e *Event) {
	at := s.moments[m]
	at.running, at.attempts, at.since = true, e.Attempt, e.At
	s.moments[m] = at
}

func (s *State) hookEnded(m Moment, e *Event, done bool) {
	at := s.moments[m]
	at.running, at.over = false, e.Class != Stopped
	s.moments[m] = at
	if said := e.Error + e.Detail; said != "" && at.over {
		s.hooked = append(s.hooked, HookResult{Moment: m, Failed: !done, Detail: said})
	}
	if !done {
		e.gaveUp(GiveUpPermanent)
	}
	if !at.over {
		e.gaveUp(GiveUpStopping)
	}
	if done || !at.over {
		return
	}
	switch m {
	case MomentPre:
		s.stop(HaltHook, "what comes before the run failed: "+e.Error)
	case MomentPost:
		s.postFailed = true
	case MomentOnFailure:
	}
}

// wantFailureHook wants the on_failure hooks run on a host that was tried and will not get the tree.
func (s *State) wantFailureHook(i int) {
	h := &s.hosts[i]
	if s.Plan.Hosts[i].OnFailure && h.hook.tried && !h.hook.wanted {
		h.hook.wanted, h.hook.failures = true, 0
		s.failureHooks.add(i, time.Time{})
		s.touch(i)
	}
}

// wantFailureHooks does so for all that were tried and are waiting for another attempt, which will not come. It looks at the whole fleet:
// of a run that was resumed they need not be in its current stage.
func (s *State) wantFailureHooks() {
	for i := range s.hosts {
		if s.hosts[i].sync == waiting {
			s.wantFailureHook(i)
		}
	}
}

// toDo returns the hosts on which a step of one of those two kinds is to be done.
func (s *State) toDo(kind StepKind) *delayed {
	if kind == StepOnFailure {
		return s.failureHooks
	}
	return s.postHooks
}

// hostHooksLeft says whether something is left to be done on hosts for which the run has ended, well or not.
func (s *State) hostHooksLeft() bool {
	return s.abort < AbortNow && s.postHooks.size()+s.failureHooks.size() > 0
}

// hostHooks starts what is to be done on hosts that have the tree, and on those that will not get it: on as many at once as hosts
// may be synced. A canary that is rolled back is left to that.
func (d *decider) hostHooks() {
	s := d.s
	if s.abort >= AbortNow {
		return
	}
	room := s.Plan.Limits.Parallel - s.hooksInFlight
	for _, kind := range []StepKind{StepPost, StepOnFailure} {
		s.toDo(kind).walk(d.now, func(i int) bool {
			if s.toRollBack(i) || s.hosts[i].sync == syncing {
				return true
			}
			if room <= 0 {
				return false
			}
			room--
			d.begin(i, s.hosts[i].hook.attempts[kind], Step{Kind: kind})
			return true
		})
	}
	if room > 0 {
		earliest(&d.Wake, s.postHooks.wake(d.now))
		earliest(&d.Wake, s.failureHooks.wake(d.now))
	}
}

func (s *State) hostHookStarted(i int, e *Event, kind StepKind) error {
	if !s.toDo(kind).has(i) {
		return fmt.Errorf("nothing is to be done on the host")
	}
	h := &s.hosts[i]
	if h.hook.attempts == nil {
		h.hook.attempts = map[StepKind]int{}
	}
	h.hook.attempts[kind], h.hook.running = e.Attempt, true
	s.toDo(kind).remove(i)
	s.hooksInFlight++
	return nil
}

// hostHookEnded folds the end of what was done on a host.
func (s *State) hostHookEnded(i int, kind StepKind, e *Event, done bool) {
	h := &s.hosts[i]
	s.hooksInFlight--
	h.hook.running = false
	if e.Class == Stopped || e.Class == Transient {
		due, why := s.again(&h.hook.tries, e)
		e.Failures = h.hook.failures
		if why == "" {
			s.toDo(kind).add(i, due)
			e.retried(due, s.abort >= AbortNow)
			return
		}
		e.gaveUp(why)
	}
	if !done && e.Fate == "" {
		e.gaveUp(GiveUpPermanent)
	}
	if said := e.Error + e.Detail; said != "" || !done {
		r := HookResult{Host: e.Host, Moment: MomentPost, Failed: !done, Detail: said}
		if kind == StepOnFailure {
			r.Moment = MomentOnFailure
		}
		s.hooked = append(s.hooked, r)
	}
	switch {
	case kind == StepOnFailure && done:
		h.hook.onFailure = HooksDone
	case kind == StepOnFailure:
		h.hook.onFailure = HooksFailed
	case done:
		h.sync, h.err, h.class, h.hook.post = synced, "", "", HooksDone
		s.finalize(i)
	default:
		h.err, h.class, h.hook.post = e.Error, e.Class, HooksFailed
		s.failedForGood(i, "synced", "it has the tree, but its post hooks failed: "+e.Error)
	}
}

// resumeHostHooks puts what was to be done on a host among what is to be done, after the run was resumed.
func (s *State) resumeHostHooks(i int) {
	s.postHooks.remove(i)
	s.failureHooks.remove(i)
	h := &s.hosts[i]
	h.hook.running = false
	switch {
	case h.sync == ending:
		s.postHooks.add(i, time.Time{})
	case h.sync != failed:
		ended := h.hook.post
		if h.sync != synced {
			ended = "" // it is tried again
		}
		h.hook = hostHookState{attempts: h.hook.attempts, tried: h.hook.tried, post: ended}
	case h.hook.wanted && h.hook.onFailure == "":
		s.failureHooks.add(i, time.Time{})
	}
}
