package live

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/rollout/rollouttest"
)

// TestBooks holds, over runs in which anything goes wrong, which are aborted, and which die and are resumed, that
// the counters that people see are where the run is: the books are kept from the events, and the state from which
// they are checked keeps its own.
//
// Planted faults that it saw: a canary that is rolled back and stays counted as synced, in all or in its stage, also if
// it was synced before the run was resumed; one that could not be synced and stays counted as failed; rollbacks that
// stay in flight, are not counted, or are forgotten when the run is resumed; a host that counts as synced before its post hooks
// are done, or in its hooks although it is rolled back; hooks that are forgotten when the run is resumed, or taken for those of a
// host that is synced; a host whose hooks failed and that does not count as failed; hooks that stay in flight.
func TestBooks(t *testing.T) {
	undone, again, hooked := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		play, err := rollouttest.Draw(func(sides int, label string) int { return rapid.IntRange(0, sides-1).Draw(t, label) })
		if err != nil {
			t.Fatal(err)
		}
		s, resumed, level := newStory(play.Plan), 0, 0
		play.Observe = each(func(e rollout.Event, state view) {
			if e.Kind == rollout.RunResumed { // by another process, which has seen nothing of the first
				resumed++
				again++
				s, level = newStory(play.Plan), 0
			}
			switch e.Kind {
			case rollout.AbortAsked:
				level = max(level, e.Level)
			case rollout.LockLost:
				level = rollout.AbortNow
			default:
			}
			s.observe(e, state)
			s.told = s.told[:0]
			if e.Seq != state.Seq {
				return
			}
			synced, back, flights, undos, failed, posts, laments := 0, 0, 0, 0, 0, 0, 0
			for h := range state.Hosts.All() {
				switch h.Standing {
				case rollout.Synced, rollout.Partial:
					synced++
				case rollout.RolledBack:
					back++
				case rollout.Syncing, rollout.InHooks:
					flights++
				case rollout.Failed:
					failed++
				case rollout.Untouched, rollout.Waiting, rollout.Down, rollout.Unknowable:
				}
			}
			for _, r := range state.Running {
				if r.Step == rollout.StepID(string(rollout.StepRollback)+"/"+r.Host) {
					undos++
				}
				switch kind, _, _ := strings.Cut(string(r.Step), "/"); rollout.StepKind(kind) {
				case rollout.StepPost:
					posts++
				case rollout.StepOnFailure:
					laments++
				default:
				}
			}
			ending := len(s.hooks.ending)
			if level >= rollout.AbortNow {
				ending = 0 // which the run counts as failed
			}
			if s.synced != synced || len(s.flights)+ending != flights || s.undoing != undos {
				t.Fatalf("after event %d (%s %s): %d synced, %d in flight, %d of them rollbacks, and %d in their hooks; the run has %d, %d, %d",
					e.Seq, e.Kind, e.Step, s.synced, len(s.flights), s.undoing, ending, synced, flights, undos)
			}
			if s.hooks.flights[rollout.StepPost] != posts || s.hooks.flights[rollout.StepOnFailure] != laments || posts > len(s.hooks.ending) {
				t.Fatalf("after event %d (%s %s): hooks of hosts in flight: %v, of %d; the run has %d and %d",
					e.Seq, e.Kind, e.Step, s.hooks.flights, len(s.hooks.ending), posts, laments)
			}
			hooked += posts + laments
			// A canary that was rolled back, and is to be synced again, counts again once the run has ended without that.
			if len(s.undone) > back || len(s.undone) < back && (resumed == 0 || play.Plan.Undoes != "") {
				t.Fatalf("after event %d (%s %s): %d rolled back; the run has %d", e.Seq, e.Kind, e.Step, len(s.undone), back)
			}
			for _, c := range s.stages {
				failed -= c.failed // what was stopped has failed too, in the end
			}
			if failed < 0 || failed > 0 && state.Stopping == "" && state.Standing == rollout.RunOngoing {
				t.Fatalf("after event %d (%s %s): %d more have failed than in the run", e.Seq, e.Kind, e.Step, -failed)
			}
			for i, c := range s.stages {
				if c.done < 0 || c.failed < 0 || c.done+c.failed > c.total {
					t.Fatalf("after event %d (%s %s): stage %d: %+v", e.Seq, e.Kind, e.Step, i, c)
				}
			}
			undone += back
		})
		if _, err := play.Run(); err != nil {
			t.Fatal(err)
		}
	})
	if undone == 0 || again == 0 || hooked == 0 {
		t.Errorf("%d rolled back, %d resumed, %d hooks: nothing was tried", undone, again, hooked)
	}
}

// TestHooksResumed holds that a host whose post hooks had failed before the run died, and fail for good after it was resumed, is
// told to have failed: the process that shows it has seen only the last of that.
//
// Planted faults that it saw: failures counted by the process alone.
func TestHooksResumed(t *testing.T) {
	plan, err := rollouttest.Hooked()
	if err != nil {
		t.Fatal(err)
	}
	const host = "mw1017.eqiad.wmnet"
	s, failures := newStory(plan), 0
	play := rollouttest.Play{
		Plan:    plan,
		Resumed: 11, // the hooks have failed once
		Do: func(step rollout.Step) (time.Duration, *rollout.Event) {
			if step.Kind == rollout.StepPost && step.Host == host {
				return 0, rollouttest.Fail(rollout.Transient, "ssh: connection refused")
			}
			return 0, nil
		},
		Observe: each(func(e rollout.Event, state view) {
			if e.Kind == rollout.RunResumed {
				if failures == 0 {
					t.Fatalf("resumed at event %d, before anything failed", e.Seq)
				}
				s = newStory(plan)
			}
			s.told = nil
			s.observe(e, state)
			if e.Step != "post/"+host || e.Kind != rollout.StepFailed {
				return
			}
			failures++
			want := "will be tried again"
			if failures == plan.Limits.Attempts {
				want = "not tried again"
			}
			if len(s.told) == 0 || !strings.Contains(s.told[0].text, want) {
				t.Errorf("failure %d: %v is told, and it is %s", failures, s.told, want)
			}
		}),
	}
	if _, err := play.Run(); err != nil {
		t.Fatal(err)
	}
	if failures != plan.Limits.Attempts || len(s.hooks.ending) > 0 {
		t.Errorf("%d failures, %v in their hooks", failures, s.hooks.ending)
	}
}
