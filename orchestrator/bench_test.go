package orchestrator_test

import (
	"context"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"syscall"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator"
	"github.com/fleetsync/fleetsync/orchestrator/journal"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// atOnce is a Doer whose every step ends well as soon as it has begun.
type atOnce struct{}

func (atOnce) Do(_ context.Context, step rollout.Step) rollout.Event {
	e := rollout.Event{Kind: rollout.StepDone}
	switch step.Kind {
	case rollout.StepSync:
		e.Stats = &rollout.Stats{Files: 5000, Transferred: 12, Bytes: 123_456, Size: 1 << 30}
	case rollout.StepCheck:
		e.Verdict = rollout.Pass
	case rollout.StepObserve:
		e.Objects = []rollout.Object{{Key: "eqiad/appserver/apache2/" + step.Host, Value: `{"weight": 10, "pooled": "yes"}`, Index: 7}}
	case rollout.StepDepool, rollout.StepRepool, rollout.StepRecheck, rollout.StepRollback, rollout.StepQuarantine, rollout.StepRelease,
		rollout.StepHook, rollout.StepPost, rollout.StepOnFailure:
	}
	return e
}

// BenchmarkRun10000Hosts is all that a run of ten thousand hosts costs this machine, but for its
// transfers: planning, deciding, and a journal that is durable at every turn. The goal is 10 s of CPU
// and 200 MB.
func BenchmarkRun10000Hosts(b *testing.B) {
	const hosts = 10_000
	f := fleet(hosts)
	for i := range f.Proxies {
		f.Proxies[i].Slots = 20
	}
	s := settings()
	s.Gate.Soak = 0
	var cpu time.Duration
	var most, turns uint64
	for b.Loop() {
		runtime.GC()
		before := used(b)
		n, peak := runOnce(b, f, s)
		cpu += used(b) - before
		turns += n
		most = max(most, peak)
	}
	perHost := float64(hosts) * float64(b.N)
	b.ReportMetric(float64(cpu.Nanoseconds())/perHost, "cpu-ns/host")
	b.ReportMetric(cpu.Seconds()/float64(b.N), "cpu-s/run")
	b.ReportMetric(float64(turns)/float64(b.N), "fsyncs/run")
	b.ReportMetric(float64(most)/(1<<20), "peak-heap-MB")
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(u.Maxrss)/1024, "max-rss-MB") // getrusage(2): in kilobytes
}

func runOnce(b *testing.B, f *inventory.Fleet, s inventory.Settings) (fsyncs, peak uint64) {
	p, err := rollout.NewPlan(f, s, rollout.Request{Tree: &rollout.Tree{Digest: "d"}, Run: "r1", Mode: inventory.ModeSync, Pools: true})
	if err != nil {
		b.Fatal(err)
	}
	state, err := rollout.NewState(p)
	if err != nil {
		b.Fatal(err)
	}
	j, err := journal.Create(filepath.Join(b.TempDir(), "journal"))
	if err != nil {
		b.Fatal(err)
	}
	watched := &watched{Journal: j}
	outcome, err := (&orchestrator.Run{State: state, Journal: watched, Doer: atOnce{}}).Do(b.Context())
	if err != nil || outcome.Result != rollout.ResultDone || outcome.Counts.Synced != len(f.Hosts)-1 {
		b.Fatalf("outcome %+v, %v", outcome, err)
	}
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
	return watched.appends, watched.peak
}

// watched looks at the heap at every hundredth append.
type watched struct {
	orchestrator.Journal
	appends, peak uint64
}

func (w *watched) Append(events []rollout.Event) error {
	if w.appends++; w.appends%100 == 1 {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(sample)
		w.peak = max(w.peak, sample[0].Value.Uint64())
	}
	return w.Journal.Append(events)
}

func used(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
