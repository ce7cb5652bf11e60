package execute_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator"
	"github.com/fleetsync/fleetsync/orchestrator/execute"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/rollout/rollouttest"
	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/pooling/poolingtest"
)

// bad makes the syncs of some hosts fail for good, in place of the workbench's own.
type bad struct {
	*workbench
	hosts []string
}

func (b bad) Do(ctx context.Context, step rollout.Step) rollout.Event {
	if step.Kind == rollout.StepSync && slices.Contains(b.hosts, step.Host) {
		return rollout.Event{Kind: rollout.StepFailed, Class: rollout.Permanent, Error: "no space left"}
	}
	return b.workbench.Do(ctx, step)
}

// anew begins another run on the same pools: one that takes hosts out which cannot be synced, as those named.
func (w *workbench) anew(run string, quarantined map[string]string, hosts ...string) {
	w.t.Helper()
	s := rollouttest.Settings()
	s.Gate = inventory.Gate{}
	s.Batches.MaxFailures = inventory.Amount{Count: 9}
	p, err := rollout.NewPlan(w.executor.Hosts.Fleet, s, rollout.Request{
		Run: run, Mode: inventory.ModeSync, Pools: true, Quarantine: inventory.QuarantineAll, Quarantined: quarantined,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	p.Limits.RetryDelay = 1
	state, err := rollout.NewState(p)
	if err != nil {
		w.t.Fatal(err)
	}
	x := w.executor
	w.executor = &execute.Executor{Plan: p, Restorer: x.Restorer, Owner: x.Owner, Machine: x.Machine}
	w.run = &orchestrator.Run{State: state, Journal: &memory{}, Doer: bad{w, hosts}}
}

// quarantinedIn sees that a host is out of its pools with the receipt of a run, which says what it was.
func (w *workbench) quarantinedIn(run, host, service string) {
	w.t.Helper()
	key := keyOf(host, service)
	r := w.receipt(host)
	if r == nil || r.Run != run || r.Purpose != pooling.Quarantine {
		w.t.Fatalf("the receipt of %s is %+v", host, r)
	}
	i := slices.IndexFunc(r.Objects, func(o pooling.Object) bool { return o.Key == key })
	if i < 0 || r.Objects[i].Value != w.before[poolKeys+key] {
		w.t.Errorf("the receipt of %s says %+v, was %s", host, r.Objects, w.before[poolKeys+key])
	}
	if o := (pooling.Object{Value: w.get(key)}); !isOut(o, run) {
		w.t.Errorf("%s is %s", key, w.get(key))
	}
}

func isOut(o pooling.Object, run string) bool {
	f, err := o.Fields()
	return err == nil && f.Pooled == pooling.PooledNo && f.Marker == run
}

// TestQuarantine: a host that cannot be synced is out of its pools at the end of the run, a proxy without having been in them
// in between; recover's receipts of runs are not among theirs; the next run that syncs them puts all back, byte by byte, and
// one that cannot leaves them out.
//
// Seen to fail with: a proxy that is put back first; a receipt that says what a proxy was when it was out already, or that is
// still one for serving; a release with the marker of the run that releases; receipts that are kept; a marker beside "yes" that is
// taken for a host that is out.
func TestQuarantine(t *testing.T) {
	w := newBench(t)
	w.put(keyOf("h0008", "apache2"), `{"pooled": "yes",   "weight": 7, "x": "<&>"}`)
	w.put(keyOf("h0009", "apache2"), `{"pooled": "inactive", "weight": 7}`)
	w.put(keyOf("h0010", "apache2"), `{"pooled": "yes", "weight": 7}`)
	w.put(keyOf("h0011", "apache2"), `{"pooled": "yes", "weight": 7}`)
	w.before = w.pools()
	lost := []string{"h0002", "h0008", "h0009", "h0006"} // a proxy; in a pool; out of it; in none
	w.anew("r1", nil, lost...)
	o := w.play()
	if o.Result != rollout.ResultFailed || len(o.Out)+len(o.Mixed) > 0 || o.Counts.Failed != 4 {
		t.Errorf("the outcome is %+v", o)
	}
	wantNamed := func(hosts ...string) {
		t.Helper()
		var names []string
		for _, n := range o.Quarantined {
			names = append(names, n.Host)
		}
		if !slices.Equal(names, hosts) {
			t.Errorf("%+v are in quarantine, want %v", o.Quarantined, hosts)
		}
	}
	wantNamed("h0002", "h0008")
	w.quarantinedIn("r1", "h0002", "apache2")
	w.quarantinedIn("r1", "h0002", "nginx")
	w.quarantinedIn("r1", "h0008", "apache2")
	w.check(keyOf("h0002", "apache2"), keyOf("h0002", "nginx"), keyOf("h0008", "apache2"), "h0002", "h0008")
	puts := 0
	for _, line := range w.writes {
		if line == "PUT "+poolKeys+keyOf("h0002", "apache2") {
			puts++
		}
	}
	if puts != 1 {
		t.Errorf("the proxy was written %d times: it was put back in between", puts)
	}

	w.anew("r2", map[string]string{"h0002": "r1", "h0008": "r1"}, "h0008")
	o = w.play()
	wantNamed("h0008")
	if o.Result != rollout.ResultFailed || w.sources["h0002"] {
		t.Errorf("the outcome is %+v; a proxy in quarantine served: %v", o, w.sources["h0002"])
	}
	w.quarantinedIn("r1", "h0008", "apache2")
	w.check(keyOf("h0008", "apache2"), "h0008")

	// Somebody puts it back, and it still has no good tree: that there is a receipt proves nothing.
	w.put(keyOf("h0008", "apache2"), `{"pooled": "yes", "weight": 7, "x": "<&>"}`)
	w.before = w.pools()
	w.anew("r2b", map[string]string{"h0008": "r1"}, "h0008")
	o = w.play()
	wantNamed("h0008")
	if out := (pooling.Object{Value: w.get(keyOf("h0008", "apache2"))}); !isOut(out, "r2b") {
		t.Errorf("it serves: %s", out.Value)
	}

	// Somebody says "yes" and leaves our marker in place: it is in its pool, and nobody may say otherwise.
	out := w.get(keyOf("h0008", "apache2"))
	w.put(keyOf("h0008", "apache2"), strings.Replace(out, `"no"`, `"yes"`, 1))
	w.anew("r2c", nil, "h0008")
	o = w.play()
	wantNamed()
	if len(o.Mixed) != 1 || !strings.Contains(o.Mixed[0].Detail, "is held by run r2b") {
		t.Errorf("the outcome is %+v", o)
	}
	w.put(keyOf("h0008", "apache2"), out)

	w.sick["h0008"] = 500
	w.anew("r3", map[string]string{"h0008": "r1"})
	o = w.play()
	wantNamed("h0008")
	if o.Result != rollout.ResultFailed || o.Counts.Synced != o.Counts.Hosts {
		t.Errorf("the outcome is %+v", o)
	}
	w.sick["h0008"] = 0
	w.anew("r4", map[string]string{"h0008": "r1"})
	if o = w.play(); o.Result != rollout.ResultDone || len(o.Quarantined) > 0 {
		t.Errorf("the outcome is %+v", o)
	}
	w.check()
}

// TestQuarantineFails: what cannot be taken out leaves no receipt behind that says it is, and a proxy that served is put back.
//
// Seen to fail with: receipts that stay.
func TestQuarantineFails(t *testing.T) {
	w := newBench(t)
	w.put(keyOf("h0008", "apache2"), `{"pooled": "yes", "weight": 7}`)
	w.before = w.pools()
	w.executor.Threshold.Default = 10_000
	if e := w.step(rollout.StepQuarantine, "h0008", nil); e.Class != rollout.Capacity {
		t.Errorf("it ended with %+v", e)
	}
	w.check()

	w.executor.Threshold.Default = 0
	seen := w.done(rollout.StepObserve, "h0002", nil).Objects
	w.done(rollout.StepDepool, "h0002", seen)
	reads := 0
	w.ask = func(r *http.Request) poolingtest.Fault { // the pools go away once they are read; the store does not
		if strings.HasPrefix(r.URL.Path, "/v2/keys"+strings.TrimSuffix(poolKeys, "/")) {
			if reads++; reads > 1 {
				return poolingtest.Proxy403
			}
		}
		return poolingtest.None
	}
	if e := w.step(rollout.StepQuarantine, "h0002", seen); e.Kind == rollout.StepDone {
		t.Errorf("it ended with %+v", e)
	}
	w.ask = nil
	if r := w.receipt("h0002"); r == nil || r.Purpose != pooling.Serving {
		t.Errorf("its receipt is %+v", r)
	}
	w.done(rollout.StepRepool, "h0002", seen)
	w.check()
}
