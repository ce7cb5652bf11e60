package rollout_test

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// kind is which run a benchmark makes of a fleet.
type kind int

const (
	throughProxies kind = iota
	fromMasters         // without proxies, so that the masters are looked at all the time
	rollBack
)

// big returns the state of a run over hosts with a proxy for every fifty of them, ten at most.
func big(tb testing.TB, k kind, hosts int) *rollout.State {
	tb.Helper()
	f := &inventory.Fleet{Hosts: []inventory.Host{{Name: "m", Datacenter: "dc0"}},
		Masters: []inventory.Master{{Host: "m", Serve: true, Slots: 10}}}
	r := rollout.Request{Run: "r1", Mode: inventory.ModeSync, Pools: true, Tree: &rollout.Tree{Digest: "d"}, Verify: inventory.VerifyAll}
	plans := rollout.NewPlan
	if k == rollBack {
		plans, r.Undoes = rollout.NewRollback, "r0"
	}
	for i := range hosts {
		h := inventory.Host{Name: fmt.Sprintf("h%06d", i), Datacenter: fmt.Sprintf("dc%d", i%2), Rack: fmt.Sprintf("r%d", i/2%40)}
		f.Hosts = append(f.Hosts, h)
		r.Selection = append(r.Selection, h.Name)
		switch {
		case i < 2:
			f.Canaries = append(f.Canaries, h.Name)
		case k == throughProxies && i < 2+min(10, hosts/50):
			f.Proxies = append(f.Proxies, inventory.Proxy{Host: h.Name, Slots: 10, Pooled: true})
		}
	}
	s := inventory.Settings{
		Batches: inventory.Batches{
			Parallel: 80, Attempts: 3, Timeout: time.Minute, MaxFailures: inventory.Amount{Share: true, BasisPoints: 10_000},
			Ramp: []inventory.Amount{{Share: true, BasisPoints: 500}, {Share: true, BasisPoints: 2500}, {Share: true, BasisPoints: 10_000}},
		},
	}
	if k == fromMasters {
		f.Masters[0].Slots = 80
	}
	plan, err := plans(f, s, r)
	if err != nil {
		tb.Fatal(err)
	}
	state, err := rollout.NewState(plan)
	if err != nil {
		tb.Fatal(err)
	}
	return state
}

// walk takes a run to its end, one event at a time, each so long after the one before, with a
// decision after each: the most there can be. It returns the number of events.
func walk(tb testing.TB, s *rollout.State, takes time.Duration, end func(rollout.Step) rollout.Event) int {
	now := epoch
	apply := func(e rollout.Event) {
		e.Seq, e.At, e.Run = s.Seq+1, now, "r1"
		if err := s.Apply(&e); err != nil {
			tb.Fatal(err)
		}
	}
	apply(rollout.Event{Kind: rollout.RunStarted, Plan: s.Plan})
	var flights []rollout.Step
	for {
		d := rollout.Next(s, now)
		if d.Done {
			return int(s.Seq)
		}
		for _, step := range d.Start {
			apply(rollout.Event{Kind: rollout.StepStarted, Step: step.ID, Host: step.Host, Source: step.Source, Attempt: step.Attempt})
			flights = append(flights, step)
		}
		if len(flights) == 0 {
			now = d.Wake
			continue
		}
		step := flights[0]
		flights = flights[1:]
		now = now.Add(takes)
		e := end(step)
		e.Step, e.Host, e.Source, e.Attempt = step.ID, step.Host, step.Source, step.Attempt
		apply(e)
	}
}

func goesWell(step rollout.Step) rollout.Event {
	e := rollout.Event{Kind: rollout.StepDone}
	switch step.Kind {
	case rollout.StepSync:
		e.Stats = &rollout.Stats{}
	case rollout.StepCheck:
		e.Verdict = rollout.Pass
	case rollout.StepObserve:
		e.Objects = []rollout.Object{{Key: "k" + step.Host}}
	case rollout.StepDepool, rollout.StepRepool, rollout.StepRecheck, rollout.StepRollback, rollout.StepQuarantine, rollout.StepRelease,
		rollout.StepHook, rollout.StepPost, rollout.StepOnFailure:
	}
	return e
}

// failsFirst fails every host of the fleet once, so that all of them wait for another attempt.
func failsFirst(step rollout.Step) rollout.Event {
	change := step.Kind == rollout.StepSync || step.Kind == rollout.StepRollback
	if change && step.Attempt == 1 && step.Host >= "h000020" {
		return rollout.Event{Kind: rollout.StepFailed, Class: rollout.Transient, Error: "connection reset"}
	}
	return goesWell(step)
}

// BenchmarkNext is what one event costs, with the decision that follows it: it must not grow with
// the fleet. The CPU time is what counts; it includes that of the garbage collector.
func BenchmarkNext(b *testing.B) {
	for _, how := range []struct {
		name  string
		kind  kind
		takes time.Duration
		end   func(rollout.Step) rollout.Event
	}{
		{"all goes well", throughProxies, time.Millisecond, goesWell},
		{"each fails once", throughProxies, time.Millisecond, failsFirst},
		{"all wait for another attempt at once", throughProxies, 0, failsFirst},
		{"a look every fifty events", fromMasters, 100 * time.Millisecond, goesWell},
		{"rolled back", rollBack, time.Millisecond, goesWell},
		{"rolled back, each fails once", rollBack, time.Millisecond, failsFirst},
	} {
		for _, hosts := range []int{100, 1_000, 10_000, 100_000} {
			b.Run(fmt.Sprintf("%s/%d", how.name, hosts), func(b *testing.B) {
				var events int
				var cpu time.Duration
				b.ReportAllocs()
				for b.Loop() {
					b.StopTimer()
					s := big(b, how.kind, hosts)
					runtime.GC()
					b.StartTimer()
					before := cpuTime(b)
					events += walk(b, s, how.takes, how.end)
					cpu += cpuTime(b) - before
				}
				b.ReportMetric(float64(cpu.Nanoseconds())/float64(events), "cpu-ns/event")
			})
		}
	}
}

// cpuTime returns what this process has used, in user and system mode.
func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
