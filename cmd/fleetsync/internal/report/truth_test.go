package report_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report"
	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/reporttest"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// holds is what a host holds, as the events tell it.
type holds string

const (
	older holds = ""       // what it had before the run
	newer holds = "newer"  // the run's tree, or what a rollback puts back
	half  holds = "half"   // a sync or rollback of it did not end well
	moves holds = "moving" // one is in flight
	again holds = "again"  // what it had before the run, put back
)

// ledger is what the events say of each host, told without the state.
type ledger struct {
	plan       *rollout.Plan
	hosts      map[string]holds
	got        map[string]bool // hosts that were synced or rolled back at some time
	quarantine map[string]bool // true: out of its pools
}

func (l *ledger) observe(e rollout.Event, _ *rollout.State) {
	kind, _, _ := strings.Cut(string(e.Step), "/")
	var end holds
	switch rollout.StepKind(kind) {
	case rollout.StepSync:
		end = newer
	case rollout.StepRollback:
		if end = again; l.plan.Undoes != "" {
			end = newer
		}
	case rollout.StepQuarantine:
		if e.Kind == rollout.StepStarted && l.quarantine[e.Host] {
			return
		}
		l.quarantine[e.Host] = e.Kind == rollout.StepDone
		return
	case rollout.StepObserve, rollout.StepDepool, rollout.StepRepool, rollout.StepCheck, rollout.StepLook:
		return
	default:
		return
	}
	switch e.Kind {
	case rollout.StepStarted:
		l.hosts[e.Host] = moves
	case rollout.StepDone:
		l.hosts[e.Host] = end
		l.got[e.Host] = true
	default:
		l.hosts[e.Host] = half
	}
}

// canaries says whether all of them hold one of these.
func (l *ledger) canaries(of ...holds) bool {
	for _, h := range l.plan.Hosts {
		if h.Role == rollout.RoleCanary && !slices.Contains(of, l.hosts[h.Name]) {
			return false
		}
	}
	return true
}

// judged says whether all canaries had the tree, so that the checks could say something of it.
func (l *ledger) judged() bool {
	for _, h := range l.plan.Hosts {
		if h.Role == rollout.RoleCanary && !l.got[h.Name] {
			return false
		}
	}
	return true
}

// TestTruth holds, over runs in which anything goes wrong, that what people are told of canaries is so, that who is
// in quarantine or should be is named, in the first lines, and that whoever is counted as rolled back is.
//
// Planted faults that it saw: a gate that is taken to have judged the tree however few canaries got it; canaries that
// failed left out of what is said of them, or said to have what they had before; hosts that are mixed or in quarantine
// and not named; the rolled back counted as the synced are, or listed by another name.
func TestTruth(t *testing.T) {
	said := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		play, err := reporttest.Draw(func(sides int, label string) int { return rapid.IntRange(0, sides-1).Draw(t, label) })
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "dies") {
			play.Events = rapid.IntRange(1, 80).Draw(t, "dies at")
		}
		l := &ledger{plan: play.Plan, hosts: map[string]holds{}, got: map[string]bool{}, quarantine: map[string]bool{}}
		play.Observe = l.observe
		s, err := play.Run()
		if err != nil {
			t.Fatal(err)
		}
		var b, hosts bytes.Buffer
		r := report.RunReport{State: s, Alive: rapid.Bool().Draw(t, "alive")}
		report.Run(&b, r)
		report.RunHosts(&hosts, r)
		out := b.String()
		claim := func(text string, so bool) {
			if strings.Contains(out, text) {
				said[text]++
				if !so {
					t.Fatalf("it says %q, and that is not so: %v\n%s", text, l.hosts, out)
				}
			}
		}
		claim(": the canaries have what they had before", l.canaries(older, again))
		claim("the other canaries have what they had before", !l.canaries(newer, half, moves))
		claim("the canaries hold the bad one", l.canaries(newer))
		claim("only the canaries have it", l.canaries(newer))
		claim("then the whole fleet", l.judged())
		claim("puts back what the canaries had before", !l.canaries(older, again, half))
		for host, out := range l.quarantine {
			title := "  MIXED     "
			if out {
				title = "  kept out  "
			} else if s.Finished() == nil && r.Alive {
				title = "  mixed     "
			}
			said[title]++
			if named := title + host; !strings.Contains(b.String(), named) {
				// A run that began again has forgotten what it could not do.
				if out || play.Resumed == 0 {
					t.Fatalf("%q is not said:\n%s", named, b.String())
				}
			}
		}
		count := map[holds]int{}
		for _, h := range l.hosts {
			count[h]++
		}
		back := count[again]
		if play.Plan.Undoes != "" {
			back = count[newer]
		}
		if play.Resumed == 0 {
			if got := strings.Count(hosts.String(), "rolled back"); got != back {
				t.Fatalf("%d hosts are listed as rolled back, and %d are\n%s", got, back, hosts.String())
			}
			_, where, _ := strings.Cut(out, "\n  hosts ")
			where, _, _ = strings.Cut(where, "\n")
			if told := fmt.Sprintf(" %d rolled back", back); (back > 0) != strings.Contains(where, told) {
				t.Fatalf("%q:\n%s", told, out)
			}
		}
	})
	for text, n := range said {
		t.Logf("%5d × %s", n, text)
	}
}
