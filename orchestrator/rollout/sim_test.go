package rollout_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/rollout/rollouttest"
)

// sim is a simulated run: what happens to each step, and how long it takes, is drawn when it starts; the books watch.
type sim struct {
	*rollouttest.Sim
	t       *rapid.T
	ends    map[*rollouttest.Flight]*ending // of the steps in flight
	pools   pools
	luck    luck
	books   *books
	foldAt  int // the turn at which the state is compared with a fresh fold
	crashAt int // the turn at which the machine that runs it dies; -1: never
	again   int // times that it is still to be resumed after its end

	pure     bool // nobody else writes pool objects, and no machine dies: what is marked is out
	last     *rollout.Snapshot
	lastText string // its JSON when it was taken
}

// ending is how a step is going to end.
type ending struct {
	class   rollout.Class // empty: done
	blame   bool
	verdict rollout.Verdict
	partly  bool // a failed change of pool objects reached the first of them; a quarantine that goes well finds none
	detail  string
}

// luck is how much goes wrong in one run, in percent.
type luck struct {
	sync, pool, check int
	edits             int             // of objects, whenever time goes on
	bad               map[string]bool // hosts that never can be synced
	broken            map[string]bool // sources that every transfer from fails
	slow              int             // seconds that a step takes at most

	look, undo, quarantine int
	hook                   int
	stuck                  map[string]bool // hosts that cannot be rolled back, and masters that cannot be looked at
	alarm                  int             // of an abort, a lost lock or a crash, whenever a step of these is in flight
}

const (
	mostTurns = 20_000
	mostTime  = 24 * time.Hour
)

func newSim(t *rapid.T, plan *rollout.Plan) *sim {
	engine, err := rollouttest.NewSim(plan)
	if err != nil {
		t.Fatalf("a plan that NewPlan made: %v", err)
	}
	engine.Now = epoch
	s := &sim{Sim: engine, t: t, ends: map[*rollouttest.Flight]*ending{}, pools: pools{}, foldAt: upTo(t, 60, "fold at"), crashAt: -1}
	s.Begin, s.Stop, s.Arrive, s.Decided, s.Happened = s.fly, s.stop, s.arrive, s.decided, s.happened
	s.books = newBooks(t, plan)
	s.drawLuck()
	s.drawAgenda()
	for _, h := range plan.Hosts {
		if h.Role == rollout.RoleProxy && h.Pooled {
			s.pools.add(h.Name, 1+upTo(t, 1, "services"))
		}
	}
	if dice(t, 25, "crash") {
		s.crashAt = pick(t, 60, "crash at")
	}
	s.pure = s.luck.edits == 0 && s.crashAt < 0 && s.luck.alarm == 0 &&
		!slices.ContainsFunc(s.Agenda, func(e rollout.Event) bool { return e.Kind == rollout.PoolChanged })
	if dice(t, 15, "resumed after its end") {
		s.again = 1 + upTo(t, 2, "and after that")
	}
	return s
}

func (s *sim) drawLuck() {
	percent := []int{0, 1, 4, 15, 50}
	s.luck = luck{
		sync: percent[pick(s.t, 5, "bad syncs")], pool: percent[pick(s.t, 5, "bad pools")], check: percent[pick(s.t, 5, "bad checks")],
		bad: map[string]bool{}, broken: map[string]bool{}, slow: upTo(s.t, 20, "slow"),
	}
	s.luck.stuck = map[string]bool{}
	s.luck.hook = percent[pick(s.t, 5, "bad hooks")]
	if s.Plan.Tree != nil || s.Plan.Undoes != "" {
		s.luck.look, s.luck.undo = []int{0, 0, 1, 3, 30}[pick(s.t, 5, "bad looks")], percent[pick(s.t, 5, "bad rollbacks")]
		s.luck.quarantine = []int{0, 15, 50}[pick(s.t, 3, "bad quarantines")]
		if dice(s.t, 20, "alarm") {
			s.luck.alarm = 8
		}
		for dice(s.t, 25, "stuck") {
			s.luck.stuck[s.Plan.Hosts[pick(s.t, len(s.Plan.Hosts), "stuck")].Name] = true
		}
		for _, stage := range s.Plan.Stages[:1] {
			for _, name := range stage.Hosts {
				if s.luck.undo > 1 && dice(s.t, 30, "stuck canary") {
					s.luck.stuck[name] = true
				}
			}
		}
	}
	if dice(s.t, 25, "edited") {
		s.luck.edits = percent[1+pick(s.t, 4, "edits")]
	}
	if dice(s.t, 30, "bad hosts") {
		for range 1 + upTo(s.t, 3, "bad hosts") {
			h := s.Plan.Hosts[upTo(s.t, len(s.Plan.Hosts)-1, "bad host")]
			s.luck.bad[h.Name] = true
		}
	}
	if dice(s.t, 25, "broken source") {
		if sources := s.sources(); len(sources) > 0 {
			s.luck.broken[sources[upTo(s.t, len(sources)-1, "broken source")]] = true
		}
	}
}

func (s *sim) sources() []string {
	var names []string
	for _, h := range s.Plan.Hosts {
		if h.Slots > 0 {
			names = append(names, h.Name)
		}
	}
	slices.Reverse(names) // proxies before masters, in most fleets
	return names
}

func (s *sim) drawAgenda() {
	if !dice(s.t, 40, "eventful") {
		return
	}
	sources := s.sources()
	for range 1 + upTo(s.t, 4, "events") {
		e := rollout.Event{At: epoch.Add(seconds(upTo(s.t, 30, "minutes")*10 + upTo(s.t, 10, "seconds")))}
		what := pick(s.t, 8, "event") - 2
		if len(sources) == 0 {
			what = max(what, 4)
		}
		switch what {
		case -2, -1:
			e.Kind, e.Host = rollout.SourceSilent, sources[upTo(s.t, len(sources)-1, "silent source")]
		case 0, 1:
			e.Kind, e.Host = rollout.PoolChanged, sources[upTo(s.t, len(sources)-1, "pool of")]
			e.Edit = rollout.EditIn
			if dice(s.t, 30, "out") {
				e.Edit = rollout.EditOut
			}
		case 2, 3:
			e.Kind, e.Host = rollout.SourceChanged, sources[upTo(s.t, len(sources)-1, "changed source")]
		case 4:
			e.Kind, e.Level, e.Detail = rollout.AbortAsked, 1+upTo(s.t, 1, "level"), "interrupted"
		default:
			e.Kind, e.Error = rollout.LockLost, "the store is away"
		}
		s.Agenda = append(s.Agenda, e)
	}
	slices.SortStableFunc(s.Agenda, func(a, b rollout.Event) int { return a.At.Compare(b.At) })
}

func (s *sim) newState(p *rollout.Plan) *rollout.State {
	state, err := rollout.NewState(p)
	if err != nil {
		s.t.Fatalf("a plan that NewPlan made: %v", err)
	}
	return state
}

// run takes the run to its end.
func (s *sim) run() {
	s.happen(rollout.Event{Kind: rollout.RunStarted, Plan: s.Plan})
	for {
		d := s.turn()
		switch {
		case d.Done && s.again > 0:
			s.again--
			s.restart()
		case d.Done:
			return
		case s.Turns == s.crashAt || s.alarmed():
			s.crash()
		default:
			s.elapse(d.Wake)
		}
	}
}

// alarmed says whether the machine dies while a step of those is in flight that put things right. If it does
// not, somebody may abort the run just then, or the lock be lost.
func (s *sim) alarmed() bool {
	mends := func(f *rollouttest.Flight) bool {
		k := f.Step.Kind
		return k == rollout.StepRecheck || k == rollout.StepRollback || k == rollout.StepQuarantine || k == rollout.StepRelease
	}
	if s.luck.alarm == 0 || !slices.ContainsFunc(s.Flights, mends) || !dice(s.t, s.luck.alarm, "alarm") {
		return false
	}
	switch pick(s.t, 6, "alarm") {
	case 0:
		s.happen(rollout.Event{Kind: rollout.LockLost, Error: "the store is away"})
	case 1, 2:
		s.happen(rollout.Event{Kind: rollout.AbortAsked, Level: rollout.AbortGently, Detail: "interrupted"})
	case 3:
		s.happen(rollout.Event{Kind: rollout.AbortAsked, Level: rollout.AbortNow, Detail: "interrupted"})
	default:
		return true
	}
	s.turn()
	return false
}

// turn decides and starts, as the loop does, and sees that what was decided can be.
func (s *sim) turn() rollout.Decision {
	d, err := s.Turn()
	if err != nil {
		s.t.Fatalf("P9: %v", err)
	}
	if d.Done {
		s.finished()
	}
	if len(s.Flights) == 0 && !d.Done && d.Wake.IsZero() {
		s.t.Fatalf("P9 stall: nothing in flight, nothing to start, not done, and no time to wake")
	}
	if !d.Wake.IsZero() && !d.Wake.After(s.Now) {
		s.t.Fatalf("P9: to be woken at %v, which is over", d.Wake)
	}
	if s.Turns > mostTurns || s.Now.Sub(epoch) > mostTime {
		s.t.Fatalf("P9: no end after %d turns and %v", s.Turns, s.Now.Sub(epoch))
	}
	return d
}

// decided sees that a decision has no side effects, and holds it against the books.
func (s *sim) decided(d rollout.Decision) {
	if twice := rollout.Next(s.State, s.Now); !reflect.DeepEqual(d, twice) {
		s.t.Fatalf("P9 purity: Next gives two answers to one question:\n%+v\n%+v", d, twice)
	}
	if s.Turns == s.foldAt {
		s.compare(d)
	}
	s.books.decided(d, s.Now)
	if d.Done && (len(d.Start)+len(s.Flights) > 0 || !d.Wake.IsZero()) {
		s.t.Fatalf("P9: done with steps in flight or a time to wake: %+v", d)
	}
}

// finished holds the end of the run against the books.
func (s *sim) finished() {
	if !rollout.Next(s.State, s.Now).Done || s.State.Finished() == nil {
		s.t.Fatalf("P9: a run that is finished is not done")
	}
	s.books.finished(*s.State.Finished(), s.State.Report())
	s.pools.finished(s.t, s.books)
	if dice(s.t, 30, "fold at the end") {
		s.compare(rollout.Next(s.State, s.Now))
	}
}

// elapse goes on to the next moment at which anything happens, and lets it happen.
func (s *sim) elapse(wake time.Time) {
	if err := s.Elapse(wake); err != nil {
		s.t.Fatalf("P9: %v", err)
	}
	if len(s.pools) > 0 && !s.pure && dice(s.t, 1, "edited unseen") {
		if hosts := s.pools.hosts(); len(hosts) > 0 {
			s.pools.edit(hosts[upTo(s.t, len(hosts)-1, "edited")], rollout.EditOut)
		}
	}
	if len(s.pools) > 0 && dice(s.t, s.luck.edits, "edited") {
		hosts := s.pools.hosts()
		s.edit(rollout.Event{Kind: rollout.PoolChanged, Host: hosts[pick(s.t, len(hosts), "edited host")], Edit: rollout.EditIn})
	}
}

// arrive lets somebody edit pool objects when the time for that has come; it becomes known later.
func (s *sim) arrive(e rollout.Event) bool {
	if e.Kind != rollout.PoolChanged || e.Objects != nil {
		return true
	}
	s.edit(e)
	return false
}

// edit lets somebody else edit an object now, which becomes known later, when it may be over.
func (s *sim) edit(e rollout.Event) {
	e.Objects = s.pools.edit(e.Host, e.Edit)
	e.Detail = fmt.Sprintf("%s was set %s by somebody else", e.Host, e.Edit)
	e.At = s.Now.Add(seconds(upTo(s.t, 5, "becomes known after")))
	at, _ := slices.BinarySearchFunc(s.Agenda, e, func(a, b rollout.Event) int { return cmp.Or(a.At.Compare(b.At), -1) })
	s.Agenda = slices.Insert(s.Agenda, at, e)
}

// happen makes an event part of the run.
func (s *sim) happen(e rollout.Event) {
	if err := s.Happen(e); err != nil {
		s.t.Fatalf("P9: %v", err)
	}
}

// happened holds an event, and what is shown after it, against the books.
func (s *sim) happened(e rollout.Event) {
	s.books.happened(e)
	s.snap()
}

// snap takes a snapshot now and then, and holds it against the books; the one from before must not have changed.
func (s *sim) snap() {
	now := s.State.Snapshot()
	s.books.snapshot(now)
	if s.pure && now.Seq%7 == 0 {
		s.pools.outAsSaid(s.t, s.books, now)
	}
	if s.Turns == s.foldAt && s.last == nil {
		text, err := json.Marshal(now)
		if err != nil {
			s.t.Fatal(err)
		}
		s.last, s.lastText = now, string(text)
	}
}

// fly draws how a step will end, and when.
func (s *sim) fly(step rollout.Step) *rollouttest.Flight {
	f := &rollouttest.Flight{End: s.Now.Add(seconds(upTo(s.t, s.luck.slow, "takes")))}
	does := s.draw(step)
	s.ends[f] = &does
	f.Land = func() rollout.Event {
		delete(s.ends, f)
		return s.land(step, does)
	}
	return f
}

// draw draws how a step will end.
func (s *sim) draw(step rollout.Step) (does ending) {
	switch step.Kind {
	case rollout.StepSync:
		does = s.syncEnding(step)
	case rollout.StepCheck:
		does.verdict = rollout.Pass
		if dice(s.t, s.luck.check, "check") {
			switch pick(s.t, 6, "verdict") {
			case 0, 1:
				does.verdict = rollout.Fail
			case 2, 3:
				does.verdict = rollout.Unknown
			case 4:
				does.class = rollout.Transient
			default:
				does.verdict = ""
			}
		}
	case rollout.StepObserve, rollout.StepDepool, rollout.StepRepool:
		if dice(s.t, s.luck.pool, "pool") {
			does.partly = dice(s.t, 30, "partly")
			does.class = []rollout.Class{
				rollout.Transient, rollout.Transient, rollout.Unhealthy, rollout.Conflict, rollout.Capacity, rollout.Permanent,
			}[pick(s.t, 6, "class")]
		}
	case rollout.StepRecheck:
		if s.luck.stuck[step.Host] || dice(s.t, s.luck.look, "look") {
			does.class = []rollout.Class{rollout.Transient, rollout.Transient, rollout.Changed, rollout.Permanent}[pick(s.t, 4, "class")]
		}
	case rollout.StepRollback:
		if s.luck.stuck[step.Host] || dice(s.t, s.luck.undo, "rollback") {
			does.class = []rollout.Class{
				rollout.Transient, rollout.Transient, rollout.Transient, rollout.Busy, rollout.Permanent, rollout.Unhealthy,
			}[pick(s.t, 6, "class")]
		}
	case rollout.StepHook, rollout.StepPost, rollout.StepOnFailure:
		if dice(s.t, 5, "ignored") {
			does.detail = "it failed, which is ignored"
		}
		if dice(s.t, s.luck.hook, "hook") {
			does.class = []rollout.Class{rollout.Transient, rollout.Transient, rollout.Permanent}[pick(s.t, 3, "class")]
		}
	case rollout.StepQuarantine, rollout.StepRelease:
		if does.detail = ""; dice(s.t, 30, "out already") {
			does.detail = "it was out already"
			does.partly = s.pools[step.Host] == nil
		}
		if dice(s.t, s.luck.quarantine, "quarantine") {
			does.class = []rollout.Class{rollout.Transient, rollout.Conflict, rollout.Capacity, rollout.Permanent}[pick(s.t, 4, "class")]
		}
	}
	return does
}

func (s *sim) syncEnding(step rollout.Step) ending {
	switch {
	case s.luck.broken[step.Source]:
		if len(step.Source)%2 == 0 || dice(s.t, 30, "refuses") {
			return ending{class: rollout.Permanent, blame: true}
		}
		return ending{class: rollout.Transient, blame: true}
	case s.luck.bad[step.Host]:
		if len(step.Host)%2 == 0 || dice(s.t, 50, "permanent") {
			return ending{class: rollout.Permanent}
		}
		return ending{class: rollout.Transient}
	case dice(s.t, s.luck.sync, "sync"):
		switch pick(s.t, 10, "class") {
		case 0:
			return ending{class: rollout.Permanent}
		case 1, 2:
			return ending{class: rollout.Busy}
		case 3, 4, 5:
			return ending{class: rollout.Transient, blame: true}
		default:
			return ending{class: rollout.Transient}
		}
	}
	return ending{}
}

// stop ends a step soon, unless it ends by itself before.
func (s *sim) stop(f *rollouttest.Flight) {
	does := s.ends[f]
	if does == nil || does.class == rollout.Stopped {
		return
	}
	if soon := s.Now.Add(seconds(upTo(s.t, 2, "stops after"))); soon.Before(f.End) {
		stopped := ending{class: rollout.Stopped}
		f.End, s.ends[f] = soon, &stopped
		f.Land = func() rollout.Event {
			delete(s.ends, f)
			return s.land(f.Step, stopped)
		}
	}
}

// land returns the event that a step ends with, after its effect.
func (s *sim) land(step rollout.Step, does ending) rollout.Event {
	e := rollout.Event{Kind: rollout.StepDone}
	class := does.class
	switch step.Kind {
	case rollout.StepSync:
		e.Stats = &rollout.Stats{Bytes: int64(100 + s.Turns)}
	case rollout.StepCheck:
		e.Verdict = does.verdict
	case rollout.StepObserve:
		if class == "" {
			e.Objects = s.pools.observe(step.Host)
		}
	case rollout.StepDepool:
		e.Objects, class = s.pools.depool(step, class, does.partly)
	case rollout.StepRepool:
		e.Detail, e.Objects = s.pools.repool(step, class, does.partly)
	case rollout.StepQuarantine, rollout.StepRelease:
		e.Detail = does.detail
		s.pools.cast(step, class)
		if step.Kind == rollout.StepQuarantine && class == "" && !does.partly {
			e.Objects = []rollout.Object{{Key: "dc/cluster/service0/" + step.Host, Held: true}}
		}
	case rollout.StepHook, rollout.StepPost, rollout.StepOnFailure:
		e.Detail = does.detail
	case rollout.StepRecheck, rollout.StepRollback:
	}
	if class != "" {
		e.Kind, e.Class, e.Blame, e.Verdict, e.Stats, e.Detail = rollout.StepFailed, class, does.blame, "", nil, ""
		e.Error = fmt.Sprintf("%s: %s", step.ID, class)
	}
	return e
}

// crash loses all that is not in the journal. What was in flight may have had its effect.
func (s *sim) crash() {
	for _, f := range s.Flights {
		if dice(s.t, 50, "had its effect") {
			s.Land(f)
		}
	}
	s.Flights = nil
	clear(s.ends)
	s.Now = s.Now.Add(seconds(upTo(s.t, 60, "dead")))
	s.restart()
}

// restart goes on from the journal.
func (s *sim) restart() {
	s.State = s.fold()
	e := rollout.Event{Kind: rollout.RunResumed}
	if s.Plan.Tree != nil && dice(s.t, 5, "changed meanwhile") {
		e.Error = "the source has changed"
	}
	s.happen(e)
}

// fold returns the state that the journal leads to, as it would be read back from disk.
func (s *sim) fold() *rollout.State {
	lines, err := json.Marshal(s.Journal)
	if err != nil {
		s.t.Fatal(err)
	}
	var events []rollout.Event
	if err := json.Unmarshal(lines, &events); err != nil {
		s.t.Fatal(err)
	}
	state := s.newState(events[0].Plan)
	for _, e := range events {
		if err := state.Apply(&e); err != nil {
			s.t.Fatalf("P9: what was applied once cannot be folded: %v", err)
		}
	}
	return state
}

// compare sees that the state is what the journal leads to: that neither asking nor the way through
// JSON has changed what will be decided.
func (s *sim) compare(d rollout.Decision) {
	again := s.fold()
	if fresh := rollout.Next(again, s.Now); !reflect.DeepEqual(d, fresh) {
		s.t.Fatalf("P9 purity: a fresh fold decides otherwise:\nlive  %+v\nfresh %+v", d, fresh)
	}
	if live, fresh := s.State.Outcome(), again.Outcome(); !reflect.DeepEqual(live, fresh) {
		s.t.Fatalf("P9 purity: a fresh fold comes to another outcome:\nlive  %+v\nfresh %+v", live, fresh)
	}
	if live, fresh := s.State.Report(), again.Report(); !reflect.DeepEqual(live, fresh) {
		s.t.Fatalf("P9 purity: a fresh fold reports otherwise:\nlive  %+v\nfresh %+v", live, fresh)
	}
	s.books.report(s.State.Report())
	live, err := json.Marshal(s.State.Snapshot())
	if err != nil {
		s.t.Fatal(err)
	}
	fresh, err := json.Marshal(again.Snapshot())
	if err != nil {
		s.t.Fatal(err)
	}
	if string(live) != string(fresh) {
		s.t.Fatalf("P12 what is shown is true: a fresh fold shows otherwise:\nlive  %s\nfresh %s", live, fresh)
	}
	if s.last == nil {
		return
	}
	if text, err := json.Marshal(s.last); err != nil || string(text) != s.lastText {
		s.t.Fatalf("a snapshot has changed after it was handed out (%v):\nwas %s\nis  %s", err, s.lastText, text)
	}
}

// story tells the run for who reads a failure.
func (s *sim) story() string {
	var b strings.Builder
	fmt.Fprintf(&b, "limits %+v\ngate %+v\norigin %s, force %q, tree %v, quarantine %v, undoes %q\n",
		s.Plan.Limits, s.Plan.Gate, s.Plan.Origin, s.Plan.Force, s.Plan.Tree != nil, s.Plan.Quarantine, s.Plan.Undoes)
	for _, h := range s.Plan.Hosts {
		fmt.Fprintf(&b, "%+v\n", h)
	}
	for _, stage := range s.Plan.Stages {
		fmt.Fprintf(&b, "%s (%s): %v\n", stage.Name, stage.Kind, stage.Hosts)
	}
	for _, e := range s.Journal {
		fmt.Fprintf(&b, "%4d %6.0fs %-14s %s %s %s %s %s\n", e.Seq, e.At.Sub(epoch).Seconds(), e.Kind, e.Step, e.Source, e.Class, e.Verdict,
			e.Detail)
	}
	return b.String()
}

// pools is the store of pool objects: what depool and repool really do, and what others do meanwhile.
type pools map[string][]*object

type object struct {
	key    string
	value  string
	index  uint64
	marked bool
	before string // what it was when it was marked; while it is not, what it should be
}

func (p pools) add(host string, n int) {
	for i := range n {
		value := fmt.Sprintf(`{"weight": 10, "pooled": "yes", "unknown": "<%s&%d>"}`, host, i)
		p[host] = append(p[host], &object{key: fmt.Sprintf("dc/cluster/service%d/%s", i, host), value: value, before: value, index: 7})
	}
}

func (p pools) hosts() []string {
	var names []string
	for name := range p {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// edit is somebody else, who writes an object without our marker. It returns what was written; of a
// host without pools, what nobody could have written.
func (p pools) edit(host string, edit rollout.Edit) []rollout.Object {
	for _, o := range p[host] {
		o.index++
		o.value, o.marked = fmt.Sprintf(`{"weight": %d, "pooled": "%s"}`, o.index, edit), false
		o.before = o.value
		return []rollout.Object{{Key: o.key, Value: o.value, Index: o.index}}
	}
	return []rollout.Object{{Key: "dc/cluster/service0/" + host, Index: 1 << 40}}
}

func (p pools) observe(host string) []rollout.Object {
	var objects []rollout.Object
	for _, o := range p[host] {
		objects = append(objects, rollout.Object{Key: o.key, Value: o.value, Index: o.index, Held: o.marked})
	}
	return objects
}

// depool marks each object that is still as it was observed. Where one is not, that is a conflict,
// and so are not the ones before it. It returns what is ours.
func (p pools) depool(step rollout.Step, class rollout.Class, partly bool) (held []rollout.Object, _ rollout.Class) {
	for i, o := range p[step.Host] {
		if class != "" && (!partly || i > 0) {
			return held, class
		}
		if step.Objects[i].Index != o.index {
			return held, rollout.Conflict
		}
		if !o.marked {
			o.marked, o.before = true, o.value
			o.index++
			o.value = `{"weight": 10, "pooled": "no", "fleetsync": "r1"}`
		}
		held = append(held, rollout.Object{Key: o.key, Value: o.value, Index: o.index, Held: true})
	}
	return held, class
}

// repool puts back what bears our marker, and names what does not though it should.
func (p pools) repool(step rollout.Step, class rollout.Class, partly bool) (named string, back []rollout.Object) {
	for i, o := range p[step.Host] {
		if class != "" && (!partly || i > 0) {
			return "", back
		}
		if o.marked {
			o.marked, o.value = false, step.Objects[i].Value
			o.index++
			back = append(back, rollout.Object{Key: o.key, Value: o.value, Index: o.index})
		} else if o.value != step.Objects[i].Value {
			named += o.key + " was changed by somebody else, and left as it is; "
		}
	}
	return named, back
}

// cast takes a host out for its tree, or puts it back: as it was before it was taken out, for whatever reason.
func (p pools) cast(step rollout.Step, class rollout.Class) {
	for _, o := range p[step.Host] {
		switch {
		case class != "":
		case step.Kind == rollout.StepQuarantine && !o.marked:
			o.marked, o.before, o.value = true, o.value, `{"weight": 10, "pooled": "no", "fleetsync": "r1"}`
			o.index++
		case step.Kind == rollout.StepRelease && o.marked:
			o.marked, o.value = false, o.before
			o.index++
		}
	}
}

// outAsSaid sees that what a snapshot calls out of its pools is what the store has as taken out, of what is not in quarantine.
func (p pools) outAsSaid(t *rapid.T, b *books, now *rollout.Snapshot) {
	for host, objects := range p {
		if q := b.hosts[host].quarantine; q.out || q.unseen || q.starts > 0 {
			continue
		}
		out := slices.ContainsFunc(objects, func(o *object) bool { return o.marked })
		if said := slices.Contains(now.Out, host); out != said {
			t.Fatalf("P12 what is shown is true: %s is out of its pools: %v; it is called so: %v", host, out, said)
		}
	}
}

// finished sees that everything is back as it was, or as somebody else has left it.
func (p pools) finished(t *rapid.T, b *books) {
	for host, objects := range p {
		if q := b.hosts[host].quarantine; b.out[host] || q.out || q.unseen || q.starts > 0 && b.abort == rollout.AbortNow {
			continue // the last: nobody has heard how it ended
		}
		for _, o := range objects {
			if o.marked || o.value != o.before {
				t.Fatalf("P1 pools come back: %s is %s at the end, was %s", o.key, o.value, o.before)
			}
		}
	}
}

// planned draws an order that can be planned, and its plan. Some runs roll back another, or change masters alone.
func planned(t *rapid.T) *rollout.Plan {
	o := anOrder(t, true)
	everybody, plans := []string(nil), rollout.NewPlan
	switch pick(t, 20, "kind of run") {
	case 17, 18:
		everybody, plans = all(o.fleet), rollout.NewRollback
		o.request.Undoes = "r0"
		if o.request.Selection == nil {
			o.request.Selection = everybody
		}
	case 19:
		return plannedMasters(t, o)
	}
	plan, err := plans(o.fleet, o.settings, o.request)
	if err != nil {
		// Most of what cannot be planned can without its narrowing.
		o.request.Selection, o.request.Left, o.request.Origin, o.request.Down = everybody, nil, "", nil
		plan, err = plans(o.fleet, o.settings, o.request)
	}
	if err != nil {
		t.Fatalf("%v", err)
	}
	return plan
}

// plannedMasters plans a run that takes the tree from a host to all masters, or from one master to the others,
// or that puts back what all of them had.
func plannedMasters(t *rapid.T, o order) *rollout.Plan {
	r := o.request
	r.Selection, r.Origin = nil, all(o.fleet)[0]
	for _, m := range o.fleet.Masters {
		r.Selection = append(r.Selection, m.Host)
	}
	if len(r.Selection) > 1 && dice(t, 60, "from a master") {
		r.Origin, r.Selection = r.Selection[0], r.Selection[1:]
	}
	plans := rollout.NewMasterSync
	if dice(t, 30, "undo") {
		plans, r.Undoes = rollout.NewMasterUndo, "r0"
	}
	plan, err := plans(o.fleet, o.settings, r)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// all returns the hosts of a fleet that are no masters.
func all(f *inventory.Fleet) []string {
	var names []string
	for _, h := range f.Hosts {
		if !slices.ContainsFunc(f.Masters, func(m inventory.Master) bool { return m.Host == h.Name }) {
			names = append(names, h.Name)
		}
	}
	return names
}
