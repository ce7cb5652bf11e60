package rollout

import "slices"

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
	Result      Result   `json:"result"`
	Why         string   `json:"why,omitempty"` // halted, aborted
	Gate        Verdict  `json:"gate,omitempty"`
	GateWhy     string   `json:"gate_why,omitempty"`
	Counts      Counts   `json:"counts"`
	Out         []Out    `json:"out,omitempty"`         // what is not back in its pools, sorted
	Refused     []Named  `json:"refused,omitempty"`     // proxies that could not be taken out and did not serve, in the fleet's order
	Named       []Named  `json:"named,omitempty"`       // pool objects that somebody else changed meanwhile
	Quarantined []Named  `json:"quarantined,omitempty"` // hosts that were taken out of their pools and stay out, and why
	Mixed       []Named  `json:"mixed,omitempty"`       // hosts that should have been quarantined and could not be, and why
	Hooks       []Named  `json:"hooks,omitempty"`       // what did not go well of what the policy has done around the run and its hosts; of the run without a host
	Bytes       int64    `json:"bytes"`                 // on the wire
	Took        Duration `json:"took"`
}

// Counts is how many hosts stand where, of those a run syncs.
type Counts struct {
	Hosts      int `json:"hosts"`
	Synced     int `json:"synced"`
	Partial    int `json:"partial,omitempty"`     // synced, of a subset of the tree
	RolledBack int `json:"rolled_back,omitempty"` // have the tree that they had before
	Failed     int `json:"failed"`
	Down       int `json:"down,omitempty"`    // were not there when the run was planned, and not tried
	Waiting    int `json:"waiting,omitempty"` // to be tried again; none once the run has ended
	Untouched  int `json:"untouched"`
	Unknown    int `json:"unknown,omitempty"`
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
	Syncing    Standing = "syncing"     // in flight; of a run that has died: unknown
	Down       Standing = "down"        // was not there when the run was planned, and has what it had
)

// HostReport is where one host stands.
type HostReport struct {
	Host     string   `json:"host"`
	Role     Role     `json:"role"`
	Standing Standing `json:"standing"`
	Source   string   `json:"source,omitempty"`   // of the last attempt
	Attempts int      `json:"attempts,omitempty"` // started
	Failures int      `json:"failures,omitempty"` // of those, failed in a way that counts
	Error    string   `json:"error,omitempty"`
	Stats    *Stats   `json:"stats,omitempty"`
	Held     bool     `json:"held,omitempty"` // out of its pools because of this run
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
	h := &s.hosts[i]
	r := HostReport{
		Host: s.Plan.Hosts[i].Name, Role: s.Plan.Hosts[i].Role, Standing: s.standing(h),
		Source: h.last, Attempts: h.attempts, Failures: h.failures, Error: h.err, Stats: h.stats,
		Held: h.pool != nil && h.pool.held,
	}
	if s.Plan.Undoes != "" {
		r.Attempts, r.Failures = h.undo.attempts, h.undo.failures
	}
	return r
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
		return Syncing
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

// Outcome returns what the run comes to as it stands: after Next has said Done, its end. It looks at
// the whole fleet.
func (s *State) Outcome() Outcome {
	o := Outcome{Gate: s.gate.verdict, GateWhy: s.gate.why, Named: slices.Clone(s.named), Hooks: slices.Clone(s.hooked), Took: Duration(s.At.Sub(s.started))}
	for i := range s.hosts {
		if i == s.origin {
			continue
		}
		h := &s.hosts[i]
		o.Counts.Hosts++
		switch s.standing(h) {
		case Synced:
			o.Counts.Synced++
		case Partial:
			o.Counts.Partial++
		case RolledBack:
			o.Counts.RolledBack++
		case Failed:
			o.Counts.Failed++
		case Down:
			o.Counts.Down++
		case Waiting:
			o.Counts.Waiting++
		case Untouched:
			o.Counts.Untouched++
		case Syncing:
			o.Counts.Unknown++
		}
		s.nameQuarantine(i, &o)
		if h.stats != nil {
			o.Bytes += h.stats.Bytes
		}
		if h.pool != nil && h.pool.held {
			o.Out = append(o.Out, Out{Host: s.Plan.Hosts[i].Name, Error: h.pool.err})
		}
		if h.pool != nil && h.pool.refused {
			o.Refused = append(o.Refused, Named{Host: s.Plan.Hosts[i].Name, Detail: h.pool.refusal})
		}
	}
	slices.SortFunc(o.Out, func(a, b Out) int {
		if a.Host < b.Host {
			return -1
		}
		return 1
	})
	switch {
	case s.halt != "":
		o.Result, o.Why = ResultHalted, s.haltWhy
	case s.abort > 0:
		o.Result, o.Why = ResultAborted, s.abortWhy
	case o.Counts.Failed+o.Counts.Down+len(o.Quarantined) > 0 || s.postFailed:
		o.Result = ResultFailed
	default:
		o.Result = ResultDone
	}
	return o
}
