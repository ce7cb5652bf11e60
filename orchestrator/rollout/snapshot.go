package rollout

import (
	"slices"
	"time"

	"github.com/fleetsync/fleetsync/inventory"
)

// RunStanding is what has become of a run as a whole.
type RunStanding string

// The standings of runs.
const (
	RunOngoing RunStanding = "running"
	RunEnded   RunStanding = "finished"
	RunDied    RunStanding = "died" // it has not finished, and nobody works on it
)

// Snapshot is where a run stands at one moment: the one model that every face shows, on a terminal, in a report, as JSON. A face derives
// nothing from it but words. It never changes once it was handed out, and may be read by any goroutine; what it points to
// must not be changed. Its JSON is documented in docs/snapshot.md.
type Snapshot struct {
	Run      string         `json:"run"`
	Fleet    string         `json:"fleet"`
	Mode     inventory.Mode `json:"mode"`
	Seq      int64          `json:"seq"` // of the last event
	At       time.Time      `json:"at"`  // of the last event
	Began    time.Time      `json:"began"`
	Standing RunStanding    `json:"standing"`
	Halt     HaltKind       `json:"halt,omitempty"`     // what stopped the run by itself
	Abort    int            `json:"abort,omitempty"`    // the highest level of abort that was asked for
	Stopping string         `json:"stopping,omitempty"` // why nothing new starts any more
	Plan     *Plan          `json:"plan"`

	Stage  string         `json:"stage,omitempty"` // the name of the first stage that is not complete; empty: all are
	Place  int            `json:"place"`           // its place in Stages; their number: all are complete
	Stages []*StageReport `json:"stages"`
	Counts Counts         `json:"counts"`
	Hosts  HostList       `json:"hosts"`

	Running []*Flight `json:"running,omitempty"` // steps in flight, in the order in which they were started

	// Hosts to be put back into their pools by this run: each that was taken out, or may have been
	Held []string `json:"held,omitempty"`
	// Of those, the ones of which some object is out because of this run, as far as its events tell
	Out     []string     `json:"out,omitempty"`
	Pools   []PoolReport `json:"pools,omitempty"`
	Lost    []string     `json:"lost,omitempty"`   // sources that must not serve any more: their tree changed, or users are on them again
	Silent  []string     `json:"silent,omitempty"` // sources that do not answer
	Budget  Budget       `json:"budget"`
	Gate    GateReport   `json:"gate"`
	Hook    *HookReport  `json:"hook,omitempty"` // of the run, whose hooks run now
	Outcome Outcome      `json:"outcome"`        // what the run comes to as it stands, and once it has finished, came to

	RollingBack bool `json:"rolling_back,omitempty"` // canaries are being put back, because the gate did not pass
}

// StageState is how far a stage has come.
type StageState string

// The states of stages.
const (
	StageToCome   StageState = "to_come"
	StageCurrent  StageState = "current"
	StageComplete StageState = "complete"
)

// StageReport is where a stage stands. Its counts are of the hosts whose trees it changes, and add up to them.
type StageReport struct {
	Name   string     `json:"name"`
	Kind   StageKind  `json:"kind"`
	State  StageState `json:"state"`
	Batch  bool       `json:"batch,omitempty"` // one of the batches of the fleet: see Plan.Batch
	Hosts  int        `json:"hosts"`
	Began  time.Time  `json:"began,omitzero"`
	Ended  time.Time  `json:"ended,omitzero"`
	Left   int        `json:"left,omitempty"` // hosts that were to be changed when it began
	Counts Counts     `json:"counts,omitzero"`
}

// Flight is a step in flight.
type Flight struct {
	Step    StepID    `json:"step"`
	Kind    StepKind  `json:"kind"`
	Host    string    `json:"host,omitempty"`
	Source  string    `json:"source,omitempty"`
	Check   string    `json:"check,omitempty"`
	Moment  Moment    `json:"moment,omitempty"`
	Attempt int       `json:"attempt"`
	Since   time.Time `json:"since"`

	// How far a transfer has come. That is no event: it is filled in by who follows the transfers, and nil where nobody does.
	Transfer *Transfer `json:"transfer,omitempty"`
}

// Transfer is how far a transfer has come.
type Transfer struct {
	Bytes   int64 `json:"bytes"`
	Percent int   `json:"percent"` // of the tree, as rsync estimates it
}

// PoolState is where the pool objects of a proxy stand.
type PoolState string

// The states of a proxy's pool objects: see pool.
const (
	PoolIn        PoolState = "in"        // not taken out by this run
	PoolObserving PoolState = "observing" // being read
	PoolObserved  PoolState = "observed"  // read, and to be taken out
	PoolDepooling PoolState = "depooling"
	PoolDraining  PoolState = "draining" // out, and not quiet yet
	PoolServing   PoolState = "out"      // out and quiet: it may serve
	PoolRepooling PoolState = "repooling"
	PoolBack      PoolState = "back"
	PoolRefused   PoolState = "refused" // its depool was given up: it does not serve
	PoolStuck     PoolState = "stuck"   // it could not be put back, and that is not tried again

	PoolQuarantined PoolState = "quarantined" // out because it had no good tree, and to stay so until it has
)

// PoolReport is where the pool objects of a proxy stand.
type PoolReport struct {
	Host    string    `json:"host"`
	State   PoolState `json:"state"`
	Held    bool      `json:"held,omitempty"`
	Out     bool      `json:"out,omitempty"`
	QuietAt time.Time `json:"quiet_at,omitzero"` // when it has drained
	RetryAt time.Time `json:"retry_at,omitzero"` // when the step that failed is tried again
	Error   string    `json:"error,omitempty"`   // why the last step failed, or its depool was given up
}

// Budget is how many hosts have failed for good, and how many may.
type Budget struct {
	Failed int `json:"failed"` // those that were down are among them
	May    int `json:"may"`    // with one more the run halts
}

// GateReport is where the gate stands.
type GateReport struct {
	Verdict Verdict       `json:"verdict,omitempty"` // empty: not decided
	Why     string        `json:"why,omitempty"`
	Opened  time.Time     `json:"opened,omitzero"`   // when the last canary was synced
	SoakEnd time.Time     `json:"soak_end,omitzero"` // a round counts that begins then or later
	Decided time.Time     `json:"decided,omitzero"`  // when its verdict became known
	Checks  []CheckReport `json:"checks,omitempty"`
}

// CheckReport is where one check of the gate stands.
type CheckReport struct {
	Check   string  `json:"check"`
	Round   int     `json:"round,omitempty"` // the last one that was begun
	Running bool    `json:"running,omitempty"`
	Verdict Verdict `json:"verdict,omitempty"` // of the last round that ended
	Passed  bool    `json:"passed,omitempty"`  // in a round that counts
}

// HookReport is the hooks of the run that run now.
type HookReport struct {
	Moment Moment    `json:"moment"`
	Since  time.Time `json:"since"`
}

// Snapshot returns where the run stands. It costs what has changed since the last one, and what is short by nature: the
// steps in flight, the proxies, the stages.
func (s *State) Snapshot() *Snapshot {
	s.refresh()
	now := &Snapshot{
		Run: s.Plan.Run, Fleet: s.Plan.Fleet, Mode: s.Plan.Mode, Plan: s.Plan, Seq: s.Seq, At: s.At, Began: s.started,
		Standing: RunOngoing, Halt: s.halt, Abort: s.abort, Stopping: s.Stopping(),
		Place: s.stage, Stages: slices.Clone(s.model.stages), Counts: s.model.counts, Hosts: s.model.hosts.share(),
		Running: slices.Clone(s.model.running), Held: s.Held(), Lost: s.Lost(), Silent: s.silentSources(),
		Budget: Budget{Failed: s.failures, May: s.Plan.Limits.MaxFailures},
		Gate:   s.gateReport(), Hook: s.hookReport(), RollingBack: s.rollbacksLeft(),
	}
	if s.stage < len(s.Plan.Stages) {
		now.Stage = s.Plan.Stages[s.stage].Name
	}
	for _, i := range s.pooled {
		now.Pools = append(now.Pools, s.poolReport(i))
		if s.outNow(i) {
			now.Out = append(now.Out, s.Plan.Hosts[i].Name)
		}
	}
	if s.outcome != nil {
		now.Standing, now.Outcome = RunEnded, *s.outcome
	} else {
		now.Outcome = s.Outcome()
	}
	return now
}

// Died returns the snapshot of a run that has not finished and on which nobody works any more: what was in flight is not known,
// and what was to be tried again has failed. A run that has finished is returned as it is.
func (now *Snapshot) Died() *Snapshot {
	if now.Standing == RunEnded {
		return now
	}
	dead := *now
	dead.Standing, dead.Running, dead.Hook = RunDied, nil, nil
	dead.Hosts, dead.Stages = now.Hosts.share(), slices.Clone(now.Stages)
	for i := range dead.Plan.Hosts {
		was := dead.Hosts.at(i)
		if was == nil || was.Standing != Waiting && was.Standing != Syncing {
			continue
		}
		is := *was
		if is.Standing = Failed; was.Standing == Syncing {
			is.Standing = Unknowable
		}
		dead.Hosts.set(i, &is)
		dead.Counts.add(was, -1)
		dead.Counts.add(&is, +1)
		if is.Stage != none {
			stage := *dead.Stages[is.Stage]
			stage.Counts.add(was, -1)
			stage.Counts.add(&is, +1)
			dead.Stages[is.Stage] = &stage
		}
	}
	dead.Outcome.Counts = dead.Counts
	return &dead
}

// Flights returns the steps in flight of some kinds, those that have been running longest first.
func (now *Snapshot) Flights(kinds ...StepKind) []*Flight {
	return slices.DeleteFunc(slices.Clone(now.Running), func(f *Flight) bool { return !slices.Contains(kinds, f.Kind) })
}

// Done returns how many of the hosts that are counted have what the run was to bring them.
func (now *Snapshot) Done(c Counts) int {
	if now.Plan.Undoes != "" {
		return c.RolledBack
	}
	return c.Synced + c.Partial
}

// Canaries returns the counts of the stage that changes the canaries: the first that changes hosts.
func (now *Snapshot) Canaries() Counts {
	for _, stage := range now.Stages {
		if stage.Kind == StageSync || stage.Kind == StageUndo {
			return stage.Counts
		}
	}
	return Counts{}
}

// PoolsIn returns how many proxies have their pool objects in a state.
func (now *Snapshot) PoolsIn(state PoolState) int {
	n := 0
	for _, p := range now.Pools {
		if p.State == state {
			n++
		}
	}
	return n
}

// Untouched says whether the run has changed no tree and no pool.
func (now *Snapshot) Untouched() bool {
	c := now.Counts
	return c.Untouched+c.Down == c.Hosts && len(now.Outcome.Quarantined) == 0
}

// outNow says whether some object of a proxy is out because of this run, as far as its events tell.
func (s *State) outNow(i int) bool { return s.hosts[i].pool != nil && len(s.hosts[i].pool.out) > 0 }

func (s *State) poolReport(i int) PoolReport {
	h := &s.hosts[i]
	p := h.pool
	r := PoolReport{Host: s.Plan.Hosts[i].Name, State: PoolIn, Held: p.held, Out: s.outNow(i), Error: p.err}
	switch p.status {
	case poolIdle:
		switch {
		case p.refused:
			r.State, r.Error = PoolRefused, p.refusal
		case r.Out:
			r.State = PoolServing // to be looked at again; until then it counts as it was left
		}
		r.RetryAt = p.due
	case poolObserving:
		r.State = PoolObserving
	case poolObserved:
		r.State = PoolObserved
		if p.refused {
			r.State, r.Error = PoolRefused, p.refusal
		}
	case poolDepooling:
		r.State = PoolDepooling
	case poolOut:
		r.State, r.QuietAt = PoolServing, s.drained(i)
		if r.QuietAt.After(s.At) {
			r.State = PoolDraining
		}
	case poolRestoring:
		r.State = PoolRepooling
	case poolBack:
		r.State = PoolBack
	case poolStuck:
		r.State = PoolStuck
	}
	if s.inQuarantine(i) {
		r.State = PoolQuarantined
	}
	return r
}

func (s *State) gateReport() GateReport {
	r := GateReport{Verdict: s.gate.verdict, Why: s.gate.why, Opened: s.gate.opened, Decided: s.gate.decided}
	if !s.gate.opened.IsZero() {
		r.SoakEnd = s.soaked()
	}
	for _, c := range s.gate.checks {
		r.Checks = append(r.Checks, CheckReport{Check: c.name, Round: c.round, Running: c.running, Verdict: c.last, Passed: c.passed})
	}
	return r
}

func (s *State) hookReport() *HookReport {
	for _, m := range []Moment{MomentPre, MomentPost, MomentOnFailure} {
		if at := s.moments[m]; at.running {
			return &HookReport{Moment: m, Since: at.since}
		}
	}
	return nil
}

func (s *State) silentSources() []string {
	var names []string
	for _, i := range s.sources {
		if s.hosts[i].source.silent {
			names = append(names, s.Plan.Hosts[i].Name)
		}
	}
	return names
}
