package main

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// books are kept over the events that a run printed, from the inventory and the policy alone: nothing
// in them comes from the State of the run. They say whether the promises were kept.
//
// Planted faults that they were seen to find: the gate's stage complete without a verdict; a proxy that
// serves whether or not it is out of its pools; one that does not drain; one more in flight than may
// be; hosts that start after a first Ctrl-C, or behind a spent budget (the exit code finds that first).
type books struct {
	t      *testing.T
	fleet  *inventory.Fleet
	policy *inventory.Policy
	plan   *rollout.Plan
	last   rollout.Event

	role     map[string]rollout.Role
	slots    map[string]int
	flying   map[rollout.StepID]rollout.Event
	attempts map[rollout.StepID]int
	synced   map[string]time.Time
	failures map[string]int // of a host's syncs, that count
	lost     map[string]bool
	stats    map[string]*rollout.Stats
	sources  map[string]string // host → whom it got the tree from
	errors   map[string]string // host → the last
	observed map[string]bool
	out      map[string]time.Time // proxies that are out, since when
	taken    map[string]bool      // a depool was started and no repool is done
	rounds   map[string]time.Time // check → when its last round began that passed
	pulled   map[string]bool      // masters from which somebody has pulled since they were looked at last
	rolled   map[string]bool      // canaries that have the tree again that they had before
	stopped  string               // why nothing may start any more
	most     int                  // most syncs in flight
	problems []string
}

// audit fails the test for every promise that the events of a whole run break.
func (w *world) audit(t *testing.T, events []rollout.Event) *books {
	t.Helper()
	policy, err := inventory.LoadPolicy(w.Config)
	if err != nil {
		t.Fatal(err)
	}
	b := keep(w.fleet(t), policy, events)
	b.t = t
	for _, p := range b.problems {
		t.Error(p)
	}
	return b
}

func keep(fleet *inventory.Fleet, policy *inventory.Policy, events []rollout.Event) *books {
	b := &books{
		fleet: fleet, policy: policy, role: map[string]rollout.Role{}, slots: map[string]int{},
		flying: map[rollout.StepID]rollout.Event{}, attempts: map[rollout.StepID]int{}, synced: map[string]time.Time{},
		failures: map[string]int{}, lost: map[string]bool{}, stats: map[string]*rollout.Stats{},
		sources: map[string]string{}, errors: map[string]string{},
		observed: map[string]bool{}, out: map[string]time.Time{}, taken: map[string]bool{}, rounds: map[string]time.Time{},
		pulled: map[string]bool{}, rolled: map[string]bool{},
	}
	for _, m := range fleet.Masters {
		b.slots[m.Host] = m.Slots
	}
	for _, p := range fleet.Proxies {
		b.slots[p.Host] = p.Slots
	}
	if len(events) == 0 || events[0].Kind != rollout.RunStarted || events[0].Plan == nil {
		b.wrong("the events do not begin with a plan")
		return b
	}
	b.plan = events[0].Plan
	for _, h := range b.plan.Hosts {
		b.role[h.Name] = h.Role
	}
	for _, e := range events {
		if e.Seq != b.last.Seq+1 || e.Run != b.plan.Run || e.At.Before(b.last.At) || b.last.Kind == rollout.RunFinished {
			b.wrong("event %d of %s follows event %d, %s", e.Seq, e.Run, b.last.Seq, b.last.Kind)
		}
		b.last = e
		b.take(e)
	}
	if b.last.Kind == rollout.RunFinished {
		b.finish(b.last.Outcome)
	}
	return b
}

func (b *books) wrong(format string, args ...any) {
	b.problems = append(b.problems, fmt.Sprintf(format, args...))
}

func (b *books) take(e rollout.Event) {
	switch e.Kind {
	case rollout.StepStarted:
		b.start(e)
	case rollout.StepDone, rollout.StepFailed:
		began, ok := b.flying[e.Step]
		if !ok || began.Attempt != e.Attempt || began.Source != e.Source || began.Host != e.Host {
			b.wrong("event %d: the end of %s, attempt %d, which was not started so", e.Seq, e.Step, e.Attempt)
		}
		delete(b.flying, e.Step)
		b.end(e, began)
	case rollout.AbortAsked:
		b.stopped = "somebody asked for it"
	case rollout.RunStarted, rollout.RunResumed, rollout.RunFinished, rollout.PoolChanged, rollout.SourceChanged, rollout.SourceSilent,
		rollout.LockLost:
	}
}

func (b *books) start(e rollout.Event) {
	if _, twice := b.flying[e.Step]; twice {
		b.wrong("event %d: %s is started twice", e.Seq, e.Step)
	}
	b.attempts[e.Step]++
	if e.Attempt != b.attempts[e.Step] {
		b.wrong("event %d: %s is attempt %d, want %d", e.Seq, e.Step, e.Attempt, b.attempts[e.Step])
	}
	b.flying[e.Step] = e
	kind := b.kind(e)
	if b.stopped != "" && kind != rollout.StepRepool && kind != rollout.StepRollback && kind != rollout.StepQuarantine &&
		kind != rollout.StepRelease {
		b.wrong("event %d: %s starts although %s", e.Seq, e.Step, b.stopped)
	}
	switch kind {
	case rollout.StepHook, rollout.StepPost, rollout.StepOnFailure: // the core's properties see to those
	case rollout.StepSync:
		b.startSync(e)
	case rollout.StepObserve:
		b.passed(e)
	case rollout.StepDepool:
		b.passed(e)
		if !b.observed[e.Host] {
			b.wrong("event %d: %s is taken out without having been observed", e.Seq, e.Host)
		}
		b.taken[e.Host] = true
	case rollout.StepRepool:
		if !b.taken[e.Host] {
			b.wrong("event %d: %s is put back, but was not taken out", e.Seq, e.Host)
		}
		delete(b.out, e.Host)
		for _, f := range b.flying {
			if f.Source == e.Host {
				b.wrong("event %d: %s is put back while it serves %s", e.Seq, e.Host, f.Host)
			}
		}
	case rollout.StepRecheck:
		if !b.pulled[e.Host] {
			b.wrong("event %d: %s is looked at, and nobody has pulled from it since the last time", e.Seq, e.Host)
		}
		delete(b.pulled, e.Host)
	case rollout.StepRollback:
		b.stopped = "the gate has condemned the canaries"
		delete(b.synced, e.Host) // what it has from now on is not the run's tree
		if b.forced() || b.role[e.Host] != rollout.RoleCanary || b.attempts[rollout.StepID("sync/"+e.Host)] == 0 {
			b.wrong("event %d: %s is rolled back without a reason", e.Seq, e.Host)
		}
	case rollout.StepRelease:
		if b.synced[e.Host].IsZero() {
			b.wrong("event %d: %s is put back without a good tree", e.Seq, e.Host)
		}
	case rollout.StepQuarantine:
		if b.role[e.Host] != rollout.RoleCanary || b.attempts[rollout.StepID("rollback/"+e.Host)] == 0 || b.rolled[e.Host] {
			b.wrong("event %d: %s is quarantined without a reason", e.Seq, e.Host)
		}
	case rollout.StepCheck:
		b.wantLookedAt(e)
		for _, h := range b.plan.Hosts {
			if h.Role == rollout.RoleCanary && b.synced[h.Name].IsZero() && !b.forced() {
				b.wrong("event %d: %s starts before canary %s is synced", e.Seq, e.Step, h.Name)
			}
		}
	}
}

// wantLookedAt says that what e starts must come after a look at every master that somebody has pulled from.
func (b *books) wantLookedAt(e rollout.Event) {
	for master := range b.pulled {
		b.wrong("event %d: %s starts before %s was looked at again", e.Seq, e.Step, master)
	}
	for _, f := range b.flying {
		if b.kind(f) == rollout.StepRecheck {
			b.wrong("event %d: %s starts while %s is in flight", e.Seq, e.Step, f.Step)
		}
	}
}

func (b *books) kind(e rollout.Event) rollout.StepKind {
	for _, kind := range []rollout.StepKind{
		rollout.StepObserve, rollout.StepDepool, rollout.StepSync, rollout.StepRepool, rollout.StepRecheck, rollout.StepRollback,
		rollout.StepQuarantine, rollout.StepRelease,
	} {
		if e.Host != "" && string(e.Step) == string(kind)+"/"+e.Host {
			return kind
		}
	}
	if e.Host != "" {
		b.wrong("event %d: no step is called %s", e.Seq, e.Step)
	}
	return rollout.StepCheck
}

func (b *books) forced() bool { return b.plan.Force != "" }

// passed says that what e starts must come after the gate.
func (b *books) passed(e rollout.Event) {
	if b.forced() {
		return
	}
	var last time.Time
	for _, h := range b.plan.Hosts {
		if h.Role != rollout.RoleCanary {
			continue
		}
		at := b.synced[h.Name]
		if at.IsZero() {
			b.wrong("event %d: %s starts before canary %s is synced", e.Seq, e.Step, h.Name)
		}
		if at.After(last) {
			last = at
		}
	}
	settings := b.policy.For(b.plan.Mode)
	for _, c := range settings.Gate.Checks {
		if began := b.rounds[c.Name]; began.IsZero() || began.Before(last.Add(settings.Gate.Soak)) {
			b.wrong("event %d: %s starts before check %q has passed after the soak", e.Seq, e.Step, c.Name)
		}
	}
}

func (b *books) startSync(e rollout.Event) {
	flying, served := 0, 0
	for _, f := range b.flying {
		if b.kind(f) != rollout.StepSync {
			continue
		}
		flying++
		if f.Source == e.Source {
			served++
		}
	}
	b.most = max(b.most, flying)
	if most := b.policy.For(b.plan.Mode).Batches.Parallel; flying > most {
		b.wrong("event %d: %d syncs in flight, at most %d may be", e.Seq, flying, most)
	}
	if served > b.slots[e.Source] {
		b.wrong("event %d: %s serves %d, has %d slots", e.Seq, e.Source, served, b.slots[e.Source])
	}
	if !b.synced[e.Host].IsZero() || b.lost[e.Host] {
		b.wrong("event %d: %s is synced again", e.Seq, e.Host)
	}
	if b.role[e.Host] != rollout.RoleCanary {
		b.passed(e)
	}
	if since, out := b.out[e.Host]; out && e.At.Before(since.Add(b.policy.Pooling.Drain)) {
		b.wrong("event %d: proxy %s is synced %v after its depool, and drains for %v", e.Seq, e.Host, e.At.Sub(since), b.policy.Pooling.Drain)
	}
	switch role := b.role[e.Host]; role {
	case rollout.RoleCanary, rollout.RoleMaster, rollout.RoleProxy:
		if e.Source != b.plan.Origin {
			b.wrong("event %d: %s %s is synced from %s, not from the origin", e.Seq, role, e.Host, e.Source)
		}
	case rollout.RoleHost:
		for _, h := range b.plan.Hosts {
			if h.Role == rollout.RoleProxy && b.synced[h.Name].IsZero() && !b.lost[h.Name] {
				b.wrong("event %d: %s is synced before proxy %s", e.Seq, e.Host, h.Name)
			}
		}
	}
	b.wantSource(e)
}

// wantSource says that a source is good: the origin, or a proxy that is out, has drained and has the tree.
func (b *books) wantSource(e rollout.Event) {
	for _, m := range b.fleet.Masters {
		if m.Host == e.Source {
			if !m.Serve || e.Source != b.plan.Origin {
				b.wrong("event %d: %s gets the tree from master %s, which is not the origin", e.Seq, e.Host, e.Source)
			}
			return
		}
	}
	i := slices.IndexFunc(b.fleet.Proxies, func(p inventory.Proxy) bool { return p.Host == e.Source })
	if i < 0 || b.role[e.Source] != rollout.RoleProxy {
		b.wrong("event %d: %s gets the tree from %s, which is no source", e.Seq, e.Host, e.Source)
		return
	}
	if b.synced[e.Source].IsZero() {
		b.wrong("event %d: proxy %s serves before its own sync is done", e.Seq, e.Source)
	}
	if b.policy.Pooling == nil || !b.fleet.Proxies[i].Pooled {
		return
	}
	since, out := b.out[e.Source]
	switch {
	case !out:
		b.wrong("event %d: proxy %s serves and is not out of its pools", e.Seq, e.Source)
	case e.At.Before(since.Add(b.policy.Pooling.Drain)):
		b.wrong("event %d: proxy %s serves %v after its depool, and drains for %v", e.Seq, e.Source, e.At.Sub(since), b.policy.Pooling.Drain)
	}
}

func (b *books) end(e, began rollout.Event) {
	done := e.Kind == rollout.StepDone
	if !done && e.Error == "" {
		b.wrong("event %d: %s failed without a reason", e.Seq, e.Step)
	}
	switch b.kind(e) {
	case rollout.StepRecheck, rollout.StepQuarantine, rollout.StepRelease, rollout.StepHook, rollout.StepPost, rollout.StepOnFailure:
	case rollout.StepRollback:
		if done {
			b.rolled[e.Host] = true
			delete(b.lost, e.Host)
		}
	case rollout.StepSync:
		if b.role[e.Source] == rollout.RoleMaster {
			b.pulled[e.Source] = true
		}
		if done {
			b.synced[e.Host], b.stats[e.Host], b.sources[e.Host] = e.At, e.Stats, e.Source
			return
		}
		b.errors[e.Host] = e.Error
		settings := b.policy.For(b.plan.Mode)
		if e.Class == rollout.Transient {
			b.failures[e.Host]++
		}
		if e.Class != rollout.Permanent && b.failures[e.Host] < settings.Batches.Attempts {
			return
		}
		b.lost[e.Host] = true
		if most := settings.Batches.MaxFailures.Of(len(b.plan.Hosts) - 1); len(b.lost) > most {
			b.stopped = fmt.Sprintf("%d hosts failed, of which %d may", len(b.lost), most)
		}
		if b.role[e.Host] == rollout.RoleCanary && !b.forced() {
			b.stopped = "a canary failed"
		}
	case rollout.StepCheck:
		if !done {
			return
		}
		for _, c := range b.policy.For(b.plan.Mode).Gate.Checks {
			if "check/"+dashed(c.Name) != string(e.Step) {
				continue
			}
			switch e.Verdict {
			case rollout.Pass:
				b.rounds[c.Name] = began.At
			case rollout.Fail:
				delete(b.rounds, c.Name)
				if !b.forced() {
					b.stopped = "the gate failed"
				}
			case rollout.Unknown:
				delete(b.rounds, c.Name)
			}
		}
	case rollout.StepObserve:
		b.observed[e.Host] = done
	case rollout.StepDepool:
		if done {
			b.out[e.Host] = e.At
		}
		b.observed[e.Host] = false
	case rollout.StepRepool:
		if done {
			delete(b.taken, e.Host)
		} else {
			b.errors[e.Host] = e.Error
		}
	}
}

func dashed(s string) string {
	r := []rune(s)
	for i := range r {
		if r[i] == ' ' {
			r[i] = '-'
		}
	}
	return string(r)
}

// finish compares what the run says it came to with the books.
func (b *books) finish(o *rollout.Outcome) {
	if o == nil {
		b.wrong("the run ended without an outcome")
		return
	}
	if len(b.flying) > 0 {
		b.wrong("the run ended while %d steps were in flight", len(b.flying))
	}
	var out []string
	for _, h := range o.Out {
		out = append(out, h.Host)
	}
	if held := slices.Sorted(maps.Keys(b.taken)); !slices.Equal(held, out) {
		b.wrong("the run says that %s are out, and it is %s", out, held)
	}
	if n := o.Counts.Synced + o.Counts.Partial; n != len(b.synced) {
		b.wrong("the run says that %d hosts are synced, and it is %d", n, len(b.synced))
	}
	if o.Counts.RolledBack != len(b.rolled) {
		b.wrong("the run says that %d hosts are rolled back, and it is %d", o.Counts.RolledBack, len(b.rolled))
	}
	if n := o.Counts.Synced + o.Counts.Partial + o.Counts.RolledBack + o.Counts.Failed + o.Counts.Untouched +
		o.Counts.Unknown; n != o.Counts.Hosts || n != len(b.plan.Hosts)-1 {
		b.wrong("the run counts %d and %d hosts, the plan has %d", n, o.Counts.Hosts, len(b.plan.Hosts)-1)
	}
}

// starts returns how often a step was started.
func (b *books) starts(step string) int { return b.attempts[rollout.StepID(step)] }

// wantSynced fails the test unless exactly these hosts got the tree.
func (b *books) wantSynced(hosts ...string) {
	b.t.Helper()
	got, want := slices.Sorted(maps.Keys(b.synced)), slices.Sorted(slices.Values(hosts))
	if !slices.Equal(got, want) {
		b.t.Errorf("synced are %s, want %s", got, want)
	}
}
