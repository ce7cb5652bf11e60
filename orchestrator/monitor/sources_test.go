package monitor_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetsync/fleetsync/orchestrator/monitor"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// TestSources: who serves is asked, nobody else; who falls silent is told of once, after its time and not much later, though
// another one hangs; who has never answered from here is never told of; who is back before its time is not either.
//
// Seen to fail with: sources that no longer serve asked on; one that never answered told of; one that answered only before it served
// forgotten; one failure that is enough; no
// end of a question that hangs; a source told of again and again; who serves kept over a resume.
func TestSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		dead, asked := map[string]bool{}, map[string]int{}
		set := func(name string, is bool) { mu.Lock(); dead[name] = is; mu.Unlock() }
		world := make(chan rollout.Event, 100)
		p := &monitor.Sources{World: world, Names: []string{"early", "never"}, Probe: func(ctx context.Context, name string) error {
			mu.Lock()
			asked[name]++
			is := dead[name]
			mu.Unlock()
			if is && strings.HasPrefix(name, "hangs") {
				<-ctx.Done()
				return ctx.Err()
			}
			if is {
				return errors.New("connection refused")
			}
			return nil
		}}
		ctx, cancel := context.WithCancel(t.Context())
		var watching sync.WaitGroup
		watching.Go(func() { p.Watch(ctx) })
		pass := func(d time.Duration) { <-time.After(d) } // in the bubble's own time
		told := func() []string {
			var names []string
			for {
				select {
				case e := <-world:
					if e.Kind != rollout.SourceSilent || e.Error == "" {
						t.Errorf("told of %+v", e)
					}
					names = append(names, e.Host)
				default:
					slices.Sort(names)
					return names
				}
			}
		}
		want := func(what string, names ...string) {
			t.Helper()
			if got := told(); !slices.Equal(got, names) {
				t.Errorf("%s: told of %v, want %v", what, got, names)
			}
		}
		serve := func(kind rollout.EventKind, source string) {
			p.Observe([]rollout.Event{{Kind: kind, Step: "sync/x", Host: "x", Source: source}}, nil)
		}
		set("never", true)
		for _, name := range []string{"well", "refuses", "hangs", "hangs-too", "never", "blinks", "ends", "ends"} {
			serve(rollout.StepStarted, name)
		}
		serve(rollout.StepFailed, "ends")
		pass(time.Minute)
		want("all well but one that never answers")
		serve(rollout.StepDone, "ends")

		for _, name := range []string{"refuses", "hangs", "hangs-too", "blinks", "ends"} {
			set(name, true)
		}
		pass(monitor.DefaultSilent - 3*time.Second)
		set("blinks", false)
		want("before the time")
		pass(9 * time.Second)
		want("after it", "hangs", "hangs-too", "refuses")
		// It answered when the run began, and is gone before it serves anybody.
		set("early", true)
		pass(time.Minute)
		want("nobody needs it")
		serve(rollout.StepStarted, "early")
		pass(time.Second)
		want("needed, and at once silent")
		pass(monitor.DefaultSilent + 5*time.Second)
		want("needed", "early")
		pass(time.Minute)
		want("a minute later")

		serve(rollout.RunResumed, "")
		mu.Lock()
		before := asked["well"]
		mu.Unlock()
		pass(time.Minute)
		mu.Lock()
		if asked["well"] > before+1 {
			t.Errorf("who serves nobody since the run was resumed was asked %d times in a minute", asked["well"]-before)
		}
		mu.Unlock()
		cancel()
		watching.Wait()
	})
}
