package rollout_test

import (
	"slices"
	"strings"
	"time"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// fated holds what an event says of a step that failed against the books: whether it is tried again, and why not. The run was
// stopped before it happened, or not.
func (b *books) fated(kind rollout.StepKind, a *account, e rollout.Event, stopped bool) {
	gaveUp, due, fate := false, time.Time{}, rollout.FateRetry
	switch kind {
	case rollout.StepSync:
		gaveUp, due = a.failed, a.notBefore
		if e.Failures != a.transient {
			b.t.Fatalf("P8 truth: %s says that %d failures count, should be %d", e.Step, e.Failures, a.transient)
		}
	case rollout.StepCheck:
		stopped = b.stopped() || b.verdict != ""
	case rollout.StepRecheck:
		gaveUp, due = a.lost, a.look.due
	case rollout.StepRollback:
		gaveUp, due = a.undo.gaveUp, a.undo.due
		stopped = stopped && b.undoing() || b.abort >= rollout.AbortNow
	case rollout.StepHook:
		gaveUp = true
	case rollout.StepPost:
		gaveUp, due, stopped = !a.after.post, a.after.due, b.abort >= rollout.AbortNow
	case rollout.StepOnFailure:
		gaveUp, due, stopped = !a.after.lament, a.after.due, b.abort >= rollout.AbortNow
	case rollout.StepQuarantine, rollout.StepRelease:
		gaveUp, due, stopped = a.quarantine.gaveUp, a.quarantine.due, b.abort >= rollout.AbortNow
		if a.quarantine.later {
			fate, due, stopped = rollout.FateDeferred, time.Time{}, false
		}
	case rollout.StepObserve, rollout.StepDepool:
		gaveUp, due = a.refused, e.At.Add(b.backoff(a.failures))
	case rollout.StepRepool:
		gaveUp, due, stopped = a.given, e.At.Add(b.backoff(a.repools)), false
	}
	if stopped || gaveUp {
		fate, due = rollout.FateGivenUp, time.Time{}
	}
	if e.Fate != fate || !e.RetryAt.Equal(due) {
		b.t.Fatalf("P8 truth: %s failed (%s), and is said to be %q at %v, should be %q at %v", e.Step, e.Class, e.Fate, e.RetryAt, fate, due)
	}
	if (e.GiveUp != "") != (fate == rollout.FateGivenUp) || e.GiveUp == rollout.GiveUpStopping != (stopped && !gaveUp) &&
		kind != rollout.StepHook {
		b.t.Fatalf("P8 truth: %s failed (%s), and was given up for the reason %q", e.Step, e.Class, e.GiveUp)
	}
	b.tally["fate: "+string(fate)+" "+string(e.GiveUp)]++
}

// snapshot holds a snapshot against the books: its counts add up to the hosts, and what it calls out of its pools is.
func (b *books) snapshot(now *rollout.Snapshot) {
	c := now.Counts
	sum := c.Synced + c.Partial + c.RolledBack + c.Failed + c.Down + c.Waiting + c.Syncing + c.InHooks + c.Untouched + c.Unknown
	if sum != c.Hosts || c.Hosts != now.Hosts.Len() || c.FailedHooks > c.Failed {
		b.t.Fatalf("P12 what is shown is true: %d hosts are counted, of %d: %+v", sum, now.Hosts.Len(), c)
	}
	staged := rollout.Counts{}
	for _, stage := range now.Stages {
		if stage.Batch != strings.HasPrefix(stage.Name, "batch ") {
			b.t.Fatalf("P12 what is shown is true: that %s is a batch is %v", stage.Name, stage.Batch)
		}
		if stage.Kind != rollout.StageSync && stage.Kind != rollout.StageUndo {
			continue
		}
		staged = staged.Plus(stage.Counts)
		if stage.Counts.Hosts != stage.Hosts {
			b.t.Fatalf("P12 what is shown is true: stage %s counts %d hosts, of %d", stage.Name, stage.Counts.Hosts, stage.Hosts)
		}
	}
	if staged = staged.Plus(rollout.Counts{Hosts: c.Down, Down: c.Down}); staged != c {
		b.t.Fatalf("P12 what is shown is true: the stages and who was down are %+v together, should be %+v", staged, c)
	}
	if len(b.inFlight) != len(b.flights) {
		return // the books know already what the rest of this turn will begin
	}
	if want, bytes := b.counts(); c != want || now.Outcome.Counts != want || now.Outcome.Bytes != bytes {
		b.t.Fatalf("P12 what is shown is true: counts are %+v and %d bytes, should be %+v and %d", c, now.Outcome.Bytes, want, bytes)
	}
	b.pools(now)
	out := map[string]bool{}
	for _, name := range now.Out {
		out[name] = true
	}
	held := map[string]bool{}
	for _, name := range now.Held {
		held[name] = true
	}
	for _, a := range b.order {
		if out[a.Name] != (len(a.outKeys) > 0) || held[a.Name] != a.held {
			b.t.Fatalf("P12 what is shown is true: %s is called out %v and held %v, and is %v and %v", a.Name, out[a.Name], held[a.Name],
				len(a.outKeys) > 0, a.held)
		}
	}
	if len(now.Running) != len(b.flights) {
		b.t.Fatalf("P12 what is shown is true: %d steps are in flight, should be %d", len(now.Running), len(b.flights))
	}
	for _, f := range now.Running {
		if b.flights[f.Step] != f.Kind {
			b.t.Fatalf("P12 what is shown is true: %s of kind %q is in flight, should be %q", f.Step, f.Kind, b.flights[f.Step])
		}
	}
	if now.Gate.Verdict != b.verdict || (now.Stopping != "") != b.stopped() || now.Budget.Failed != b.failed+b.down {
		b.t.Fatalf("P12 what is shown is true: gate %q, stopping %q, failed %d; should be %q, %v, %d",
			now.Gate.Verdict, now.Stopping, now.Budget.Failed, b.verdict, b.stopped(), b.failed+b.down)
	}
}

// pools holds what a snapshot says of proxies, and of who is in quarantine, against the books.
func (b *books) pools(now *rollout.Snapshot) {
	untouched := true
	for _, kind := range b.flights {
		untouched = untouched && (kind == rollout.StepCheck || kind == rollout.StepRecheck || kind == rollout.StepHook)
	}
	for _, a := range b.order {
		untouched = untouched && (b.standing(a) == rollout.Untouched || a.Down != "" || a.Name == b.plan.Origin) && !a.held && !a.quarantine.out
	}
	if now.Untouched() != untouched {
		b.t.Fatalf("P12 what is shown is true: the run is called untouched %v, should be %v", now.Untouched(), untouched)
	}
	for _, p := range now.Pools {
		a := b.hosts[p.Host]
		if want := b.poolState(a); p.State != want || p.Held != a.held || p.Out != (len(a.outKeys) > 0) {
			b.t.Fatalf("P12 what is shown is true: the pools of %s are %+v, should be %s", p.Host, p, want)
		}
		b.tally["pools: "+string(p.State)]++
	}
	var in []string
	for _, n := range now.Outcome.Quarantined {
		in = append(in, n.Host)
	}
	if want := names(slices.DeleteFunc(slices.Clone(b.order), func(a *account) bool { return !a.quarantine.out })); !slices.Equal(in, want) {
		b.t.Fatalf("P12 what is shown is true: %v are in quarantine, should be %v", in, want)
	}
}

// poolState is where the pool objects of a proxy stand.
func (b *books) poolState(a *account) rollout.PoolState {
	flies := func(kind rollout.StepKind) bool { return b.flights[rollout.StepID(string(kind)+"/"+a.Name)] != "" }
	switch {
	case a.quarantine.out:
		return rollout.PoolQuarantined
	case flies(rollout.StepObserve):
		return rollout.PoolObserving
	case flies(rollout.StepDepool):
		return rollout.PoolDepooling
	case flies(rollout.StepRepool):
		return rollout.PoolRepooling
	case a.given:
		return rollout.PoolStuck
	case a.back:
		return rollout.PoolBack
	case a.took && !b.quiet(a):
		return rollout.PoolDraining
	case a.took:
		return rollout.PoolServing
	case a.refused:
		return rollout.PoolRefused
	case a.observed:
		return rollout.PoolObserved
	case len(a.outKeys) > 0:
		return rollout.PoolServing
	default:
		return rollout.PoolIn
	}
}
