package execute_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/fleetsync/fleetsync/orchestrator/execute"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling/poolingtest"
)

// TestPutBackByReceipt: of a run that died the name and a receipt are enough to put its host back, and the receipt goes with it. In the
// name of another run nothing is put back.
//
// Seen to fail with: a receipt that stays; the marker of another run taken for the run's own.
func TestPutBackByReceipt(t *testing.T) {
	w := newBench(t)
	seen := w.done(rollout.StepObserve, "h0003", nil).Objects
	w.done(rollout.StepDepool, "h0003", seen)
	receipt := w.receipt("h0003")
	out := w.pools()
	r := &execute.Restorer{Hosts: w.executor.Hosts, Pools: w.client, Receipts: w.shared}

	e := r.PutBack(t.Context(), "r2", "h0003", receipt.Objects, false)
	if e.Kind != rollout.StepDone || !contains(e.Detail, "changed by somebody else, and left as it is") {
		t.Errorf("in the name of another run: %+v", e)
	}
	for key, value := range w.pools() {
		if value != out[key] {
			t.Errorf("%s is %s, was %s: another run put it back", key, value, out[key])
		}
	}
	if w.receipt("h0003") == nil {
		t.Error("another run dropped the receipt")
	}

	if e := r.PutBack(t.Context(), "r1", "h0003", receipt.Objects, false); e.Kind != rollout.StepDone || e.Detail != "" {
		t.Errorf("it ended with %+v", e)
	}
	w.check()
	if e := r.PutBack(t.Context(), "r1", "h0003", receipt.Objects, false); e.Kind != rollout.StepDone {
		t.Errorf("a second time: %+v", e)
	}
	w.check()
}

// TestPutBackHalf: where one object of a host can be put back and another cannot, the failure says which is not out any more.
//
// Seen to fail with: all of them; none.
func TestPutBackHalf(t *testing.T) {
	w := newBench(t)
	seen := w.done(rollout.StepObserve, "h0003", nil).Objects
	w.done(rollout.StepDepool, "h0003", seen)
	nginx, apache := keyOf("h0003", "nginx"), keyOf("h0003", "apache2")
	w.ask = func(r *http.Request) poolingtest.Fault {
		if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, nginx) {
			return poolingtest.Proxy403
		}
		return poolingtest.None
	}
	e := w.step(rollout.StepRepool, "h0003", seen)
	if e.Kind != rollout.StepFailed || len(e.Objects) != 1 || e.Objects[0].Key != apache {
		t.Errorf("it ended with %+v", e)
	}
	if w.get(apache) != w.before[poolKeys+apache] || w.get(nginx) == w.before[poolKeys+nginx] || w.receipt("h0003") == nil {
		t.Errorf("%s, %s, and the receipt %+v", w.get(apache), w.get(nginx), w.receipt("h0003"))
	}
	w.ask = nil
	w.done(rollout.StepRepool, "h0003", seen)
	w.check()
}
