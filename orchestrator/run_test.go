package orchestrator_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run, w, j := newRun(t, fleet(24), settings())
		outcome, err := run.Do(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if outcome.Result != rollout.ResultDone || outcome.Counts != (rollout.Counts{Hosts: 25, Synced: 25}) || outcome.Bytes != 25 {
			t.Errorf("outcome %+v", outcome)
		}
		w.check(t)
		first, last := j.events[0], j.events[len(j.events)-1]
		if first.Kind != rollout.RunStarted || first.Plan == nil || last.Kind != rollout.RunFinished || last.Outcome == nil {
			t.Errorf("the journal goes from %+v to %+v", first, last)
		}
		if got := j.fold(t).Outcome(); got.Result != outcome.Result || got.Counts != outcome.Counts || got.Took != outcome.Took {
			t.Errorf("the journal leads to %+v", got)
		}
	})
}

// TestAbort asks for an abort while the fleet is being synced, from transfers that take a minute.
func TestAbort(t *testing.T) {
	for _, test := range []struct {
		name   string
		levels []int
		synced bool // what was in flight is
		took   time.Duration
	}{
		{"running steps end", []int{rollout.AbortGently}, true, time.Minute + 2*time.Second},
		{"running transfers are ended", []int{rollout.AbortNow}, false, 2 * time.Second},
		{"first one, then the other", []int{rollout.AbortGently, rollout.AbortNow}, false, 12 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				run, w, _ := newRun(t, fleet(24), settings())
				events := make(chan rollout.Event)
				run.World = events
				began := make(chan struct{})
				w.do = func(ctx context.Context, step rollout.Step) *rollout.Event {
					if step.ID != "sync/h0005" {
						return nil
					}
					close(began)
					select {
					case <-time.After(time.Minute):
						return nil
					case <-ctx.Done():
						e := failed(rollout.Stopped)
						return &e
					}
				}
				var asked time.Time
				go func() {
					<-began
					asked = time.Now()
					for i, level := range test.levels {
						if i > 0 {
							<-time.After(10 * time.Second)
						}
						events <- rollout.Event{Kind: rollout.AbortAsked, Level: level, Detail: "interrupted"}
					}
				}()
				outcome, err := run.Do(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if outcome.Result != rollout.ResultAborted || outcome.Why != "interrupted" || len(outcome.Out) > 0 {
					t.Errorf("outcome %+v", outcome)
				}
				if took := time.Since(asked); took > test.took {
					t.Errorf("took %v after the first abort, at most %v", took, test.took)
				}
				w.check(t)
				if w.trees["h0005"] != test.synced || w.did("sync/h0006") != 0 {
					t.Errorf("what was in flight is synced: %v, the next was begun %d times", w.trees["h0005"], w.did("sync/h0006"))
				}
			})
		})
	}
}

// TestPanic sees that a step that panics costs no more than any that fails.
func TestPanic(t *testing.T) {
	for _, test := range []struct {
		step   rollout.StepID
		result rollout.Result
		failed int
		out    []string
	}{
		{"sync/h0007", rollout.ResultFailed, 1, nil},
		{"sync/h0003", rollout.ResultFailed, 1, nil}, // a proxy
		{"observe/h0003", rollout.ResultDone, 0, nil},
		{"depool/h0003", rollout.ResultDone, 0, nil},
		{"repool/h0003", rollout.ResultDone, 0, []string{"h0003"}},
		{"check/front-page", rollout.ResultHalted, 0, nil},
	} {
		t.Run(string(test.step), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				run, w, j := newRun(t, fleet(24), settings())
				w.do = func(_ context.Context, step rollout.Step) *rollout.Event {
					if step.ID == test.step {
						panic("at the disco")
					}
					return nil
				}
				outcome, err := run.Do(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				var out []string
				for _, o := range outcome.Out {
					out = append(out, o.Host)
				}
				if outcome.Result != test.result || outcome.Counts.Failed != test.failed || !slices.Equal(out, test.out) {
					t.Errorf("outcome %+v", outcome)
				}
				w.check(t, test.out...)
				if !slices.ContainsFunc(j.events, func(e rollout.Event) bool {
					return e.Step == test.step && e.Kind == rollout.StepFailed && e.Error == "internal: panic: at the disco" &&
						strings.Contains(e.Detail, "run_test.go")
				}) {
					t.Error("the journal does not say where the panic came from")
				}
			})
		})
	}
}

// TestCancel leaves at once: effects are ended and waited for, and nothing is put back.
func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run, w, _ := newRun(t, fleet(24), settings())
		why := errors.New("third interrupt")
		ctx, cancel := context.WithCancelCause(t.Context())
		w.do = func(_ context.Context, step rollout.Step) *rollout.Event {
			if step.ID == "sync/h0005" {
				cancel(why)
			}
			return nil
		}
		outcome, err := run.Do(ctx)
		if !errors.Is(err, why) {
			t.Errorf("the error is %v", err)
		}
		w.check(t, "h0002", "h0003", "h0004")
		if len(outcome.Out) != 3 {
			t.Errorf("outcome %+v", outcome)
		}
	})
}

// TestSourceIsLost loses a proxy while it serves: its transfers are ended and done by another one.
func TestSourceIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run, w, j := newRun(t, fleet(24), settings())
		events := make(chan rollout.Event, 1)
		run.World = events
		lost := ""
		w.do = func(ctx context.Context, step rollout.Step) *rollout.Event {
			if step.ID != "sync/h0005" || lost != "" {
				return nil
			}
			lost = step.Source
			events <- rollout.Event{Kind: rollout.SourceChanged, Host: lost}
			<-ctx.Done()
			e := failed(rollout.Stopped)
			return &e
		}
		outcome, err := run.Do(t.Context())
		if err != nil || outcome.Result != rollout.ResultDone {
			t.Errorf("outcome %+v, %v", outcome, err)
		}
		w.check(t)
		over := false
		for _, e := range j.events {
			if over = over || e.Kind == rollout.SourceChanged; over && e.Kind == rollout.StepStarted && e.Source == lost {
				t.Errorf("%s is started from %s, which is lost", e.Step, lost)
			}
		}
	})
}

// TestEventThatDoesNotBelong drops the event and ends the run as gently as an abort does: what is in
// flight ends, nothing new starts, and what is out of its pools is put back. The error says why.
func TestEventThatDoesNotBelong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run, w, j := newRun(t, fleet(24), settings())
		events := make(chan rollout.Event, 1)
		run.World = events
		w.do = func(_ context.Context, step rollout.Step) *rollout.Event {
			if step.ID == "sync/h0005" {
				events <- rollout.Event{Kind: rollout.AbortAsked, Level: 0}
				<-time.After(time.Minute)
			}
			return nil
		}
		outcome, err := run.Do(t.Context())
		if err == nil || !strings.HasPrefix(err.Error(), "internal: ") {
			t.Errorf("the error is %v", err)
		}
		if outcome.Result != rollout.ResultAborted || !strings.HasPrefix(outcome.Why, "internal: ") || len(outcome.Out) > 0 {
			t.Errorf("outcome %+v", outcome)
		}
		w.check(t)
		if !w.trees["h0005"] || w.did("sync/h0006") != 0 {
			t.Errorf("what was in flight is synced: %v, the next was begun %d times", w.trees["h0005"], w.did("sync/h0006"))
		}
		if got := j.fold(t).Finished(); got == nil || got.Result != rollout.ResultAborted {
			t.Errorf("the journal leads to %+v", got)
		}
	})
}

// TestWorldEnds closes the world in the middle of a run, which goes on.
func TestWorldEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run, w, j := newRun(t, fleet(24), settings())
		events := make(chan rollout.Event)
		run.World = events
		go func() {
			<-time.After(5 * time.Second)
			close(events)
		}()
		outcome, err := run.Do(t.Context())
		if err != nil || outcome.Result != rollout.ResultDone {
			t.Errorf("outcome %+v, %v", outcome, err)
		}
		w.check(t)
		for _, e := range j.events {
			if e.Kind == "" {
				t.Errorf("event %d is of no kind", e.Seq)
			}
		}
	})
}
