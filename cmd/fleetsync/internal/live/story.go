package live

import (
	"fmt"
	"strings"
	"time"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/rsync"
)

// story is what a person wants to know of a run: books kept from the events, and the messages they
// give rise to. Each event costs the same whatever the size of the fleet.
type story struct {
	plan    *rollout.Plan
	stages  []chapter
	stageOf map[string]int // host → the place of its sync stage

	told []message // by the last event

	at       time.Time // of the last event
	began    time.Time
	place    int // of the current stage; -1 before the first event
	synced   int
	failed   map[string]bool // for good, as far as the events tell
	bytes    int64
	flights  map[string]*flight        // syncs, by host
	rounds   map[string]*round         // by check
	pools    map[string]rollout.StepID // pool steps in flight, by host
	held     []string
	stopping string
	stopTold bool      // the abort that it stops for has been told
	gated    bool      // the verdict has been told
	ended    int       // syncs that were stopped in this turn
	reported time.Time // how far the stage has come

	has         map[string]bool // hosts that hold the run's tree, of those that took it from the origin
	undone      map[string]bool // hosts that were rolled back, and not synced since
	lost        map[string]bool // sources that were told to have changed
	undoing     int             // rollbacks in flight
	back        int             // canaries rolled back, of which nothing has been told yet
	endedUndos  int             // rollbacks that were stopped in this turn
	quarantined []string
	down        map[string]bool // hosts that were not there when the run was planned
	trials      map[rollout.StepID]*tries
	hooks       hooks

	again limiter // of failures that are tried again
	final limiter // of failures for good
	casts limiter // of hosts that are taken out of their pools because of their trees, or put back
}

// chapter is the books of a stage.
type chapter struct {
	total, done, failed int
	left                int // when it began
	began               time.Time
}

// flight is a transfer that goes on.
type flight struct {
	source  string
	attempt int
	since   time.Time
	undo    bool // it puts back what was there before
	bytes   int64
	percent int
	known   bool // bytes and percent are
}

// round is the last round of a check.
type round struct {
	check   string
	number  int
	running bool
	verdict rollout.Verdict // of the last one that ended
}

func newStory(p *rollout.Plan) *story {
	s := &story{
		plan: p, stages: make([]chapter, len(p.Stages)), stageOf: make(map[string]int, len(p.Hosts)), place: -1,
		failed: map[string]bool{}, flights: map[string]*flight{},
		rounds: map[string]*round{}, pools: map[string]rollout.StepID{},
		has: map[string]bool{}, undone: map[string]bool{}, lost: map[string]bool{}, trials: map[rollout.StepID]*tries{},
		down: map[string]bool{}, hooks: newHooks(p),
		again: newLimiter(5, 100), final: newLimiter(10, 200), casts: newLimiter(10, 60),
	}
	for _, h := range p.Hosts {
		if h.Down != "" {
			s.down[h.Name] = true
		}
		if h.Quarantined != "" {
			s.quarantined = append(s.quarantined, h.Name)
		}
	}
	for i, stage := range p.Stages {
		s.stages[i].total = len(stage.Hosts)
		switch stage.Kind {
		case rollout.StageSync, rollout.StageUndo:
			for _, host := range stage.Hosts {
				s.stageOf[host] = i
			}
		case rollout.StageCheck, rollout.StageDepool, rollout.StageRepool, rollout.StageHook:
		}
	}
	for _, name := range p.Gate.Checks {
		s.rounds[checkStep(name)] = &round{check: name}
	}
	return s
}

// checkStep returns what the steps of a check are called by: a step's name has no spaces.
func checkStep(name string) string { return strings.ReplaceAll(name, " ", "-") }

func (s *story) tell(k kind, format string, args ...any) {
	s.told = append(s.told, message{at: s.at, kind: k, text: transport.Neutral(fmt.Sprintf(format, args...))})
}

// tellPlain tells what live bars show anyway.
func (s *story) tellPlain(format string, args ...any) {
	s.tell(note, format, args...)
	s.told[len(s.told)-1].plain = true
}

func name(s string) string   { return text.Short(s, maxName) }
func reason(s string) string { return text.Short(s, maxReason) }

// observe folds an event into the books. The state may be ahead of it: all events of a turn are
// applied before the first of them is shown.
func (s *story) observe(e rollout.Event, state view) {
	s.at = e.At
	switch e.Kind {
	case rollout.RunStarted:
		s.began = e.At
		down := ""
		if n := len(s.down); n > 0 {
			down = fmt.Sprintf("; %s down, and not tried", text.Hosts(n))
		}
		if s.plan.Undoes != "" {
			s.tellPlain("run %s (rollback of %s, %s) begins: %s%s", name(s.plan.Run), name(s.plan.Undoes), name(s.plan.Fleet), text.Hosts(len(s.stageOf)), down)
			break
		}
		s.tellPlain("run %s (%s of %s) begins: %s from %s%s", name(s.plan.Run), s.plan.Mode, name(s.plan.Fleet),
			text.Hosts(len(s.stageOf)), name(s.plan.Origin), down)
	case rollout.RunResumed:
		s.resumed(e, state)
	case rollout.StepStarted, rollout.StepDone, rollout.StepFailed:
		s.step(e, state)
	case rollout.PoolChanged:
		s.tell(bad, "%s: somebody changed its pool objects%s; nothing more is taken from it", name(e.Host), detail(e))
	case rollout.SourceChanged:
		s.changed(e)
	case rollout.SourceSilent:
		s.silent(e)
	case rollout.LockLost:
		s.tell(bad, "the lock was lost%s; nothing new starts, and running transfers are stopped%s", detail(e), s.andPools())
		s.stopping, s.stopTold = "the lock was lost", true
	case rollout.AbortAsked:
		s.abort(e)
	case rollout.RunFinished: // told below
	}
	if e.Seq == state.Seq { // the end of a turn: the state is where the events are
		s.turn(state)
	}
	if e.Kind == rollout.RunFinished {
		s.finished(e)
	}
}

func detail(e rollout.Event) string {
	for _, said := range []string{e.Detail, e.Error} {
		if said != "" {
			return ": " + reason(said)
		}
	}
	return ""
}

// resumed takes over where the journal ends. It looks at the whole fleet, once.
func (s *story) resumed(e rollout.Event, state view) {
	s.began, s.synced, s.bytes, s.place = e.At, 0, 0, -1
	s.undoing, s.back = 0, 0
	clear(s.has)
	clear(s.undone)
	clear(s.trials)
	for i := range s.stages {
		s.stages[i].done, s.stages[i].failed = 0, 0
	}
	clear(s.failed)
	s.hooks.resumed()
	moved := map[string]bool{} // hosts that a sync or a rollback is about, which the events still to come tell
	for _, r := range state.Running {
		switch kind, _, _ := strings.Cut(string(r.Step), "/"); rollout.StepKind(kind) {
		case rollout.StepSync, rollout.StepRollback:
			moved[r.Host] = true
		default:
		}
	}
	for h := range state.Hosts.All() {
		stage := &s.stages[s.stageOf[h.Host]]
		switch h.Standing {
		case rollout.Synced, rollout.Partial:
			s.synced++
			stage.done++
			if s.plan.Stages[s.stageOf[h.Host]].Origin {
				s.has[h.Host] = true
			}
			if h.Stats != nil {
				s.bytes += h.Stats.Bytes
			}
		case rollout.RolledBack:
			s.undone[h.Host] = true
			if s.plan.Undoes != "" {
				stage.done++
			}
		case rollout.Failed:
			if h.Error != "" { // else it was in flight when the run died
				s.failed[h.Host] = true
				stage.failed++
			}
		case rollout.Syncing:
			if s.hooks.post[h.Host] && !moved[h.Host] {
				s.hooks.ending[h.Host] = true
				if h.Stats != nil {
					s.bytes += h.Stats.Bytes
				}
			}
		case rollout.Untouched, rollout.Waiting, rollout.Down:
		}
	}
	s.held, s.quarantined = state.Held, nil
	for _, n := range state.Outcome.Quarantined {
		s.quarantined = append(s.quarantined, n.Host)
	}
	verdict := state.Gate.Verdict
	s.gated = verdict != ""
	s.tell(note, "run %s goes on: %d of %s %s", name(s.plan.Run), s.did(), text.Hosts(len(s.stageOf)), s.verb())
}

// step folds the beginning or the end of a step.
func (s *story) step(e rollout.Event, state view) {
	kind, about, _ := strings.Cut(string(e.Step), "/")
	switch rollout.StepKind(kind) {
	case rollout.StepSync:
		s.sync(e, state)
	case rollout.StepRollback:
		s.undo(e)
	case rollout.StepQuarantine:
		s.quarantine(e)
		s.held = state.Held // one that served stays out for its tree now
	case rollout.StepRelease:
		s.release(e)
	case rollout.StepRecheck:
		s.look(e)
	case rollout.StepCheck:
		s.check(e, about)
	case rollout.StepObserve, rollout.StepDepool, rollout.StepRepool:
		s.pool(e, rollout.StepKind(kind))
		s.held = state.Held
	case rollout.StepHook:
		s.hook(e, about)
	case rollout.StepPost:
		s.post(e, state)
	case rollout.StepOnFailure:
		s.hosted(e, rollout.StepOnFailure, false)
	}
}

func (s *story) sync(e rollout.Event, state view) {
	stage := &s.stages[s.stageOf[e.Host]]
	if e.Kind == rollout.StepStarted {
		s.notFailed(e.Host, stage)
		delete(s.undone, e.Host)
		s.flights[e.Host] = &flight{source: e.Source, attempt: e.Attempt, since: e.At}
		return
	}
	delete(s.flights, e.Host)
	if e.Kind == rollout.StepDone {
		if s.hooks.post[e.Host] {
			s.hooks.ending[e.Host] = true
			delete(s.trials, rollout.StepID(string(rollout.StepPost)+"/"+e.Host))
		} else {
			s.got(e.Host, stage)
		}
		if e.Stats != nil {
			s.bytes += e.Stats.Bytes
		}
		if e.Detail != "" {
			if suffix, show := s.again.admit(e.Host, e.Detail); show {
				s.tell(warn, "%s: synced, with a warning: %s%s", name(e.Host), reason(e.Detail), suffix)
			}
		}
		return
	}
	if e.Class == rollout.Stopped {
		s.ended++
		return
	}
	h, _ := state.Host(e.Host)
	again, how := s.fate(e, h, state)
	if !again {
		s.failed[e.Host] = true
		stage.failed++
	}
	s.tellFailure(e, again, how)
}

// got records that a host is synced.
func (s *story) got(host string, stage *chapter) {
	s.synced++
	stage.done++
	if s.plan.Stages[s.stageOf[host]].Origin { // of which the canaries may be rolled back
		s.has[host] = true
	}
}

// fate says whether a sync that failed will be tried again, and how a person is told.
func (s *story) fate(e rollout.Event, h rollout.HostReport, state view) (again bool, how string) {
	switch e.Class {
	case rollout.Busy:
		how = "busy"
	case rollout.Transient:
		how = fmt.Sprintf("attempt %d of %d", h.Failures, s.plan.Limits.Attempts)
	default: // permanent, and what no sync should end with
		how = fmt.Sprintf("attempt %d", e.Attempt)
	}
	// The state may be ahead, and the host in flight again because it is rolled back.
	return h.Standing != rollout.Failed && state.Stopping == "", how
}

// tellFailure tells of a sync that failed, as long as there are not too many.
func (s *story) tellFailure(e rollout.Event, again bool, how string) {
	limit, kind, then := &s.final, bad, "not tried again"
	if again {
		limit, kind, then = &s.again, warn, "will be tried again"
	}
	suffix, show := limit.admit(e.Host, string(e.Class)+e.Error)
	if !show {
		return
	}
	s.tell(kind, "%s: cannot sync: %s (%s from %s, %s)%s", name(e.Host), because(e), how, name(e.Source), then, suffix)
}

// because is the reason of a step that failed.
func because(e rollout.Event) string { return reason(orElse(e.Error, "no reason is known")) }

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func (s *story) check(e rollout.Event, about string) {
	r := s.rounds[about]
	if r == nil {
		return
	}
	if e.Kind == rollout.StepStarted {
		r.number, r.running = e.Attempt, true
		return
	}
	r.running = false
	verdict, said := e.Verdict, e.Detail
	if e.Kind == rollout.StepFailed {
		if e.Class == rollout.Stopped {
			return
		}
		verdict, said = rollout.Unknown, e.Error
	}
	r.verdict = verdict
	if verdict == rollout.Pass {
		return
	}
	kind := warn
	if verdict == rollout.Fail {
		kind = bad
	}
	s.tell(kind, "gate: %s, round %d: %s: %s", name(r.check), e.Attempt, name(string(verdict)), reason(orElse(said, "no reason is known")))
}

// pool folds the steps on a proxy's pool objects.
func (s *story) pool(e rollout.Event, kind rollout.StepKind) {
	switch e.Kind {
	case rollout.StepStarted:
		s.pools[e.Host] = e.Step
		return
	case rollout.StepDone:
		delete(s.pools, e.Host)
		switch kind {
		case rollout.StepDepool:
			s.tell(note, "%s: depooled", name(e.Host))
		case rollout.StepRepool:
			if e.Detail != "" {
				s.tell(warn, "%s: repooled: %s", name(e.Host), reason(e.Detail))
			} else {
				s.tell(note, "%s: repooled", name(e.Host))
			}
		default:
		}
	default:
		delete(s.pools, e.Host)
		s.poolFailed(e, kind)
	}
}

func (s *story) poolFailed(e rollout.Event, kind rollout.StepKind) {
	if e.Class == rollout.Stopped {
		return
	}
	k, then := warn, fmt.Sprintf("attempt %d, will be tried again", e.Attempt)
	switch {
	case kind == rollout.StepRepool && e.Class == rollout.Permanent:
		k, then = bad, "it STAYS OUT"
	case kind == rollout.StepRepool && e.Class != rollout.Transient:
		k, then = bad, fmt.Sprintf("attempt %d of %d", e.Attempt, s.plan.Limits.Attempts)
	case kind == rollout.StepRepool:
		k, then = bad, fmt.Sprintf("attempt %d, tried again for at most %s", e.Attempt, text.Time(time.Duration(s.plan.Limits.Restore)))
	case e.Class == rollout.Capacity, e.Class == rollout.Permanent:
		then = "it will not serve"
	}
	s.tell(k, "%s: cannot %s: %s (%s)", name(e.Host), kind, because(e), then)
}

// interrupted is what main calls the first Ctrl-C in an event.
const interrupted = "interrupted"

func (s *story) abort(e rollout.Event) {
	who := "^C"
	if e.Detail != "" && e.Detail != interrupted {
		who = reason(e.Detail)
	}
	if s.stopping == "" {
		s.stopping = who
	}
	s.stopTold = true
	pools := s.andPools()
	if e.Level >= rollout.AbortNow {
		s.tell(bad, "%s: running transfers are stopped%s. ^C again to leave at once, with everything as it is", who, pools)
		return
	}
	again := "Again"
	if who != "^C" {
		again = "^C"
	}
	s.tell(bad, "%s: nothing new starts; running syncs end%s. %s to stop running transfers", who, pools, again)
}

// andPools promises what a run with pools does when it stops.
func (s *story) andPools() string {
	for _, stage := range s.plan.Stages {
		if stage.Kind == rollout.StageDepool {
			return "; pools will be put back"
		}
	}
	return ""
}

func (s *story) finished(e rollout.Event) {
	o := e.Outcome
	if o == nil {
		return
	}
	for i, out := range o.Out {
		if i == maxNamed {
			s.tell(bad, "and %d more are STILL OUT of their pools", len(o.Out)-i)
			break
		}
		s.tell(bad, "%s: STILL OUT of its pools: %s", name(out.Host), reason(orElse(out.Error, "nothing was tried")))
	}
	for i, n := range o.Mixed {
		if i == maxNamed {
			s.tell(bad, "and %d more without a good tree are IN THEIR POOLS", len(o.Mixed)-i)
			break
		}
		s.tell(bad, "%s: IN ITS POOLS WITHOUT A GOOD TREE: %s", name(n.Host), reason(n.Detail))
	}
	said := fmt.Sprintf("run %s ends: %s", name(s.plan.Run), o.Result)
	if o.Why != "" {
		said += ": " + reason(o.Why)
	}
	did, moved := o.Counts.Synced+o.Counts.Partial, text.Bytes(o.Bytes)+" "
	back := ""
	if s.plan.Undoes != "" {
		did, moved = o.Counts.RolledBack, ""
	} else if o.Counts.RolledBack > 0 {
		back = fmt.Sprintf(", %s rolled back", text.Count(o.Counts.RolledBack))
	}
	if o.Counts.Down > 0 {
		back += fmt.Sprintf(", %s down", text.Count(o.Counts.Down))
	}
	if n := len(o.Hooks); n > 0 {
		back += fmt.Sprintf(", %s went wrong", text.Plural(n, "hook"))
	}
	s.hooksDone()
	s.tellPlain("%s; %s of %s %s%s, %s failed, %s untouched, %sin %s", said,
		text.Count(did), text.Hosts(o.Counts.Hosts), s.verb(), back, text.Count(o.Counts.Failed),
		text.Count(o.Counts.Untouched), moved, text.Time(time.Duration(o.Took)))
}

// maxNamed bounds the hosts that are named one by one at the end.
const maxNamed = 20

// progress takes note of a running transfer; what belongs to none is dropped.
func (s *story) progress(host string, p rsync.Progress) {
	if f := s.flights[host]; f != nil {
		f.bytes, f.percent, f.known = p.Bytes, p.Percent, true
	}
}
