package rollout_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// books are the oracle: its own account of a run, kept from the steps that are started and the
// events that happen, and held against the promises. Of the State they see nothing but what it
// tells everybody at its end: Outcome and Report.
type books struct {
	t      *rapid.T
	plan   *rollout.Plan
	limits rollout.Limits
	hosts  map[string]*account
	order  []*account // as in the plan
	now    time.Time

	hooks   map[rollout.Moment]*hook
	hooked  []rollout.HookResult
	hooking int
	sour    bool // what comes after the run failed

	open     []int // per stage of the plan: its hosts that are not settled
	at       int   // in Plan.Stages: the first that changes hosts and is not complete
	depooled bool  // all proxies that are needed were out at the same time, since the beginning
	syncing  int   // and rolled back just now
	failed   int
	down     int
	named    []rollout.Named
	halt     string // why nothing may start any more; empty: it may
	abort    int
	abortBy  string
	begun    time.Time
	over     bool

	opened   time.Time // when the canaries were all synced
	verdict  rollout.Verdict
	rounds   map[rollout.StepID]*rounds
	flights  map[rollout.StepID]rollout.StepKind // decided, and not ended
	inFlight map[rollout.StepID]bool             // of which those whose beginning has happened
	out      map[string]bool                     // named in the outcome as not restored

	tally map[string]int
}

// hook is what is known of a moment of the run.
type hook struct {
	running, over bool
	starts        int
}

// rounds are what is known of one check.
type rounds struct {
	running  bool
	began    time.Time
	unknowns int
	passed   bool
}

// account is what is known of one host.
type account struct {
	rollout.Host
	stage int // its place in Plan.Stages; -1: the origin, or it is down

	tree      bool // has the run's tree, verified
	failed    bool // for good
	restored  bool // has the tree that it had before
	syncing   bool
	starts    int
	transient int             // failures that may pass
	tried     map[string]bool // sources that it failed so from
	last      string          // source
	notBefore time.Time
	waits     bool // before another attempt
	busySince time.Time
	err       string
	moved     bool // a sync of it ended well, once
	bytes     int64

	outKeys   map[string]bool   // its objects that are out because of this run
	afterward rollout.HookState // its post hooks, once they have ended

	after      after
	look       look
	undo       undo
	quarantine quarantine

	lost    bool // as a source: it no longer has the tree, or is no longer ours
	left    bool // for another, because of its failures
	silent  bool // since the run last began
	blamed  int  // times in succession
	serving int  // transfers in flight

	seen     []rollout.Object          // its pool objects as last observed
	receipts []rollout.Object          // the same as they were first found, before we took them out
	first    map[string]rollout.Object // by key
	observed bool                      // since the last failure: it may be taken out
	baseline map[string]uint64         // by key: the index up to which the last depool knew the object
	late     []rollout.Event           // edits that became known while a depool was in flight
	edits    int                       // by which users came back to it while it was out
	againAt  time.Time                 // not to be taken out again before
	held     bool                      // a depool was started, and no repool ended well since
	took     bool                      // the depool ended well
	back     bool                      // so did the repool
	given    bool                      // up: it stays out
	tookAt   time.Time
	failures int  // of observes and depools in succession
	refused  bool // its depool was given up

	repools     int // failures in succession
	repoolSince time.Time
	repoolLast  rollout.Event
}

// after is what is known of what is to be done on a host when it has the tree, or will not get it.
type after struct {
	post, lament   bool // is to be done
	running        bool // one of the two
	posts, laments int  // started
	fails          int
	due            time.Time
	tried          bool              // since the run was last opened
	lamented       bool              // done, or given up, in this life of the run
	failure        rollout.HookState // how that ended
}

// look is what is known of whether a master has been looked at since somebody pulled from it.
type look struct {
	pulled, running bool
	starts, fails   int // fails: in succession
	ended, due      time.Time
}

// undo is what is known of putting a host's tree back.
type undo struct {
	wanted    bool // of a canary, by the gate
	running   bool
	gaveUp    bool
	untouched bool // since it was put back, in an earlier life of this run
	starts    int
	fails     int
	busySince time.Time
	due       time.Time
}

// quarantine is what is known of taking out a host that has no good tree, and of putting it back once it has.
type quarantine struct {
	wanted, running, out, gaveUp bool // out: of its pools, wanted or not
	again                        bool // out, and to be seen to: somebody may have put it back
	unseen                       bool // to which it could not be seen: it is out or not
	later                        bool // once the proxies are back: its pools could not spare it
	starts, releases, fails      int
	due                          time.Time
	why, err                     string
}

func newBooks(t *rapid.T, plan *rollout.Plan) *books {
	b := &books{
		t: t, plan: plan, limits: plan.Limits, now: epoch, begun: epoch, hosts: map[string]*account{}, open: make([]int, len(plan.Stages)),
		rounds: map[rollout.StepID]*rounds{}, flights: map[rollout.StepID]rollout.StepKind{}, tally: map[string]int{},
		hooks: map[rollout.Moment]*hook{}, inFlight: map[rollout.StepID]bool{},
	}
	for _, m := range []rollout.Moment{rollout.MomentPre, rollout.MomentPost, rollout.MomentOnFailure} {
		b.hooks[m] = &hook{over: !slices.Contains(plan.Hooks, m)}
	}
	for _, h := range plan.Hosts {
		a := &account{Host: h, stage: -1, tried: map[string]bool{}, first: map[string]rollout.Object{}, tree: h.Name == plan.Origin}
		b.hosts[h.Name] = a
		b.order = append(b.order, a)
		if h.Down != "" {
			b.down++
			a.err = h.Down
			if plan.QuarantineAll && h.Role != rollout.RoleMaster && plan.Mode != inventory.ModeCanary && h.Quarantined == "" {
				a.quarantine.wanted, a.quarantine.why = true, h.Down
			}
		}
		if h.Quarantined != "" {
			a.quarantine.out, a.quarantine.why = !a.quarantine.wanted, "since run "+h.Quarantined
		}
	}
	for i, stage := range plan.Stages {
		if !changes(stage) {
			continue
		}
		for _, name := range stage.Hosts {
			b.hosts[name].stage = i
			b.open[i]++
		}
	}
	for _, name := range plan.Gate.Checks {
		b.rounds[checkID(name)] = &rounds{}
	}
	return b
}

// changes says whether a stage changes the trees of its hosts.
func changes(s rollout.Stage) bool {
	return s.Kind == rollout.StageSync || s.Kind == rollout.StageUndo
}

// undoing says whether this run is the rollback of another.
func (b *books) undoing() bool { return b.plan.Undoes != "" }

func checkID(name string) rollout.StepID {
	return rollout.StepID("check/" + map[string]string{"front page": "front-page"}[name] + map[bool]string{true: name}[name != "front page"])
}

func (b *books) stopped() bool { return b.halt != "" || b.abort > 0 }

// stage returns the stage that changes hosts which the run has come to: some of its hosts are not
// settled, or a master was pulled from and not looked at since.
func (b *books) stage() int { return b.at }

// advance moves on from stages that are complete.
func (b *books) advance() {
	for b.at < len(b.open) && b.open[b.at] == 0 {
		if b.plan.Stages[b.at].Kind == rollout.StageSync && b.unlooked() {
			return
		}
		b.at++
	}
}

func (b *books) unlooked() bool {
	return slices.ContainsFunc(b.order, func(a *account) bool { return a.look.pulled || a.look.running })
}

// pulled takes down that a transfer from a source is over, however it ended.
func (b *books) pulled(src *account) {
	if b.lookable(src) && !src.lost {
		src.look.pulled = true
	}
}

// lookable says whether a host is a source that nobody but its users can change: a master that may serve, or
// whatever else the tree is taken from.
func (b *books) lookable(a *account) bool {
	return b.plan.Tree != nil && a.Slots > 0 && (a.Role == rollout.RoleMaster || a.Name == b.plan.Origin)
}

// lose takes down that a source must never be used again.
func (b *books) lose(src *account) { src.lost, src.look.pulled = true, false }

// condemned says whether a canary is to be rolled back, now or later.
func (b *books) condemned(a *account) bool {
	return a.undo.wanted && !a.restored && !a.undo.gaveUp && b.abort < rollout.AbortNow
}

// banishable says whether a host is to be taken out of its pools for its tree, now or later.
func (b *books) banishable(a *account) bool {
	q := a.quarantine
	return q.wanted && (!q.out || q.again) && !q.gaveUp && b.abort < rollout.AbortNow && (a.Down == "" || b.passed())
}

// passed says whether the gate has let the fleet have the tree.
func (b *books) passed() bool {
	return b.verdict == rollout.Pass || b.verdict != "" && b.plan.Force != ""
}

// releasable says whether a host is to come back, now or later: it has the tree, and as a canary with the gate's consent.
func (b *books) releasable(a *account) bool {
	q := a.quarantine
	good := a.tree && len(b.plan.Paths) == 0 && (a.Role != rollout.RoleCanary || b.passed())
	return q.out && good && !q.gaveUp && b.abort < rollout.AbortNow
}

// othersOut says whether proxies other than this host are out of their pools to serve, and not given up.
func (b *books) othersOut(a *account) bool {
	return slices.ContainsFunc(b.order, func(o *account) bool { return o != a && o.held && !o.given && !b.banishable(o) })
}

// fleetOpen counts the hosts that the proxies are for and that are not settled.
func (b *books) fleetOpen() int {
	n := 0
	for i, stage := range b.plan.Stages {
		if stage.Kind == rollout.StageSync && !stage.Origin {
			n += b.open[i]
		}
	}
	return n
}

// serves says whether a host is a good source, drained or about to be.
func (b *books) serves(a *account) bool {
	if !a.tree || a.lost || a.left || a.silent || a.Slots == 0 {
		return false
	}
	switch a.Role {
	case rollout.RoleMaster:
		return true
	case rollout.RoleProxy:
		return !a.Pooled || a.took
	case rollout.RoleHost:
		return a.Name == b.plan.Origin // masters are rebuilt from it
	case rollout.RoleCanary:
		return false
	default:
		return false
	}
}

// sources returns those that a stage may use.
func (b *books) sources(stage int) []*account {
	if origin := b.hosts[b.plan.Origin]; b.plan.Stages[stage].Origin && b.serves(origin) {
		return []*account{origin}
	}
	var proxies, masters []*account
	for _, a := range b.order {
		if b.serves(a) {
			if a.Role == rollout.RoleProxy {
				proxies = append(proxies, a)
			} else {
				masters = append(masters, a)
			}
		}
	}
	if len(proxies) > 0 {
		return proxies
	}
	return masters
}

// sourceless says whether the stage that the run has come to has hosts left and nothing to take the
// tree from.
func (b *books) sourceless() bool {
	stage := b.stage()
	return stage < len(b.open) && b.open[stage] > 0 && b.plan.Stages[stage].Kind == rollout.StageSync &&
		b.reached(stage) && len(b.sources(stage)) == 0
}

// reached says whether what is between a stage and the last hosts before it is over: the gate, and
// the pools.
func (b *books) reached(stage int) bool {
	for _, s := range b.plan.Stages[:stage] {
		switch s.Kind {
		case rollout.StageCheck:
			if b.verdict == "" || b.verdict != rollout.Pass && b.plan.Force == "" {
				return false
			}
		case rollout.StageDepool:
			for _, name := range s.Hosts {
				if b.depooled || b.fleetOpen() == 0 {
					break // what is edited later is not waited for, nor what nobody needs
				}
				if a := b.hosts[name]; !a.took && !a.back && !a.refused && !a.lost && !a.left && !a.silent && !a.failed && !a.given &&
					!a.quarantine.out {
					return false
				}
			}
			b.depooled = true
		case rollout.StageHook:
			if !b.hooks[rollout.Moment(s.Name)].over {
				return false
			}
		case rollout.StageSync, rollout.StageUndo, rollout.StageRepool:
		}
	}
	return true
}

func (b *books) quiet(a *account) bool {
	return !a.Pooled || a.Role != rollout.RoleProxy || !b.now.Before(a.tookAt.Add(time.Duration(b.limits.Drain)))
}

// ---- what happens ----

func (b *books) happened(e rollout.Event) {
	b.now = e.At
	switch e.Kind {
	case rollout.RunStarted:
		b.begun = e.At
	case rollout.RunResumed:
		b.resumed()
		if e.Error != "" {
			b.stop("source")
			b.tally["resumed from a source that changed"]++
		}
	case rollout.StepStarted:
		b.inFlight[e.Step] = true
	case rollout.StepDone, rollout.StepFailed:
		b.ended(e)
	case rollout.PoolChanged:
		b.edited(b.hosts[e.Host], e)
	case rollout.SourceChanged:
		b.lose(b.hosts[e.Host])
	case rollout.SourceSilent:
		if src := b.hosts[e.Host]; b.serves(src) && slices.ContainsFunc(b.order, func(o *account) bool { return o != src && b.serves(o) }) {
			src.silent = true
			b.tally["silent source"]++
		} else {
			b.tally["silent, and not left"]++
		}
	case rollout.LockLost:
		b.stop("lock")
		b.abort = 2
	case rollout.AbortAsked:
		b.abort = max(b.abort, e.Level)
		b.abortBy = e.Detail
		b.lamentAll()
	case rollout.RunFinished:
		b.over = true
	}
	b.advance()
	if e.Kind == rollout.RunResumed && b.stopped() {
		b.lamentAll()
	}
	if b.opened.IsZero() && b.canariesSettled() && b.hooks[rollout.MomentPre].over {
		b.opened = b.now
	}
	if !b.stopped() && b.sourceless() {
		b.stop("source")
		if b.hosts[b.plan.Stages[b.stage()].Hosts[0]].Role == rollout.RoleCanary {
			b.decide(rollout.Fail)
			b.tally["canaries without a source"]++
		}
	}
}

func (b *books) stop(why string) {
	if b.halt == "" {
		b.halt = why
	}
	b.lamentAll()
}

// lament takes down that a host was tried and will not get the tree.
func (b *books) lament(a *account) {
	if a.OnFailure && a.after.tried && !a.after.lament && !a.after.lamented {
		a.after.lament, a.after.fails, a.after.due = true, 0, time.Time{}
	}
}

// lamentAll does so for all that are neither synced nor being synced, when the run stops.
func (b *books) lamentAll() {
	for _, a := range b.order {
		if !a.tree && !a.syncing && !a.failed && !a.restored && !a.after.post && !a.undo.running {
			b.lament(a)
		}
	}
}

// canariesSettled says whether the run has come to the gate: the masters were looked at, too.
func (b *books) canariesSettled() bool {
	return b.at > slices.IndexFunc(b.plan.Stages, func(s rollout.Stage) bool { return changes(s) })
}

func (b *books) ended(e rollout.Event) {
	kind := b.flights[e.Step]
	if kind == "" {
		b.t.Fatalf("P9: %s ended without having been started", e.Step)
	}
	delete(b.flights, e.Step)
	delete(b.inFlight, e.Step)
	a := b.hosts[e.Host]
	done := e.Kind == rollout.StepDone
	if stopped := b.stopped(); !done {
		defer func() { b.fated(kind, a, e, stopped) }()
	}
	switch kind {
	case rollout.StepSync:
		b.syncEnded(a, e, done)
	case rollout.StepCheck:
		b.judged(b.rounds[e.Step], e, done)
	case rollout.StepRecheck:
		b.lookEnded(a, e, done)
	case rollout.StepRollback:
		b.undoEnded(a, e, done)
	case rollout.StepQuarantine, rollout.StepRelease:
		b.castEnded(a, e, done)
	case rollout.StepHook:
		b.hookEnded(e, done)
	case rollout.StepPost, rollout.StepOnFailure:
		b.afterEnded(a, kind, e, done)
	case rollout.StepObserve:
		a.observed = done
		if !done {
			b.poolFailed(a, e)
			return
		}
		a.seen, a.receipts, a.outKeys = e.Objects, nil, map[string]bool{}
		for _, o := range e.Objects {
			if o.Held {
				a.outKeys[o.Key] = true
			}
			if !o.Held {
				a.first[o.Key] = o
			}
			a.receipts = append(a.receipts, a.first[o.Key])
		}
	case rollout.StepDepool:
		a.observed = false
		if done {
			a.took, a.tookAt, a.failures = true, e.At, 0
		} else {
			b.poolFailed(a, e)
		}
		a.baseline = map[string]uint64{}
		for _, o := range append(slices.Clone(a.seen), e.Objects...) {
			a.baseline[o.Key] = o.Index
		}
		for _, o := range e.Objects {
			a.outKeys[o.Key] = true
		}
		late := a.late
		a.late = nil
		for _, edit := range late {
			edit.At = e.At
			b.edited(a, edit)
		}
	case rollout.StepRepool:
		if done {
			if e.Detail != "" {
				b.named = append(b.named, rollout.Named{Host: a.Name, Detail: e.Detail})
			}
			a.held, a.back, a.repools, a.outKeys = false, true, 0, nil
			b.tally["repooled"]++
			return
		}
		for _, o := range e.Objects {
			delete(a.outKeys, o.Key)
		}
		if a.repools == 0 {
			a.repoolSince = e.At
		}
		a.repools++
		a.repoolLast = e
		a.given = b.givenUp(a)
	}
}

// edited takes down what somebody else did to an object of a proxy. It matters while we hold the proxy
// and do not put it back already, unless it was over when we took it out. If users are on the proxy, it
// must not serve: by the plan's policy never again, or not before it was taken out once more.
func (b *books) edited(a *account, e rollout.Event) {
	if !a.held || b.flights[rollout.StepID("repool/"+a.Name)] != "" {
		b.tally["edit of what is not held"]++
		return
	}
	if b.flights[rollout.StepID("depool/"+a.Name)] != "" {
		a.late = append(a.late, e)
		b.tally["edit during a depool"]++
		return
	}
	if e.Objects[0].Index <= a.baseline[e.Objects[0].Key] {
		b.tally["edit that is over"]++
		return
	}
	b.named = append(b.named, rollout.Named{Host: a.Name, Detail: e.Detail})
	delete(a.outKeys, e.Objects[0].Key)
	b.tally["edit "+string(e.Edit)]++
	if e.Edit != rollout.EditIn || !a.took {
		return
	}
	if a.edits++; b.plan.OnForeignEdit != inventory.ForeignEditDepoolAgain || a.edits > b.limits.Attempts {
		a.lost = true
		b.tally["edited in: stopped"]++
		return
	}
	a.took, a.observed, a.againAt = false, false, e.At.Add(b.backoff(a.edits))
	b.tally["edited in: to be taken out again"]++
}

func (b *books) poolFailed(a *account, e rollout.Event) {
	a.failures++
	if e.Class == rollout.Capacity || e.Class == rollout.Permanent || a.failures >= b.limits.Attempts {
		a.refused = true
		b.tally["refused"]++
	}
}

func (b *books) lookEnded(a *account, e rollout.Event, done bool) {
	l := &a.look
	l.running, l.ended, l.due = false, e.At, time.Time{}
	switch {
	case done:
		l.fails = 0
	case e.Class == rollout.Changed:
		b.lose(a)
		b.tally["looked at: changed"]++
	case e.Class == rollout.Stopped:
		b.pulled(a)
		b.tally["look stopped"]++
	default:
		b.pulled(a)
		l.fails++
		l.due = e.At.Add(b.backoff(l.fails))
		if l.fails >= b.limits.Attempts {
			b.lose(a)
			b.tally["cannot be looked at"]++
		}
	}
}

func (b *books) undoEnded(a *account, e rollout.Event, done bool) {
	u := &a.undo
	u.running = false
	b.syncing--
	if done {
		a.restored, a.err = true, ""
		if b.undoing() {
			b.open[a.stage]--
		}
		b.tally["rolled back"]++
		return
	}
	a.err = e.Error
	switch e.Class {
	case rollout.Stopped:
		u.due = time.Time{}
		b.tally["rollback stopped"]++
		return
	case rollout.Busy:
		if u.busySince.IsZero() {
			u.busySince = e.At
		}
		if e.At.Sub(u.busySince) < time.Duration(b.limits.Timeout) {
			u.due = e.At.Add(b.backoff(1))
			return
		}
	case rollout.Transient:
		u.busySince = time.Time{}
		if u.fails++; u.fails < b.limits.Attempts {
			u.due = e.At.Add(b.backoff(u.fails))
			return
		}
	case rollout.Permanent, rollout.Conflict, rollout.Capacity, rollout.Unhealthy, rollout.Changed:
	}
	a.failed, u.gaveUp = true, true
	b.tally["cannot be rolled back"]++
	if b.undoing() {
		b.gaveUp(a)
		return
	}
	b.lament(a)
	if b.plan.Quarantine {
		b.outcast(a, e.Error)
	}
}

func (b *books) hookEnded(e rollout.Event, done bool) {
	m := rollout.Moment(strings.TrimPrefix(string(e.Step), "hook/"))
	h := b.hooks[m]
	h.running, h.over = false, e.Class != rollout.Stopped
	if said := e.Error + e.Detail; said != "" && h.over {
		b.hooked = append(b.hooked, rollout.HookResult{Moment: m, Failed: !done, Detail: said})
	}
	if done || !h.over {
		return
	}
	b.tally["hook failed: "+string(m)]++
	switch m {
	case rollout.MomentPre:
		b.stop("hook")
	case rollout.MomentPost:
		b.sour = true
	case rollout.MomentOnFailure:
	}
}

func (b *books) afterEnded(a *account, kind rollout.StepKind, e rollout.Event, done bool) {
	f := &a.after
	f.running = false
	b.hooking--
	if !done {
		switch e.Class {
		case rollout.Stopped:
			f.due = time.Time{}
			return
		case rollout.Transient:
			if f.fails++; f.fails < b.limits.Attempts {
				f.due = e.At.Add(b.backoff(f.fails))
				return
			}
		case rollout.Busy, rollout.Permanent, rollout.Conflict, rollout.Capacity, rollout.Unhealthy, rollout.Changed:
		}
	}
	if said := e.Error + e.Detail; said != "" {
		m := rollout.MomentPost
		if kind == rollout.StepOnFailure {
			m = rollout.MomentOnFailure
		}
		b.hooked = append(b.hooked, rollout.HookResult{Host: a.Name, Moment: m, Failed: !done, Detail: said})
	}
	b.tally[fmt.Sprintf("%s done %v", kind, done)]++
	if kind == rollout.StepOnFailure {
		if f.lament, f.lamented, f.failure = false, true, rollout.HooksFailed; done {
			f.failure = rollout.HooksDone
		}
		return
	}
	f.post = false
	if done {
		a.tree, a.err, a.afterward = true, "", rollout.HooksDone
		b.open[a.stage]--
		return
	}
	a.err, a.failed, a.afterward = e.Error, true, rollout.HooksFailed
	b.gaveUp(a)
}

func (b *books) castEnded(a *account, e rollout.Event, done bool) {
	q := &a.quarantine
	q.running, q.later = false, false
	took := e.Step == rollout.StepID("quarantine/"+a.Name)
	if took && !done {
		q.unseen = q.unseen || q.out
		q.out, q.again = false, false
	}
	switch {
	case done && took && len(e.Objects) == 0:
		*q = quarantine{starts: q.starts, releases: q.releases}
		b.tally["in no pool"]++
	case done && took:
		if a.held {
			b.tally["quarantined from serving"]++
		}
		q.out, q.again, q.unseen, q.err, q.fails = true, false, false, "", 0
		a.held, a.took, a.back, a.outKeys = false, false, true, nil
		b.tally["quarantined"]++
	case done:
		*q = quarantine{starts: q.starts, releases: q.releases, due: q.due}
		b.tally["released"]++
	case e.Class == rollout.Capacity && b.othersOut(a):
		q.later = true
		b.tally["quarantined later"]++
	default:
		q.err = e.Error
		q.fails++
		q.due = e.At.Add(b.backoff(q.fails))
		q.gaveUp = e.Class == rollout.Capacity || e.Class == rollout.Permanent || q.fails >= b.limits.Attempts
		if q.gaveUp {
			b.tally[fmt.Sprintf("given up: taken out %v", took)]++
		}
	}
}

func (b *books) syncEnded(a *account, e rollout.Event, done bool) {
	src := b.hosts[e.Source]
	b.pulled(src)
	src.serving--
	b.syncing--
	a.syncing = false
	if done {
		a.moved, a.err, a.bytes, src.blamed = true, "", e.Stats.Bytes, 0
		if a.Post {
			a.after.post, a.after.fails, a.after.due = true, 0, time.Time{}
			return
		}
		a.tree = true
		b.open[a.stage]--
		return
	}
	if b.stopped() {
		defer b.lament(a)
	}
	a.err = e.Error
	if e.Blame {
		b.blame(src, e.Class)
		src.look.ended = time.Time{} // no pause before the next look
	}
	switch e.Class {
	case rollout.Stopped:
		a.waits, a.notBefore = len(a.tried) > 0, time.Time{}
		b.tally["stopped"]++
		return
	case rollout.Busy:
		a.waits = true
		if a.busySince.IsZero() {
			a.busySince = e.At
		}
		if e.At.Sub(a.busySince) < time.Duration(b.limits.Timeout) {
			a.notBefore = e.At.Add(b.backoff(1))
			return
		}
	case rollout.Transient:
		a.waits = true
		a.busySince = time.Time{}
		a.transient++
		a.tried[e.Source] = true
		if a.transient < b.limits.Attempts {
			a.notBefore = e.At.Add(b.backoff(a.transient))
			return
		}
	case rollout.Permanent, rollout.Conflict, rollout.Capacity, rollout.Unhealthy, rollout.Changed:
		if !e.Blame {
			break
		}
		a.transient++
		a.tried[e.Source] = true
		other := slices.ContainsFunc(b.sources(a.stage), func(src *account) bool { return !a.tried[src.Name] })
		if other && a.transient < b.limits.Attempts {
			a.waits, a.notBefore = true, e.At
			b.tally["refused by a source"]++
			return
		}
	}
	a.failed = true
	b.gaveUp(a)
}

// gaveUp takes down that a host of a stage has failed for good.
func (b *books) gaveUp(a *account) {
	b.open[a.stage]--
	b.failed++
	if b.failed+b.down > b.limits.MaxFailures {
		b.stop("budget")
	}
	if a.Role == rollout.RoleCanary {
		b.decide(rollout.Fail)
	}
	if b.plan.QuarantineAll && a.Role != rollout.RoleMaster && !a.undo.wanted {
		b.outcast(a, a.err)
	}
	b.lament(a)
}

// outcast takes down that a host has no good tree. Whether it is out of its pools already is to be seen, whatever is known of it.
func (b *books) outcast(a *account, why string) {
	q := &a.quarantine
	if !q.out && !q.wanted {
		q.why = why
	}
	q.wanted, q.again, q.gaveUp, q.fails = true, q.out, false, 0
}

// blame leaves a source after three failures in succession that it may be the reason for, or one that
// is for good; never the origin, and never the last one.
func (b *books) blame(src *account, class rollout.Class) {
	src.blamed++
	if class == rollout.Permanent {
		src.blamed = 3
	}
	if src.blamed < 3 || !b.serves(src) || src.Name == b.plan.Origin {
		return
	}
	for _, other := range b.order {
		if other != src && b.serves(other) {
			src.left = true
			b.tally["source left"]++
			return
		}
	}
}

func (b *books) backoff(n int) time.Duration {
	return min(time.Duration(b.limits.RetryDelay)<<(n-1), time.Minute)
}

func (b *books) judged(r *rounds, e rollout.Event, done bool) {
	r.running = false
	switch {
	case !done && e.Class == rollout.Stopped:
		return
	case done && e.Verdict == rollout.Fail:
		b.decide(rollout.Fail)
	case done && e.Verdict == rollout.Pass:
		r.unknowns = 0
		r.passed = r.began.Sub(b.opened) >= time.Duration(b.plan.Gate.Soak)
	default:
		r.unknowns++
		r.passed = false
		if r.unknowns > b.plan.Gate.Unknowns {
			b.decide(rollout.Unknown)
		}
	}
	for _, r := range b.rounds {
		if !r.passed {
			return
		}
	}
	b.decide(rollout.Pass)
}

func (b *books) decide(v rollout.Verdict) {
	if b.verdict != "" {
		return
	}
	b.verdict = v
	b.tally["gate "+string(v)]++
	if v != rollout.Pass {
		if b.plan.Force == "" {
			b.stop("gate")
			for _, a := range b.order {
				a.undo.wanted = a.Role == rollout.RoleCanary && a.Keep && a.starts > 0 && !a.undo.untouched
			}
		} else {
			b.tally["forced"]++
		}
	}
}

// resumed is a new beginning. What was in flight may be started again, and no proxy counts as out
// of its pools before it has been seen and taken out again.
func (b *books) resumed() {
	over := b.over // what failed is tried again
	b.over = false
	b.flights, b.syncing, b.depooled, b.hooking = map[rollout.StepID]rollout.StepKind{}, 0, false, 0
	clear(b.inFlight)
	for _, h := range b.hooks {
		h.running = false
	}
	b.abort, b.abortBy = 0, ""
	for _, r := range b.rounds {
		r.running = false
	}
	for _, a := range b.order {
		if a.syncing {
			b.pulled(b.hosts[a.last])
		}
		if a.look.running {
			b.pulled(a)
		}
	}
	for _, a := range b.order {
		a.syncing, a.serving = false, 0
		a.after.running, a.after.due = false, time.Time{}
		a.look.running, a.undo.running, a.quarantine.running = false, false, false
		a.waits, a.notBefore = len(a.tried) > 0, time.Time{}
		if b.undoing() {
			a.undo.due = time.Time{}
		}
		a.took, a.observed, a.failures, a.repools, a.given = false, false, 0, 0, false
		a.back, a.againAt, a.silent = false, time.Time{}, false
		if over {
			b.reopened(a)
		}
		if !a.failed {
			a.after.lament, a.after.lamented, a.after.failure = false, false, "" // it is tried again, or has a good tree
		}
	}
	b.at = 0
	if !over {
		b.tally["crashed"]++
		return
	}
	b.tally["resumed after its end"]++
	b.out, b.halt, b.failed, b.hooked, b.sour = nil, "", 0, nil, false
	for m, h := range b.hooks {
		h.over = !slices.Contains(b.plan.Hooks, m)
	}
	clear(b.open)
	for _, a := range b.order {
		if a.stage >= 0 && !a.tree && !a.failed && !a.restored {
			b.open[a.stage]++
		}
	}
	if b.verdict != rollout.Pass {
		b.verdict, b.opened = "", time.Time{}
		for _, r := range b.rounds {
			*r = rounds{}
		}
	}
}

// reopened takes down what a host stands for in a run that goes on after its end: what failed is tried
// again, and a canary that the gate condemned begins again; numbers of attempts go on.
func (b *books) reopened(a *account) {
	a.left, a.blamed, a.refused, a.after.tried = false, 0, false, false
	if q := &a.quarantine; q.out || q.unseen || a.Down != "" {
		if q.unseen {
			b.tally["quarantine that was not seen to, and begins again"]++
		}
		q.out = q.out || q.unseen
		q.fails, q.due, q.gaveUp, q.later, q.again, q.unseen = 0, time.Time{}, false, false, false, false
	} else {
		*q = quarantine{starts: q.starts, releases: q.releases}
	}
	back := a.restored && !b.undoing()
	if back {
		b.tally["rolled back, and begins again"]++
	}
	if a.failed || back || a.undo.wanted && !a.tree {
		a.afterward = ""
		a.failed, a.transient, a.tried, a.waits, a.busySince = false, 0, map[string]bool{}, false, time.Time{}
		a.undo = undo{starts: a.undo.starts, untouched: back}
	}
	if back {
		a.restored = false
	}
	a.undo.wanted = false
}

// ---- what is decided ----

// decided holds one decision against the promises.
func (b *books) decided(d rollout.Decision, now time.Time) {
	b.now = now
	b.stops(d)
	for _, step := range d.Start {
		if b.flights[step.ID] != "" {
			b.t.Fatalf("P9: %s is started while it is in flight", step.ID)
		}
		mends := false
		switch step.Kind {
		case rollout.StepRollback, rollout.StepQuarantine, rollout.StepRelease:
			mends = b.abort < rollout.AbortNow && !b.undoing()
		case rollout.StepPost, rollout.StepOnFailure:
			mends = b.abort < rollout.AbortNow
		case rollout.StepHook:
			mends = b.abort < rollout.AbortNow && step.Moment == rollout.MomentOnFailure
		case rollout.StepSync, rollout.StepCheck, rollout.StepObserve, rollout.StepDepool, rollout.StepRepool, rollout.StepRecheck:
		}
		if b.stopped() && step.Kind != rollout.StepRepool && !mends {
			b.t.Fatalf("P4 bounds hold: %s starts after the run was stopped (%s, abort %d)", step.ID, b.halt, b.abort)
		}
		b.flights[step.ID] = step.Kind
		a := b.hosts[step.Host]
		switch step.Kind {
		case rollout.StepSync:
			a.afterward = ""
			b.syncStarts(step, a)
		case rollout.StepCheck:
			b.checkStarts(step)
		case rollout.StepObserve:
			b.observeStarts(step, a)
		case rollout.StepDepool:
			b.depoolStarts(step, a)
		case rollout.StepRepool:
			b.repoolStarts(step, a)
		case rollout.StepRecheck:
			b.lookStarts(step, a)
		case rollout.StepRollback:
			a.afterward = ""
			b.undoStarts(step, a)
		case rollout.StepQuarantine, rollout.StepRelease:
			b.castStarts(step, a)
		case rollout.StepHook:
			b.hookStarts(step)
		case rollout.StepPost, rollout.StepOnFailure:
			b.afterStarts(step, a)
		}
	}
	b.again()
	b.looked()
	b.mended()
	b.tended()
	b.placed(d)
}

func (b *books) hookStarts(step rollout.Step) {
	h := b.hooks[step.Moment]
	switch {
	case h == nil || h.over || h.running:
		b.t.Fatalf("P9: %s is started, or again", step.ID)
	case step.Attempt != h.starts+1:
		b.t.Fatalf("P8 truth: attempt %d of %s follows %d", step.Attempt, step.ID, h.starts)
	case step.Moment == rollout.MomentPost && (b.at < len(b.open) || !b.hooks[rollout.MomentPre].over):
		b.t.Fatalf("P9: %s before the end", step.ID)
	case step.Moment == rollout.MomentOnFailure && !b.stopped() && b.failed+b.down == 0 && !b.sour:
		b.t.Fatalf("P9: %s, and nothing has failed", step.ID)
	case step.Moment == rollout.MomentOnFailure && len(b.flights) > 1:
		b.t.Fatalf("P9: %s before everything else is done", step.ID)
	}
	if step.Moment != rollout.MomentPre {
		for _, a := range b.order {
			if a.held && !a.given {
				b.t.Fatalf("P1 pools come back: %s while %s is out", step.ID, a.Name)
			}
		}
	}
	h.running, h.starts = true, step.Attempt
	b.tally["hook "+string(step.Moment)]++
}

func (b *books) afterStarts(step rollout.Step, a *account) {
	f := &a.after
	wanted, starts := f.post, &f.posts
	if step.Kind == rollout.StepOnFailure {
		wanted, starts = f.lament, &f.laments
	}
	switch {
	case !wanted || f.running:
		b.t.Fatalf("P9: %s is started, or again: %+v", step.ID, *f)
	case a.syncing || a.undo.running || b.condemned(a) || a.tree || a.restored:
		b.t.Fatalf("P9: %s: synced just now %v, rolled back just now %v, or to be %v, has a good tree %v or %v", step.ID, a.syncing,
			a.undo.running, b.condemned(a), a.tree, a.restored)
	case step.Attempt != *starts+1:
		b.t.Fatalf("P8 truth: attempt %d of %s follows %d", step.Attempt, step.ID, *starts)
	case f.fails >= b.limits.Attempts:
		b.t.Fatalf("P4 bounds hold: %s is tried again after %d failures", step.ID, f.fails)
	case b.now.Before(f.due):
		b.t.Fatalf("P4 bounds hold: %s before %v", step.ID, f.due)
	}
	if b.hooking++; b.hooking > b.limits.Parallel {
		b.t.Fatalf("P4 bounds hold: %d at once with %s", b.hooking, step.ID)
	}
	f.running, *starts = true, step.Attempt
	b.tally[string(step.Kind)+" starts"]++
}

// tended sees that what is to be done on hosts is, as soon as it may be.
func (b *books) tended() {
	if b.abort >= rollout.AbortNow {
		return
	}
	for _, a := range b.order {
		f := a.after
		if (f.post || f.lament) && !f.running && !a.syncing && !a.undo.running && !b.condemned(a) && !b.now.Before(f.due) &&
			b.hooking < b.limits.Parallel {
			b.t.Fatalf("P9: something is to be done on %s (%+v), and is not", a.Name, f)
		}
	}
}

// again sees that a proxy that somebody put back is looked at again as soon as it may be taken out once
// more, whatever stage the run has come to.
func (b *books) again() {
	if b.stopped() || b.fleetOpen() == 0 {
		return
	}
	for _, a := range b.order {
		waits := a.held && a.edits > 0 && !a.took && !a.observed && !b.now.Before(a.againAt) && b.depooled
		gone := a.lost || a.left || a.silent || a.refused || a.failed || a.given || a.failures > 0 || a.quarantine.out
		if waits && !gone && b.flights[rollout.StepID("observe/"+a.Name)] == "" {
			b.t.Fatalf("P9: %s was put back by somebody, and is not looked at again", a.Name)
		}
	}
}

func (b *books) lookStarts(step rollout.Step, a *account) {
	l := &a.look
	switch {
	case !b.lookable(a):
		b.t.Fatalf("P5: %s of what is never looked at", step.ID)
	case a.lost:
		b.t.Fatalf("P5: %s, which is lost", step.ID)
	case l.running:
		b.t.Fatalf("P5: two of %s at once", step.ID)
	case !l.pulled:
		b.t.Fatalf("P5: %s for nothing: nobody has pulled from it since", step.ID)
	case step.Attempt != l.starts+1:
		b.t.Fatalf("P8 truth: attempt %d of %s follows %d", step.Attempt, step.ID, l.starts)
	case b.now.Before(b.lookDue(a)):
		b.t.Fatalf("P4 bounds hold: %s before %v", step.ID, b.lookDue(a))
	}
	l.pulled, l.running, l.starts = false, true, step.Attempt
	b.tally["looks"]++
}

// lookDue is when a master may be looked at: after a pause, while hosts wait and others pull from it.
func (b *books) lookDue(a *account) time.Time {
	due := a.look.due
	if b.at < len(b.open) && b.open[b.at] > 0 && !a.look.ended.IsZero() {
		if next := a.look.ended.Add(5 * time.Second); next.After(due) {
			due = next
		}
	}
	return due
}

// looked sees that a master from which somebody pulled is looked at as soon as it may be.
func (b *books) looked() {
	for _, a := range b.order {
		if a.look.pulled && !a.look.running && !b.stopped() && b.hooks[rollout.MomentPre].over && !b.now.Before(b.lookDue(a)) {
			b.t.Fatalf("P5 only a good source serves: somebody has pulled from %s, and it is not looked at", a.Name)
		}
	}
}

func (b *books) undoStarts(step rollout.Step, a *account) {
	u := &a.undo
	switch {
	case a.Down != "":
		b.t.Fatalf("P4 bounds hold: %s starts, and the host is down", step.ID)
	case u.running || a.syncing || a.after.running:
		b.t.Fatalf("P9: %s while the host is being changed", step.ID)
	case a.restored || u.gaveUp:
		b.t.Fatalf("P9: %s is started again, rolled back %v, given up %v", step.ID, a.restored, u.gaveUp)
	case u.fails >= b.limits.Attempts:
		b.t.Fatalf("P4 bounds hold: %s is tried again after %d failures", step.ID, u.fails)
	case step.Attempt != u.starts+1:
		b.t.Fatalf("P8 truth: attempt %d of %s follows %d", step.Attempt, step.ID, u.starts)
	case b.now.Before(u.due):
		b.t.Fatalf("P4 bounds hold: %s is tried again before %v", step.ID, u.due)
	case step.Source != "":
		b.t.Fatalf("P5: %s is taken from %s", step.ID, step.Source)
	case b.undoing():
		if a.stage != b.stage() {
			b.t.Fatalf("P4 bounds hold: %s of stage %d starts, and the run has come to %d", step.ID, a.stage, b.stage())
		}
		if a.Role != rollout.RoleCanary {
			b.pastGate(string(step.ID))
		}
	case !u.wanted || !a.Keep || a.starts == 0:
		b.t.Fatalf("P3: %s of a host that is not to be rolled back: the gate says %q, it keeps %v, was started %d times", step.ID, b.verdict,
			a.Keep, a.starts)
	}
	if b.syncing++; b.syncing > b.limits.Parallel {
		b.t.Fatalf("P4 bounds hold: %d in flight with %s, parallel is %d", b.syncing, step.ID, b.limits.Parallel)
	}
	if step.Attempt > 1 {
		b.tally["rollback retries"]++
	}
	a.tree, a.failed = false, false
	a.after.post, a.after.lament, a.err = false, false, ""
	u.running, u.starts = true, step.Attempt
}

func (b *books) castStarts(step rollout.Step, a *account) {
	q := &a.quarantine
	taken := step.Kind == rollout.StepQuarantine
	starts := &q.releases
	if taken {
		starts = &q.starts
	}
	var objects []rollout.Object
	if a.held {
		objects = a.receipts
	}
	switch {
	case taken && !b.plan.QuarantineAll && (!b.plan.Quarantine || a.Role != rollout.RoleCanary || !a.undo.gaveUp):
		b.t.Fatalf("P2: %s of what is never taken out so", step.ID)
	case taken && (a.restored || a.tree || a.Down == "" && (a.starts == 0 || !a.failed)):
		b.t.Fatalf("P1: %s of a host that has a good tree, or may yet get one", step.ID)
	case taken && !b.banishable(a) || !taken && !b.releasable(a) || q.running:
		b.t.Fatalf("P1: %s is started: %+v", step.ID, *q)
	case q.fails >= b.limits.Attempts:
		b.t.Fatalf("P4 bounds hold: %s is tried again after %d failures", step.ID, q.fails)
	case step.Attempt != *starts+1:
		b.t.Fatalf("P8 truth: attempt %d of %s follows %d", step.Attempt, step.ID, *starts)
	case b.now.Before(q.due):
		b.t.Fatalf("P4 bounds hold: %s is tried again before %v", step.ID, q.due)
	case !reflect.DeepEqual(step.Objects, objects):
		b.t.Fatalf("P1 pools come back: %s with %+v, what was first found is %+v", step.ID, step.Objects, objects)
	case b.poolBusy(a):
		b.t.Fatalf("P1 pools come back: %s while the host is taken out or put back to serve", step.ID)
	case taken && q.later && b.othersOut(a):
		b.t.Fatalf("P2 capacity holds: %s, whose pools cannot spare it before proxies are back", step.ID)
	}
	if n := b.takenOut(); taken && n > 1 {
		b.t.Fatalf("P2 capacity holds: %s while another host is being taken out", step.ID)
	}
	q.running, *starts = true, step.Attempt
	b.tally[string(step.Kind)+" starts"]++
}

func (b *books) poolBusy(a *account) bool {
	return b.flights[rollout.StepID("observe/"+a.Name)] != "" || b.flights[rollout.StepID("depool/"+a.Name)] != "" ||
		b.flights[rollout.StepID("repool/"+a.Name)] != ""
}

// takenOut is how many hosts are being taken out of their pools just now.
func (b *books) takenOut() int {
	n := 0
	for _, kind := range b.flights {
		if kind == rollout.StepDepool || kind == rollout.StepQuarantine {
			n++
		}
	}
	return n
}

// mended sees that what the gate condemned is rolled back, or else taken out, as soon as it may be. So are the
// hosts of a run that rolls back another.
func (b *books) mended() {
	for _, a := range b.order {
		wanted := b.condemned(a)
		if b.undoing() {
			wanted = !b.stopped() && a.stage == b.stage() && b.reached(a.stage) && !a.restored && !a.failed
		}
		if wanted && !a.syncing && !a.undo.running && !a.after.running && !b.now.Before(a.undo.due) && b.syncing < b.limits.Parallel {
			b.t.Fatalf("P9: %s is to be rolled back, and is not", a.Name)
		}
		q := a.quarantine
		ready := !q.running && !b.now.Before(q.due)
		if b.banishable(a) && ready && b.takenOut() == 0 && !b.poolBusy(a) && (!q.later || !b.othersOut(a)) {
			b.t.Fatalf("P9: %s is to be taken out of its pools, and is not", a.Name)
		}
		if b.releasable(a) && ready {
			b.t.Fatalf("P9: %s has a good tree again, and is not put back", a.Name)
		}
	}
}

func (b *books) syncStarts(step rollout.Step, a *account) {
	src, stage := b.hosts[step.Source], b.plan.Stages[a.stage]
	if b.undoing() {
		b.t.Fatalf("P3: %s in a run that rolls back another", step.ID)
	}
	switch {
	case a.Down != "":
		b.t.Fatalf("P4 bounds hold: %s starts, and the host is down", step.ID)
	case a.undo.running || a.restored:
		b.t.Fatalf("P9: %s starts, rolled back %v, just now %v", step.ID, a.restored, a.undo.running)
	case a.after.post || a.after.lament || a.after.running:
		b.t.Fatalf("P9: %s starts, and something else is to be done on the host: %+v", step.ID, a.after)
	case a.syncing || a.tree || a.failed:
		b.t.Fatalf("P9: %s is started again, in flight %v, synced %v, failed %v", step.ID, a.syncing, a.tree, a.failed)
	case a.transient >= b.limits.Attempts:
		b.t.Fatalf("P4 bounds hold: %s is tried again after %d failures", step.ID, a.transient)
	case a.starts+1 != step.Attempt:
		b.t.Fatalf("P8 truth: attempt %d of %s follows %d", step.Attempt, step.ID, a.starts)
	case b.now.Before(a.notBefore):
		b.t.Fatalf("P4 bounds hold: %s is tried again before %v", step.ID, a.notBefore)
	}
	if !b.hooks[rollout.MomentPre].over {
		b.t.Fatalf("P3: %s before what comes before the run", step.ID)
	}
	// P3
	if a.Role != rollout.RoleCanary {
		b.pastGate(string(step.ID))
	}
	if a.Role == rollout.RoleCanary && step.Source != b.plan.Origin && b.serves(b.hosts[b.plan.Origin]) {
		b.t.Fatalf("P3 the gate holds: canary %s is synced from %s, not the origin", a.Name, step.Source)
	}
	// P4
	for i, n := range b.open[:a.stage] {
		if n > 0 {
			b.t.Fatalf("P4 bounds hold: %s of stage %q starts while %d hosts of %q are not settled", step.ID, stage.Name, n, b.plan.Stages[i].Name)
		}
	}
	if a.stage != b.at {
		b.t.Fatalf("P5 only a good source serves: %s of stage %q starts, and the masters of %q were not looked at", step.ID, stage.Name,
			b.plan.Stages[b.at].Name)
	}
	if b.syncing++; b.syncing > b.limits.Parallel {
		b.t.Fatalf("P4 bounds hold: %d in flight with %s, parallel is %d", b.syncing, step.ID, b.limits.Parallel)
	}
	if src.serving++; src.serving > src.Slots {
		b.t.Fatalf("P4 bounds hold: %d from %s with %s, it has %d slots", src.serving, src.Name, step.ID, src.Slots)
	}
	// P5
	possible := b.sources(a.stage)
	switch {
	case !b.serves(src):
		b.t.Fatalf("P5 only a good source serves: %s from %s: tree %v, lost %v, left %v, slots %d, pooled %v, taken out %v",
			step.ID, src.Name, src.tree, src.lost, src.left, src.Slots, src.Pooled, src.took)
	case !b.quiet(src):
		b.t.Fatalf("P5 only a good source serves: %s from %s, which drains until %v", step.ID, src.Name,
			src.tookAt.Add(time.Duration(b.limits.Drain)))
	case !slices.Contains(possible, src):
		b.t.Fatalf("P5 only a good source serves: %s from %s (%s), not from one of %s", step.ID, src.Name, src.Role, names(possible))
	case a.Role == rollout.RoleProxy && a.took && a.edits == 0 && !b.quiet(a):
		b.t.Fatalf("P5: %s starts while the proxy still drains", step.ID)
	}
	if src.Role == rollout.RoleMaster && !stage.Origin {
		b.tally["served by a master"]++
	}
	// P4: another source, if there is one
	if a.tried[src.Name] {
		for _, other := range possible {
			if !a.tried[other.Name] {
				b.t.Fatalf("P4 bounds hold: %s is tried again from %s, which it failed from, while %s serves", step.ID, src.Name, other.Name)
			}
		}
	}
	if step.Attempt > 1 {
		b.tally["retries"]++
	}
	b.tally["syncs"]++
	a.after.tried, a.err = true, ""
	a.syncing, a.starts, a.last, a.undo.untouched = true, step.Attempt, step.Source, false
}

// gated says whether the run has a gate: only one that changes masters alone has none.
func (b *books) gated() bool { return b.plan.Mode != rollout.ModeMasters }

// pastGate sees that the gate has passed, or was overridden.
func (b *books) pastGate(what string) {
	if !b.gated() {
		return
	}
	for _, a := range b.order {
		if a.Role == rollout.RoleCanary && a.Down == "" && !a.tree && (!b.undoing() || !a.restored) && b.plan.Force == "" {
			b.t.Fatalf("P3 the gate holds: %s starts, and canary %s has not the tree", what, a.Name)
		}
	}
	if b.verdict != rollout.Pass && (b.plan.Force == "" || b.verdict == "") {
		b.t.Fatalf("P3 the gate holds: %s starts, and the gate says %q", what, b.verdict)
	}
}

func (b *books) checkStarts(step rollout.Step) {
	r := b.rounds[step.ID]
	switch {
	case r == nil:
		b.t.Fatalf("P3: %s is no check of the plan", step.ID)
	case b.opened.IsZero() || !b.canariesSettled():
		b.t.Fatalf("P3 the gate holds: %s starts before the canaries are synced", step.ID)
	case r.running:
		b.t.Fatalf("P3: two rounds of %s at once", step.ID)
	case b.verdict != "":
		b.t.Fatalf("P3: %s starts, and the gate says %s already", step.ID, b.verdict)
	case step.Check == rollout.SoakCheck && b.now.Sub(b.opened) < time.Duration(b.plan.Gate.Soak):
		b.t.Fatalf("P3 the gate holds: the soak ends before its time")
	}
	if !b.hooks[rollout.MomentPre].over {
		b.t.Fatalf("P3: %s before what comes before the run", step.ID)
	}
	for _, stage := range b.plan.Stages {
		if stage.Kind == rollout.StageCheck && !reflect.DeepEqual(step.Hosts, stage.Hosts) {
			b.t.Fatalf("P3 the gate holds: %s judges %v, the canaries are %v", step.ID, step.Hosts, stage.Hosts)
		}
	}
	r.running, r.began = true, b.now
}

func (b *books) observeStarts(step rollout.Step, a *account) {
	if a.Role != rollout.RoleProxy || !a.Pooled {
		b.t.Fatalf("P1 pools come back: %s of a host that has nothing to do with pools", step.ID)
	}
	if a.quarantine.out {
		b.t.Fatalf("P1 pools come back: %s of a host in quarantine", step.ID)
	}
	if !reflect.DeepEqual(step.Objects, a.receipts) {
		b.t.Fatalf("P1 pools come back: %s with %+v, its receipts are %+v", step.ID, step.Objects, a.receipts)
	}
	if b.now.Before(a.againAt) {
		b.t.Fatalf("P4 bounds hold: %s before %v, after it was edited %d times", step.ID, a.againAt, a.edits)
	}
}

func (b *books) depoolStarts(step rollout.Step, a *account) {
	b.pastGate(string(step.ID))
	switch {
	case a.Role != rollout.RoleProxy || !a.Pooled:
		b.t.Fatalf("P1 pools come back: %s of a host that is not to be taken out", step.ID)
	case !a.observed:
		b.t.Fatalf("P1 pools come back: %s without a receipt", step.ID)
	case !reflect.DeepEqual(step.Objects, a.seen):
		b.t.Fatalf("P1 pools come back: %s with %+v, observed was %+v", step.ID, step.Objects, a.seen)
	case b.fleetOpen() == 0 || a.lost || a.refused || a.failed || a.left || a.silent:
		b.t.Fatalf("P1 pools come back: %s for nothing: nobody needs it", step.ID)
	}
	if b.takenOut() > 1 {
		b.t.Fatalf("P2 capacity holds: %s while another is in flight", step.ID)
	}
	for i, stage := range b.plan.Stages {
		if stage.Kind == rollout.StageDepool {
			break
		}
		if b.open[i] > 0 || changes(stage) && b.at <= i {
			b.t.Fatalf("P1 pools come back: %s before stage %q is complete", step.ID, stage.Name)
		}
	}
	a.held, a.back, a.repools = true, false, 0
	b.tally["depooled"]++
}

func (b *books) repoolStarts(step rollout.Step, a *account) {
	switch {
	case !a.held:
		b.t.Fatalf("P1 pools come back: %s of a host that was not taken out", step.ID)
	case a.serving > 0:
		b.t.Fatalf("P1 pools come back: %s while %d transfers from it are in flight", step.ID, a.serving)
	case a.syncing:
		b.t.Fatalf("P1 pools come back: %s while it is being synced", step.ID)
	case b.banishable(a):
		b.t.Fatalf("P1 pools come back: %s, which has no good tree and is to stay out", step.ID)
	case !reflect.DeepEqual(step.Objects, a.receipts):
		b.t.Fatalf("P1 pools come back: %s with %+v, first found was %+v", step.ID, step.Objects, a.receipts)
	case a.after.running || a.after.post && b.abort < rollout.AbortNow:
		b.t.Fatalf("P1 pools come back: %s while something is to be done there", step.ID)
	case !b.stopped() && b.fleetOpen() > 0 && !a.lost && !a.left && !a.failed && !a.refused:
		b.t.Fatalf("P5: %s while hosts are left that it could serve", step.ID)
	}
	a.took, a.observed = false, false
}

// stops sees that what must end is ended, and nothing else.
func (b *books) stops(d rollout.Decision) {
	for _, a := range b.order {
		if !a.syncing {
			continue
		}
		src := b.hosts[a.last]
		pooled := src.Role == rollout.RoleProxy && src.Pooled && !src.took // users are on it again
		must := src.lost || src.silent || pooled || b.abort >= rollout.AbortNow || b.condemned(a)
		if b.condemned(a) {
			b.tally["transfer to a condemned canary"]++
		}
		if does := slices.Contains(d.Stop, rollout.StepID("sync/"+a.Name)); does != must {
			b.t.Fatalf("P5 only a good source serves: the transfer of %s from %s is to be ended: %v, is: %v", a.Name, a.last, must, does)
		}
	}
	for id, kind := range b.flights {
		must := false
		switch kind {
		case rollout.StepSync:
			continue // see above
		case rollout.StepCheck:
			must = b.verdict != "" || b.abort >= rollout.AbortNow
		case rollout.StepRecheck, rollout.StepRollback, rollout.StepHook, rollout.StepPost, rollout.StepOnFailure:
			must = b.abort >= rollout.AbortNow
		case rollout.StepObserve, rollout.StepDepool, rollout.StepRepool, rollout.StepQuarantine, rollout.StepRelease: // never left half-way
		}
		if does := slices.Contains(d.Stop, id); does != must {
			b.t.Fatalf("P4 bounds hold: %s (%q) is to be ended: %v, is: %v", id, kind, must, does)
		}
	}
	for _, id := range d.Stop {
		if b.flights[id] == "" {
			b.t.Fatalf("P4: %s is ended, and not in flight", id)
		}
	}
}

// placed sees that no slot is idle while a host waits that may use it, and that nearness decides
// who gets it. It is called with the decision in the books.
func (b *books) placed(d rollout.Decision) {
	stage := b.stage()
	if b.stopped() || stage == len(b.open) || !b.reached(stage) || b.undoing() {
		return
	}
	var free []*account
	for _, src := range b.sources(stage) {
		if b.quiet(src) && src.serving < src.Slots {
			free = append(free, src)
		}
	}
	var waiting []*account
	for _, name := range b.plan.Stages[stage].Hosts {
		if a := b.hosts[name]; !a.syncing && !a.tree && !a.failed && !a.after.post && !a.waits && b.quiet(a) {
			waiting = append(waiting, a)
		}
	}
	if len(free) > 0 && len(waiting) > 0 && b.syncing < b.limits.Parallel {
		b.t.Fatalf("P9: %s waits, and %s has a free slot", waiting[0].Name, free[0].Name)
	}
	b.nearness(d, free, waiting)
}

// nearness looks at hosts that got a source for the first time: none of them may be farther from it
// than a source or a host that was there to choose instead.
func (b *books) nearness(d rollout.Decision, free, waiting []*account) {
	type pair struct {
		host, src *account
		level     int
	}
	var pairs []pair
	for _, step := range d.Start {
		if step.Kind != rollout.StepSync {
			continue
		}
		if a := b.hosts[step.Host]; !a.waits && a.Role != rollout.RoleProxy {
			src := b.hosts[step.Source]
			pairs = append(pairs, pair{a, src, far(a, src)})
		}
	}
	for _, p := range pairs {
		for _, src := range free {
			if far(p.host, src) < p.level {
				b.t.Fatalf("locality: %s got %s, and %s is nearer and free", p.host.Name, p.src.Name, src.Name)
			}
		}
		for _, a := range waiting {
			if far(a, p.src) < p.level {
				b.t.Fatalf("locality: %s got %s, and %s is nearer and waits", p.src.Name, p.host.Name, a.Name)
			}
		}
		for _, q := range pairs {
			if near := far(p.host, q.src); near < p.level && near < q.level {
				b.t.Fatalf("locality: %s got %s and %s got %s, which is nearer to %s", p.host.Name, p.src.Name, q.host.Name, q.src.Name, p.host.Name)
			}
		}
		b.tally[fmt.Sprintf("distance %d", p.level)]++
	}
}

// far is 0 within a rack, 1 within a datacenter, else 2.
func far(a, b *account) int {
	switch {
	case a.Datacenter == b.Datacenter && a.Rack == b.Rack && a.Rack != "":
		return 0
	case a.Datacenter == b.Datacenter && a.Datacenter != "":
		return 1
	default:
		return 2
	}
}

func names(accounts []*account) []string {
	var names []string
	for _, a := range accounts {
		names = append(names, a.Name)
	}
	return names
}

// ---- how it ends ----

// finished holds the end of a run against the books.
func (b *books) finished(o rollout.Outcome, report []rollout.HostReport) {
	b.report(report)
	b.outs(o)
	want, bytes := b.counts()
	if want.Syncing+want.Waiting+want.InHooks > 0 {
		b.t.Fatalf("P9: done, and hosts are in flight or wait: %+v", want)
	}
	b.tally[fmt.Sprintf("down, in a rollback %v", b.undoing())] += want.Down
	if o.Counts != want || o.Bytes != bytes {
		b.t.Fatalf("P8 truth: counts are %+v and %d bytes, should be %+v and %d", o.Counts, o.Bytes, want, bytes)
	}
	if !slices.Equal(o.Named, b.named) {
		b.t.Fatalf("P8 truth: edits named are %+v, should be %+v", o.Named, b.named)
	}
	if o.Gate != b.verdict {
		b.t.Fatalf("P8 truth: the gate says %q, should say %q", o.Gate, b.verdict)
	}
	if o.Took != rollout.Duration(b.now.Sub(b.begun)) {
		b.t.Fatalf("P8 truth: took %v, should be %v", o.Took, b.now.Sub(b.begun))
	}
	b.unmended(o)
	b.untended(o)
	b.result(o)
	for what, n := range b.tally {
		tally[what] += n
	}
	kind := "runs"
	switch {
	case b.plan.Mode == rollout.ModeMasters:
		kind = "master runs"
	case b.undoing():
		kind = "rollback runs"
	}
	tally[kind]++
	tally[kind+": result "+string(o.Result)+" "+b.halt]++
}

// counts is how many hosts stand where, and what their last good syncs have moved.
func (b *books) counts() (c rollout.Counts, bytes int64) {
	of := map[rollout.Standing]*int{
		rollout.Synced: &c.Synced, rollout.Partial: &c.Partial, rollout.RolledBack: &c.RolledBack, rollout.Failed: &c.Failed,
		rollout.Down:      &c.Down,
		rollout.Untouched: &c.Untouched, rollout.Syncing: &c.Syncing, rollout.Waiting: &c.Waiting, rollout.InHooks: &c.InHooks,
	}
	for _, a := range b.order {
		if a.Name == b.plan.Origin {
			continue
		}
		c.Hosts++
		bytes += a.bytes
		standing := b.standing(a)
		*of[standing]++
		switch h := b.hookState(a); {
		case h == rollout.HooksDone:
			c.HooksDone++
		case standing == rollout.Failed && (h == rollout.HooksFailed || h == rollout.HooksSkipped):
			c.FailedHooks++
		}
		if b.onFailureState(a) == rollout.HooksDone {
			c.OnFailureDone++
		}
	}
	return c, bytes
}

// unmended sees that the canaries of a gate that did not pass are rolled back, taken out, or named.
func (b *books) unmended(o rollout.Outcome) {
	var quarantined, mixed []string
	for _, a := range b.order {
		switch {
		case b.condemned(a) || b.banishable(a) || b.releasable(a):
			b.t.Fatalf("P3 the gate holds: done, and %s is neither rolled back, taken out, put back nor given up", a.Name)
		case a.quarantine.out:
			quarantined = append(quarantined, a.Name)
		case a.quarantine.wanted && a.Down != "" && !b.passed():
		case a.quarantine.wanted && a.held:
			b.tally["out, and should be in quarantine"]++
		case a.quarantine.wanted:
			mixed = append(mixed, a.Name)
			b.tally["mixed"]++
		}
	}
	b.compareNamed("quarantined", o.Quarantined, quarantined)
	b.compareNamed("mixed", o.Mixed, mixed)
}

// untended sees that nothing is left to be done around the run and its hosts, unless it was ended at once, and that all
// is named that did not go well.
func (b *books) untended(o rollout.Outcome) {
	if b.abort < rollout.AbortNow {
		for _, a := range b.order {
			if a.after.post || a.after.lament {
				b.t.Fatalf("P9: done, and something is to be done on %s: %+v", a.Name, a.after)
			}
		}
		bad := b.stopped() || b.failed+b.down > 0 || b.sour
		if bad && !b.hooks[rollout.MomentOnFailure].over || !b.stopped() && !b.hooks[rollout.MomentPost].over {
			b.t.Fatalf("P9: done without what is to be done at the end")
		}
	}
	if !slices.Equal(o.Hooks, b.hooked) {
		b.t.Fatalf("P8 truth: %+v is named, should be %+v", o.Hooks, b.hooked)
	}
}

func (b *books) compareNamed(what string, named []rollout.Named, want []string) {
	var got []string
	for _, n := range named {
		got = append(got, n.Host)
		if a := b.hosts[n.Host]; a == nil || !strings.Contains(n.Detail, a.quarantine.why) || !strings.Contains(n.Detail, a.quarantine.err) {
			b.t.Fatalf("P8 truth: %s is named as %s because of %q", n.Host, what, n.Detail)
		}
	}
	if !slices.Equal(got, want) {
		b.t.Fatalf("P8 truth: %v are named as %s, should be %v", got, what, want)
	}
}

// outs sees that what was taken out is back, or that it was tried as long as promised, and is named.
func (b *books) outs(o rollout.Outcome) {
	b.out = map[string]bool{}
	var before string
	for _, out := range o.Out {
		b.out[out.Host] = true
		if out.Host <= before {
			b.t.Fatalf("P8 truth: what is out is not sorted: %+v", o.Out)
		}
		before = out.Host
		a := b.hosts[out.Host]
		last := a.repoolLast
		switch {
		case !a.held:
			b.t.Fatalf("P8 truth: %s is named as out, and is not", out.Host)
		case a.repools == 0:
			b.t.Fatalf("P1 pools come back: %s was not put back, without a try", out.Host)
		case out.Error != last.Error:
			b.t.Fatalf("P8 truth: %s is out because of %q, not %q", out.Host, last.Error, out.Error)
		case !b.givenUp(a):
			b.t.Fatalf("P1 pools come back: %s was given up after %d tries in %v", out.Host, a.repools, last.At.Sub(a.repoolSince))
		}
		b.tally["out"]++
	}
	for _, a := range b.order {
		if a.held && !b.out[a.Name] {
			b.t.Fatalf("P1 pools come back: %s is out at the end, and not named", a.Name)
		}
	}
}

// givenUp says whether the last failed repool was one too many: one that no other try would mend, or
// the last of all attempts, and of all the time that an API which is away is waited for.
func (b *books) givenUp(a *account) bool {
	switch last := a.repoolLast; {
	case last.Class == rollout.Permanent:
		return true
	case last.Class == rollout.Transient && last.At.Sub(a.repoolSince) < time.Duration(b.limits.Restore):
		return false
	default:
		return a.repools >= b.limits.Attempts
	}
}

// result sees that the run ended for a reason, and says which.
func (b *books) result(o rollout.Outcome) {
	want := rollout.ResultDone
	switch {
	case b.halt != "":
		want = rollout.ResultHalted
	case b.abort > 0:
		want = rollout.ResultAborted
		if o.Why != b.abortBy {
			b.t.Fatalf("P8 truth: aborted because of %q, not %q", b.abortBy, o.Why)
		}
	default:
		if stage := b.stage(); stage < len(b.open) {
			b.t.Fatalf("P9: done, and stage %q is not complete: %d hosts are not settled, not looked at: %v", b.plan.Stages[stage].Name,
				b.open[stage], b.unlooked())
		}
		if b.gated() && b.verdict != rollout.Pass && b.plan.Force == "" {
			b.t.Fatalf("P3: done, and the gate says %q", b.verdict)
		}
		if b.failed+b.down+len(o.Quarantined) > 0 || b.sour {
			want = rollout.ResultFailed
		}
	}
	if o.Result != want {
		b.t.Fatalf("P8 truth: the result is %s (%s), should be %s (%s)", o.Result, o.Why, want, b.halt)
	}
	if b.halt != "" && o.Why == "" {
		b.t.Fatalf("P8 truth: halted without a reason")
	}
}

// hookState is where the post hooks of a host stand.
func (b *books) hookState(a *account) rollout.HookState {
	switch {
	case !a.after.post:
		return a.afterward
	case b.abort >= rollout.AbortNow:
		return rollout.HooksSkipped
	case a.after.running && b.flights[rollout.StepID("post/"+a.Name)] != "":
		return rollout.HooksRunning
	default:
		return rollout.HooksPending
	}
}

// onFailureState is where its on_failure hooks stand.
func (b *books) onFailureState(a *account) rollout.HookState {
	switch {
	case a.after.failure != "" || !a.after.lament:
		return a.after.failure
	case b.abort >= rollout.AbortNow:
		return rollout.HooksSkipped
	case a.after.running && b.flights[rollout.StepID("on_failure/"+a.Name)] != "":
		return rollout.HooksRunning
	default:
		return rollout.HooksPending
	}
}

func (b *books) standing(a *account) rollout.Standing {
	switch {
	case a.Down != "":
		return rollout.Down
	case a.tree && len(b.plan.Paths) > 0:
		return rollout.Partial
	case a.tree:
		return rollout.Synced
	case a.restored:
		return rollout.RolledBack
	case a.syncing || a.undo.running:
		return rollout.Syncing
	case a.after.post && b.abort >= rollout.AbortNow:
		return rollout.Failed
	case a.after.post:
		return rollout.InHooks
	case a.starts+a.undo.starts == 0:
		return rollout.Untouched
	case a.undo.untouched && (b.stopped() || b.over):
		return rollout.RolledBack
	case a.failed || b.stopped() || b.over:
		return rollout.Failed
	default:
		return rollout.Waiting
	}
}

// report holds what is said of every host against the books.
func (b *books) report(report []rollout.HostReport) {
	var want []rollout.HostReport
	for _, a := range b.order {
		if a.Name == b.plan.Origin {
			continue
		}
		w := rollout.HostReport{
			Host: a.Name, Role: a.Role, Stage: a.stage, Standing: b.standing(a), Hooks: b.hookState(a), OnFailure: b.onFailureState(a),
			Source: a.last, Attempts: a.starts,
			Failures: a.transient, Error: a.err, Held: a.held, Keep: a.Keep,
		}
		if b.undoing() {
			w.Attempts, w.Failures = a.undo.starts, a.undo.fails
		}
		if at := len(want); at < len(report) {
			w.Stats, w.At, w.Class = report[at].Stats, report[at].At, report[at].Class
			if (w.Stats != nil) != a.moved || a.moved && w.Stats.Bytes != a.bytes {
				b.t.Fatalf("P8 truth: %s moved %+v, should be %d bytes", a.Name, w.Stats, a.bytes)
			}
		}
		want = append(want, w)
	}
	if !slices.Equal(report, want) {
		for i := range min(len(report), len(want)) {
			if report[i] != want[i] {
				b.t.Fatalf("P8 truth: the report says %+v, should say %+v", report[i], want[i])
			}
		}
		b.t.Fatalf("P8 truth: the report has %d hosts, should have %d", len(report), len(want))
	}
}
