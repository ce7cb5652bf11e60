package orchestrator_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// scenario is a run whose end does not depend on where it dies.
type scenario struct {
	name string
	do   func(ctx context.Context, step rollout.Step) *rollout.Event
	want rollout.Result
	race bool // its counts depend on what was in flight when it was halted
}

var scenarios = []scenario{
	{name: "all goes well", want: rollout.ResultDone},
	{name: "some fail", want: rollout.ResultFailed, do: func(_ context.Context, step rollout.Step) *rollout.Event {
		e := failed(rollout.Transient)
		switch {
		case step.ID == "sync/h0006" || step.ID == "sync/h0004":
			return &e // never
		case step.Attempt == 1 && (step.ID == "sync/h0007" || step.ID == "depool/h0002" || step.ID == "repool/h0003"):
			return &e
		default:
			return nil
		}
	}},
	{name: "the gate fails", want: rollout.ResultHalted, do: func(_ context.Context, step rollout.Step) *rollout.Event {
		if step.Kind == rollout.StepCheck {
			return &rollout.Event{Kind: rollout.StepDone, Verdict: rollout.Fail}
		}
		return nil
	}},
	{name: "the budget is exceeded", want: rollout.ResultHalted, race: true, do: func(_ context.Context, step rollout.Step) *rollout.Event {
		if step.Kind == rollout.StepSync && step.Host >= "h0005" {
			e := failed(rollout.Permanent)
			return &e
		}
		return nil
	}},
}

func small() (*inventory.Fleet, inventory.Settings) {
	s := settings()
	s.Batches.Parallel, s.Batches.MaxFailures = 4, inventory.Amount{Count: 3}
	return fleet(12), s
}

// start begins a run of a scenario, or goes on with one that has died, on the same world.
func (sc scenario) start(t *testing.T, w *world, j *memory) (rollout.Outcome, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if j.dieAt > 0 && j.kill != nil {
		j.kill = cancel
	}
	w.do = sc.do
	f, s := small()
	p := plan(t, f, s)
	p.Tree = &rollout.Tree{Digest: "d"} // so that the origin is looked at, and canaries can be rolled back
	for i, h := range p.Hosts {
		p.Hosts[i].Keep = h.Role == rollout.RoleCanary
	}
	state, err := rollout.NewState(p)
	if len(j.events) > 0 {
		state = j.fold(t)
	}
	if err != nil {
		t.Fatal(err)
	}
	return (&orchestrator.Run{State: state, Journal: j, Doer: w}).Do(ctx)
}

// TestCrashAtEveryAppend lets the loop die at each append to the journal in turn, with none, some
// or all of it durable, and some of what was in flight done; and again, at each of the first
// appends after it went on, or another of them each time, unless -exhaust is given. It must come to the
// same end as if it had not died.
//
// Planted, one at a time, and seen to fail here: effects that begin before the append; step_started
// not written; run_started in place of run_resumed; end events without their attempt; Do returning
// with effects in flight; and in the fold of run_resumed: receipts forgotten, what is held forgotten,
// flights kept, synced hosts synced again. In TestFullJournal: a broken journal that goes on syncing,
// that leaves the pools, that is written again, that returns no error, or whose events are folded
// twice. In run_test.go: a stop that is ignored, a world that is not heard, a panic that is not
// caught, effects that are waited out and not ended.
func TestCrashAtEveryAppend(t *testing.T) {
	t.Parallel()
	for _, sc := range scenarios {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			var want rollout.Outcome
			appends := 0
			synctest.Test(t, func(t *testing.T) {
				w, j := sc.world()
				var err error
				if want, err = sc.start(t, w, j); err != nil || want.Result != sc.want {
					t.Fatalf("undisturbed: %+v, %v", want, err)
				}
				w.check(t)
				appends = j.appends
			})
			crashes := 0
			for dieAt := 1; dieAt <= appends; dieAt++ {
				for durable := range 3 {
					for again := range 4 {
						if !*exhaust && again != (dieAt+durable)%4 {
							continue
						}
						crashes++
						synctest.Test(t, func(t *testing.T) { sc.crash(t, dieAt, durable, again, want) })
					}
				}
			}
			t.Logf("%d appends, %d runs that died", appends, crashes)
		})
	}
}

func (sc scenario) world() (*world, *memory) {
	f, _ := small()
	j := &memory{}
	return newWorld(f, j), j
}

func (sc scenario) crash(t *testing.T, dieAt, durable, again int, want rollout.Outcome) {
	what := fmt.Sprintf("dies at append %d with %d events durable, again %d later", dieAt, durable, again)
	w, j := sc.world()
	for i, at := range []int{dieAt, again} {
		if at == 0 {
			continue
		}
		w.salt = dieAt*100 + i
		j.appends, j.dieAt, j.durable, j.kill = 0, at, durable, func() {}
		if _, err := sc.start(t, w, j); (err == nil) != (j.appends < at) {
			t.Fatalf("%s: after %d appends its error is %v", what, j.appends, err)
		}
		if n := len(j.events); n > 0 && j.events[n-1].Kind == rollout.RunFinished {
			break
		}
		<-time.After(time.Minute)
	}
	j.dieAt = 0
	var got rollout.Outcome
	if n := len(j.events); n > 0 && j.events[n-1].Kind == rollout.RunFinished {
		got = *j.fold(t).Finished() // its end was durable before it died
	} else {
		var err error
		if got, err = sc.start(t, w, j); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	if got.Result != want.Result || got.Counts != want.Counts && !sc.race || len(got.Out) > 0 {
		t.Errorf("%s: comes to %+v, should come to %+v", what, got, want)
	}
	w.check(t)
	done := map[rollout.StepID]bool{}
	for i, e := range j.events {
		switch {
		case e.Seq != int64(i+1):
			t.Fatalf("%s: event %d is the journal's %dth", what, e.Seq, i+1)
		case e.Kind == rollout.StepDone && e.Stats != nil:
			done[e.Step] = true
		case e.Kind == rollout.StepStarted && done[e.Step]:
			t.Errorf("%s: %s is started after it was done", what, e.Step)
		}
	}
	for _, h := range j.fold(t).Report() {
		if h.Standing == rollout.Synced && !w.trees[h.Host] {
			t.Errorf("%s: %s is said to be synced, and is not", what, h.Host)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// TestFullJournal fails an append without any other harm, each in turn: nothing new starts, and what
// is out is put back.
func TestFullJournal(t *testing.T) {
	for _, sc := range scenarios {
		t.Run(sc.name, func(t *testing.T) {
			for dieAt := 1; ; dieAt++ {
				over := false
				synctest.Test(t, func(t *testing.T) {
					w, j := sc.world()
					j.dieAt = dieAt
					began := map[rollout.StepID]bool{}
					outcome, err := sc.start(t, w, j)
					if over = j.appends < dieAt; over {
						return
					}
					if !errors.Is(err, errDied) {
						t.Errorf("append %d fails: the error is %v", dieAt, err)
					}
					w.check(t)
					if len(outcome.Out) > 0 {
						t.Errorf("append %d fails: outcome %+v", dieAt, outcome)
					}
					if j.appends > dieAt {
						t.Errorf("append %d fails, and there are %d", dieAt, j.appends)
					}
					for _, e := range j.events {
						if e.Kind == rollout.StepStarted {
							began[e.Step] = true
						}
					}
					for _, id := range w.log {
						if !began[rollout.StepID(id)] && id[:7] != "repool/" {
							t.Errorf("append %d fails, and %s begins", dieAt, id)
						}
					}
				})
				if over {
					break
				}
			}
		})
	}
}
