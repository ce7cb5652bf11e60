package rollout

import (
	"fmt"
	"time"
)

// syncStatus is where a host stands. What moves it, from its stage on:
//
//	waiting ──sync starts──▶ syncing ──done, no post hooks──────▶ synced
//	   ▲                        │ └────done, post hooks to run──▶ ending ──they are done──▶ synced
//	   │                        │                                   └────they have failed──▶ failed
//	   └───failed, tried again──┤
//	                            └──failed, given up──▶ failed
//
//	synced, ending, failed, waiting ──a rollback starts──▶ syncing ──done──▶ rolledBack
//	                                                          └─failed: waiting if it is tried again, else failed
//
// A host that was not there when the run was planned is down from the beginning to the end. A run that is resumed puts what was in
// flight back to waiting; one that is opened again after its end does so with what had failed and with canaries that were rolled back.
type syncStatus string

const (
	waiting syncStatus = "waiting" // for its first attempt or the next one
	syncing syncStatus = "syncing"
	synced  syncStatus = "synced"
	failed  syncStatus = "failed" // for good

	rolledBack syncStatus = "rolled back" // has the tree that it had before
	down       syncStatus = "down"        // was not there when the run was planned
	ending     syncStatus = "ending"      // has the tree, and what is to be done then is not done
)

// HaltKind is why a run stopped by itself.
type HaltKind string

// The kinds of halts.
const (
	HaltGate   HaltKind = "gate"   // the gate did not pass
	HaltBudget HaltKind = "budget" // more hosts failed than may
	HaltSource HaltKind = "source" // nothing is left to take the tree from
	HaltLock   HaltKind = "lock"   // the lock was lost
	HaltHook   HaltKind = "hook"   // what comes before the run failed
)

// State is where a run stands: the fold of its events over its plan. It belongs to one goroutine;
// others may read it only while that one waits. Make one with NewState.
type State struct {
	Plan *Plan
	Seq  int64     // of the last event
	At   time.Time // of the last event

	index  map[string]int // host → its place in Plan.Hosts and hosts
	origin int
	hosts  []host
	pooled []int // proxies that must be out of their pools while they serve

	masters  []int // that are sources, and are looked at
	canaries []int

	byTier     [tiers]sourceSet
	originOnly sourceSet // the origin alone

	depoolStage int // in Plan.Stages; their number if there is none

	stage     int // in Plan.Stages, of the first that is not complete
	stageLeft int // hosts of a sync stage that are not at their end
	fleetLeft int // hosts of all stages served by proxies that are not at their end
	ready     *queue
	delayed   *delayed

	flights  map[StepID]flight // steps that were started and did not end
	syncing  int               // of which syncs
	depools  int               // of which depools
	failures int               // hosts that failed for good, or were not there
	downs    int               // of which were not there

	moments       map[Moment]moment
	postFailed    bool         // what comes after the run
	postHooks     *delayed     // hosts that have the tree, and on which something is to be done
	failureHooks  *delayed     // hosts that will not get it, likewise
	hooksInFlight int          // steps in flight on those
	hooked        []HookResult // what those had to say that did not go well

	gate        gate
	halt        HaltKind
	haltWhy     string
	abort       int
	abortWhy    string
	anyLost     bool  // some source was lost: transfers from it may have to be ended
	rollingBack bool  // the gate did not let canaries pass: they are looked through from now on
	quarantines []int // hosts that are in quarantine, or are to be
	named       []Named
	started     time.Time
	format      int // of the events, as the last run_started or run_resumed says
	outcome     *Outcome

	sources []int // hosts that serve or may come to
	model   model
}

// host is what a run knows of one host.
type host struct {
	sync               syncStatus
	fleet              bool   // in a stage that proxies serve
	counted            bool   // in the current stage, and not at their end
	attempts           int    // syncs started
	tries                     // of those, failed
	tried              []int  // the sources that it failed from
	last               string // the source of the last attempt
	err                string
	class              Class
	stats              *Stats
	at                 time.Time // of the last sync event
	source             *source   // nil: serves nobody
	pool               *pool     // nil: has nothing in a pool that must be out
	recheck            *recheck  // nil: is not looked at
	undo               undo
	quarantine         *quarantine // nil: its tree is no reason to take it out
	hook               hostHookState
	quarantineAttempts int // quarantines started, over all lives of the run
	releaseAttempts    int // likewise
}

type flight struct {
	kind    StepKind
	host    int // none for checks
	source  int // none but for syncs
	check   *check
	moment  Moment
	attempt int
	since   time.Time
}

// NewState returns the state of a run in which nothing has happened yet. The plan must be one that
// NewPlan made, or that was read back from a journal.
func NewState(p *Plan) (*State, error) {
	s := &State{
		Plan:         p,
		index:        make(map[string]int, len(p.Hosts)),
		hosts:        make([]host, len(p.Hosts)),
		ready:        newQueue(p.Hosts),
		delayed:      newDelayed(),
		postHooks:    newDelayed(),
		failureHooks: newDelayed(),
		moments:      map[Moment]moment{},
		flights:      map[StepID]flight{},
	}
	for i, h := range p.Hosts {
		if _, twice := s.index[h.Name]; twice {
			return nil, fmt.Errorf("plan %s: host %s is listed twice", p.Run, h.Name)
		}
		s.index[h.Name] = i
		if h.Quarantined != "" {
			s.wantQuarantine(i, "since run "+h.Quarantined)
			s.hosts[i].quarantine.out = true
		}
		if h.Down != "" {
			s.hosts[i].sync, s.hosts[i].err = down, h.Down
			s.downs++
		}
		if h.Slots > 0 {
			s.sources = append(s.sources, i)
			s.hosts[i].source = &source{tier: tierOf(h.Role), slots: h.Slots}
		}
		if (h.Role == RoleMaster || h.Name == p.Origin) && h.Slots > 0 && p.Tree != nil {
			s.hosts[i].recheck = &recheck{}
			s.masters = append(s.masters, i)
		}
		if h.Role == RoleCanary {
			s.canaries = append(s.canaries, i)
		}
		if h.Role == RoleProxy && h.Pooled {
			if s.hosts[i].source == nil {
				return nil, fmt.Errorf("plan %s: proxy %s is to leave its pools and has no slots to serve from", p.Run, h.Name)
			}
			s.hosts[i].pool = &pool{status: poolIdle, attempts: map[StepKind]int{}}
			s.pooled = append(s.pooled, i)
		}
	}
	origin, ok := s.index[p.Origin]
	switch {
	case ok && s.hosts[origin].source != nil:
	case p.Origin == "" && p.Undoes != "":
		origin = none
	default:
		return nil, fmt.Errorf("plan %s: origin %q is not a host with slots", p.Run, p.Origin)
	}
	s.origin = origin
	s.model = newModel(p, s.index)
	s.depoolStage = len(p.Stages)
	for place, stage := range p.Stages {
		if stage.Kind == StageDepool {
			s.depoolStage = place
		}
		switch stage.Kind {
		case StageSync, StageUndo:
		case StageCheck, StageDepool, StageRepool, StageHook:
			continue
		}
		if (stage.Kind == StageUndo) != (p.Undoes != "") {
			return nil, fmt.Errorf("plan %s: stage %s is a %s, and the plan undoes run %q", p.Run, stage.Name, stage.Kind, p.Undoes)
		}
		for _, name := range stage.Hosts {
			i, ok := s.index[name]
			if !ok {
				return nil, fmt.Errorf("plan %s: stage %s names host %q, which the plan does not list", p.Run, stage.Name, name)
			}
			if s.hosts[i].sync != "" || i == origin {
				return nil, fmt.Errorf("plan %s: stage %s syncs host %s, which is the origin, down or in another stage too", p.Run, stage.Name, name)
			}
			s.hosts[i].sync = waiting
			if !stage.Origin && stage.Kind == StageSync {
				s.hosts[i].fleet = true
				s.fleetLeft++
			}
		}
	}
	if origin != none {
		s.hosts[origin].sync = synced
	}
	for i, h := range s.hosts {
		if h.sync == "" {
			return nil, fmt.Errorf("plan %s: host %s is in no stage and not the origin", p.Run, p.Hosts[i].Name)
		}
	}
	s.failures = s.downs
	for i := range s.hosts {
		if s.hosts[i].sync == down && p.Hosts[i].Quarantined == "" { // which was seen to when it was planned
			s.unfit(i)
		}
	}
	for _, name := range p.Gate.Checks {
		s.gate.checks = append(s.gate.checks, check{name: name})
	}
	for i := range s.hosts {
		s.reconsider(i)
	}
	s.updateOrigin()
	return s, nil
}

func tierOf(r Role) tier {
	if r == RoleProxy {
		return proxyTier
	}
	return masterTier
}

// stopping says whether nothing may start but what puts pools back.
func (s *State) stopping() bool { return s.halt != "" || s.abort > 0 }

func (s *State) stop(kind HaltKind, why string) {
	if s.halt == "" {
		s.halt, s.haltWhy = kind, why
		s.wantFailureHooks()
	}
}

// advance moves on to the first stage that is not complete.
func (s *State) advance(at time.Time) {
	for s.stage < len(s.Plan.Stages) && s.complete() {
		s.stageIs(StageComplete, at)
		s.stage++
		s.enter(at)
	}
}

// complete says whether the current stage is.
func (s *State) complete() bool {
	switch stage := &s.Plan.Stages[s.stage]; stage.Kind {
	case StageSync:
		return s.stageLeft == 0 && !s.unchecked()
	case StageUndo:
		return s.stageLeft == 0
	case StageCheck:
		return s.passed()
	case StageDepool:
		if s.fleetLeft == 0 {
			return true // nobody is left whom the proxies would serve
		}
		for _, i := range s.pooled {
			if s.needed(i) && !s.hosts[i].pool.final() {
				return false
			}
		}
		return true
	case StageRepool:
		for _, i := range s.pooled {
			if s.hosts[i].pool.held && s.hosts[i].pool.status != poolStuck {
				return false
			}
		}
		return true
	case StageHook:
		return s.moments[Moment(stage.Name)].over
	default:
		return true
	}
}

// enter begins the current stage.
func (s *State) enter(at time.Time) {
	s.stageLeft = 0
	if s.stage == len(s.Plan.Stages) {
		return
	}
	switch stage := &s.Plan.Stages[s.stage]; stage.Kind {
	case StageSync, StageUndo:
		for _, name := range stage.Hosts {
			i := s.index[name]
			switch s.hosts[i].sync {
			case waiting:
				s.count(i)
				s.wait(i, s.drained(i))
			case syncing, ending:
				s.count(i)
			case synced, failed, rolledBack, down:
			}
		}
	case StageCheck:
		if s.gate.opened.IsZero() {
			s.gate.opened = at
		}
	case StageDepool, StageRepool, StageHook:
	}
	s.stageIs(StageCurrent, at)
}

// stageIs records how far the current stage has come.
func (s *State) stageIs(state StageState, at time.Time) {
	stage := *s.model.stages[s.stage] // snapshots have the old one
	if stage.State = state; state == StageComplete {
		stage.Ended = at
	} else {
		stage.Began, stage.Ended, stage.Left = at, time.Time{}, s.stageLeft
	}
	s.model.stages[s.stage] = &stage
}

// count records that a host of the current stage is to come to its end in this stage.
func (s *State) count(i int) {
	s.hosts[i].counted = true
	s.stageLeft++
}

// wait puts a host among those to be synced, not before due. One that some source has failed is
// always among the delayed: only they are kept from that source.
func (s *State) wait(i int, due time.Time) {
	if due.IsZero() && len(s.hosts[i].tried) == 0 {
		s.ready.push(i)
	} else {
		s.delayed.add(i, due)
	}
}

// drained is when a proxy that was taken out of its pools is quiet; zero for any other host.
func (s *State) drained(i int) time.Time {
	p := s.hosts[i].pool
	if p == nil || p.status != poolOut {
		return time.Time{}
	}
	return p.outAt.Add(time.Duration(s.Plan.Limits.Drain))
}

// backoff is how long to wait after the nth failure in succession.
func (s *State) backoff(n int) time.Duration {
	const most = time.Minute
	d := time.Duration(s.Plan.Limits.RetryDelay)
	for ; n > 1 && d < most; n-- {
		d *= 2
	}
	return min(d, most)
}

func (s *State) updateOrigin() {
	if s.origin == none {
		return
	}
	s.originOnly.update(s.origin, s.hosts[s.origin].source)
}
