package rollout

import (
	"slices"
	"strings"
	"time"
)

// Result is how a run ended.
type Result string

// The results.
const (
	ResultDone    Result = "done"    // every host has the tree
	ResultFailed  Result = "failed"  // some hosts failed, within the budget, or are in quarantine
	ResultHalted  Result = "halted"  // the gate, the budget or a lost source or lock stopped it
	ResultAborted Result = "aborted" // somebody asked for it
)

// Outcome is what a finished run comes to.
type Outcome struct {
	Result      Result       `json:"result"`
	Why         string       `json:"why,omitempty"`  // halted, aborted
	Halt        HaltKind     `json:"halt,omitempty"` // halted: what stopped it
	Gate        Verdict      `json:"gate,omitempty"`
	GateWhy     string       `json:"gate_why,omitempty"`
	Counts      Counts       `json:"counts"`
	Out         []Out        `json:"out,omitempty"`         // what is not back in its pools, sorted
	Refused     []Named      `json:"refused,omitempty"`     // proxies that could not be taken out and did not serve, in the fleet's order
	Named       []Named      `json:"named,omitempty"`       // pool objects that somebody else changed meanwhile
	Quarantined []Named      `json:"quarantined,omitempty"` // hosts that were taken out of their pools and stay out, and why
	Mixed       []Named      `json:"mixed,omitempty"`       // hosts that should have been quarantined and could not be, and why
	Hooks       []HookResult `json:"hooks,omitempty"`       // what did not go well of the hooks of the run and its hosts
	Bytes       int64        `json:"bytes"`                 // on the wire
	Took        Duration     `json:"took"`
}

// Counts is how many hosts stand where, of those a run is about. Every host is in exactly one of them, but for what is counted of
// hooks.
type Counts struct {
	Hosts      int `json:"hosts"`
	Synced     int `json:"synced"`
	Partial    int `json:"partial,omitempty"`     // synced, of a subset of the tree
	RolledBack int `json:"rolled_back,omitempty"` // have the tree that they had before
	Failed     int `json:"failed"`
	Down       int `json:"down,omitempty"`     // were not there when the run was planned, and not tried
	Waiting    int `json:"waiting,omitempty"`  // to be tried again; none once the run has ended
	Syncing    int `json:"syncing,omitempty"`  // or being rolled back; none once the run has ended
	InHooks    int `json:"in_hooks,omitempty"` // have the tree, and their post hooks are to be run or run
	Untouched  int `json:"untouched"`
	Unknown    int `json:"unknown,omitempty"` // in flight when their run died

	FailedHooks   int `json:"failed_hooks,omitempty"`    // of those that failed: have the tree, but not what their post hooks do
	HooksDone     int `json:"hooks_done,omitempty"`      // their post hooks are done
	OnFailureDone int `json:"on_failure_done,omitempty"` // of those that failed: their on_failure hooks are done
}

// add counts a host, or no longer counts it.
func (c *Counts) add(r *HostReport, by int) {
	c.Hosts += by
	if r.Hooks == HooksDone {
		c.HooksDone += by
	}
	if r.OnFailure == HooksDone {
		c.OnFailureDone += by
	}
	switch r.Standing {
	case Synced:
		c.Synced += by
	case Partial:
		c.Partial += by
	case RolledBack:
		c.RolledBack += by
	case Failed:
		c.Failed += by
		if r.FailedHooks() {
			c.FailedHooks += by
		}
	case Down:
		c.Down += by
	case Waiting:
		c.Waiting += by
	case Syncing:
		c.Syncing += by
	case InHooks:
		c.InHooks += by
	case Untouched:
		c.Untouched += by
	case Unknowable:
		c.Unknown += by
	}
}

// Plus returns the counts of two groups of hosts together.
func (c Counts) Plus(o Counts) Counts {
	return Counts{
		Hosts: c.Hosts + o.Hosts, Synced: c.Synced + o.Synced, Partial: c.Partial + o.Partial, RolledBack: c.RolledBack + o.RolledBack,
		Failed: c.Failed + o.Failed, Down: c.Down + o.Down, Waiting: c.Waiting + o.Waiting, Syncing: c.Syncing + o.Syncing,
		InHooks: c.InHooks + o.InHooks, Untouched: c.Untouched + o.Untouched, Unknown: c.Unknown + o.Unknown,
		FailedHooks: c.FailedHooks + o.FailedHooks,
		HooksDone:   c.HooksDone + o.HooksDone, OnFailureDone: c.OnFailureDone + o.OnFailureDone,
	}
}

// Out is a host whose pool objects were taken out and not put back.
type Out struct {
	Host  string `json:"host"`
	Error string `json:"error"`
}

// Named is something that somebody else did to a host's pool objects while we held them.
type Named struct {
	Host   string `json:"host"`
	Detail string `json:"detail"`
}

// Standing is the truth about a host.
type Standing string

// The standings.
const (
	Untouched  Standing = "untouched"
	Waiting    Standing = "waiting" // tried, and to be tried again
	Synced     Standing = "synced"
	Partial    Standing = "partial"     // synced, of a subset of the tree
	RolledBack Standing = "rolled_back" // has the tree again that it had before
	Failed     Standing = "failed"      // tried, and has not the tree: what it has may be mixed
	Syncing    Standing = "syncing"     // a sync or a rollback of it is in flight
	InHooks    Standing = "in_hooks"    // has the tree, and its post hooks are to be run or run
	Down       Standing = "down"        // was not there when the run was planned, and has what it had
	Unknowable Standing = "unknown"     // in flight when its run died: what it has may be mixed
)

// HostReport is where one host stands.
type HostReport struct {
	Host      string    `json:"host"`
	Role      Role      `json:"role"`
	Stage     int       `json:"stage"` // the place in the plan's stages of the one that changes its tree; -1: it was down
	Standing  Standing  `json:"standing"`
	Hooks     HookState `json:"hooks,omitempty"`      // its post hooks
	OnFailure HookState `json:"on_failure,omitempty"` // its on_failure hooks
	Source    string    `json:"source,omitempty"`     // of the last attempt
	Attempts  int       `json:"attempts,omitempty"`   // started
	Failures  int       `json:"failures,omitempty"`   // of those, failed in a way that counts
	At        time.Time `json:"at,omitzero"`          // when its tree was last about to change or had changed; zero: it never was
	Error     string    `json:"error,omitempty"`
	Class     Class     `json:"class,omitempty"` // of the error
	Stats     *Stats    `json:"stats,omitempty"`
	Held      bool      `json:"held,omitempty"` // to be put back into its pools by this run
	Keep      bool      `json:"keep,omitempty"` // keeps what its sync replaces, so that it can be rolled back
}

// FailedHooks says whether the host has the tree, and has failed all the same: for what its post hooks do.
func (r *HostReport) FailedHooks() bool {
	return r.Standing == Failed && (r.Hooks == HooksFailed || r.Hooks == HooksSkipped)
}

// Report returns where every host of the run stands, in the fleet's order, without the origin. It
// looks at the whole fleet.
func (s *State) Report() []HostReport {
	reports := make([]HostReport, 0, len(s.hosts))
	for i := range s.hosts {
		if i != s.origin {
			reports = append(reports, s.report(i))
		}
	}
	return reports
}

func (s *State) report(i int) HostReport {
	h, planned := &s.hosts[i], &s.Plan.Hosts[i]
	r := HostReport{
		Host: planned.Name, Role: planned.Role, Stage: s.model.stageOf[i], Standing: s.standing(h), Hooks: s.hookState(h),
		OnFailure: s.onFailureState(h), Keep: planned.Keep,
		Source: h.last, Attempts: h.attempts, Failures: h.failures, At: h.at, Error: h.err, Class: h.class, Stats: h.stats,
		Held: h.pool != nil && h.pool.held,
	}
	if s.Plan.Undoes != "" {
		r.Attempts, r.Failures = h.undo.attempts, h.undo.failures
	}
	return r
}

func (s *State) hookState(h *host) HookState {
	switch {
	case h.sync != ending:
		return h.hook.post
	case s.abort >= AbortNow:
		return HooksSkipped
	case h.hook.running:
		return HooksRunning
	default:
		return HooksPending
	}
}

func (s *State) onFailureState(h *host) HookState {
	switch {
	case h.hook.onFailure != "" || !h.hook.wanted:
		return h.hook.onFailure
	case s.abort >= AbortNow:
		return HooksSkipped
	case h.hook.running:
		return HooksRunning
	default:
		return HooksPending
	}
}

func (s *State) standing(h *host) Standing {
	switch h.sync {
	case synced:
		if len(s.Plan.Paths) > 0 {
			return Partial
		}
		return Synced
	case rolledBack:
		return RolledBack
	case failed:
		return Failed
	case syncing:
		return Syncing
	case ending:
		if s.abort >= AbortNow {
			return Failed
		}
		return InHooks
	case down:
		return Down
	default:
		switch {
		case h.attempts+h.undo.attempts == 0:
			return Untouched
		case h.undo.fresh && (s.stopping() || s.outcome != nil):
			return RolledBack
		case s.stopping() || s.outcome != nil:
			return Failed
		default:
			return Waiting
		}
	}
}

// Finished returns the outcome that the run ended with, or nil.
func (s *State) Finished() *Outcome { return s.outcome }

// Outcome returns what the run comes to as it stands: after Next has said Done, its end.
func (s *State) Outcome() Outcome {
	s.refresh()
	o := Outcome{
		Gate: s.gate.verdict, GateWhy: s.gate.why, Counts: s.model.counts, Bytes: s.model.bytes,
		Named: slices.Clip(s.named), Hooks: slices.Clip(s.hooked), Took: Duration(s.At.Sub(s.started)),
	}
	o.Quarantined, o.Mixed = s.namedQuarantines()
	for _, i := range s.pooled {
		p, name := s.hosts[i].pool, s.Plan.Hosts[i].Name
		if p.held {
			o.Out = append(o.Out, Out{Host: name, Error: p.err})
		}
		if p.refused {
			o.Refused = append(o.Refused, Named{Host: name, Detail: p.refusal})
		}
	}
	slices.SortFunc(o.Out, func(a, b Out) int { return strings.Compare(a.Host, b.Host) })
	switch {
	case s.halt != "":
		o.Result, o.Why, o.Halt = ResultHalted, s.haltWhy, s.halt
	case s.abort > 0:
		o.Result, o.Why = ResultAborted, s.abortWhy
	case o.Counts.Failed+o.Counts.Down+len(o.Quarantined) > 0 || s.postFailed:
		o.Result = ResultFailed
	default:
		o.Result = ResultDone
	}
	return o
}

// namedQuarantines returns the hosts that are in quarantine, and those that should be and are in their pools, in the fleet's order.
func (s *State) namedQuarantines() (quarantined, mixed []Named) {
	m := &s.model
	if !m.named {
		var o Outcome
		for _, i := range slices.Sorted(slices.Values(s.quarantines)) { // indexes are in the fleet's order
			s.nameQuarantine(i, &o)
		}
		m.quarantined, m.mixed, m.named = slices.Clip(o.Quarantined), slices.Clip(o.Mixed), true
	}
	return m.quarantined, m.mixed
}
