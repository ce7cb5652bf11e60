package report_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/rollout/rollouttest"
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
	hooked     map[string]holds
	served     map[string]bool // proxies of which something is out of its pools to serve
}

// newLedger returns the ledger of a run that has not begun.
func newLedger(p *rollout.Plan) *ledger {
	l := &ledger{plan: p, hosts: map[string]holds{}, got: map[string]bool{}, quarantine: map[string]bool{}, hooked: map[string]holds{},
		served: map[string]bool{}}
	for _, h := range p.Hosts {
		if h.Quarantined != "" {
			l.quarantine[h.Name] = true
		}
	}
	return l
}

// named returns the hosts that are named in the lines which begin with a title.
func named(out, title string) map[string]bool {
	hosts := map[string]bool{}
	for line := range strings.Lines(out) {
		if said, ok := strings.CutPrefix(line, title); ok {
			said, _, _ = strings.Cut(said, ": ")
			said, _, _ = strings.Cut(said, " ")
			for _, name := range unfold(said) {
				hosts[name] = true
			}
		}
	}
	return hosts
}

// unfold returns the names of mw[1017-1018,1020].eqiad.wmnet,tin.eqiad.wmnet.
func unfold(s string) []string {
	var names []string
	for s != "" {
		end := 0
		for depth := 0; end < len(s) && (s[end] != ',' || depth > 0); end++ {
			depth += strings.Count(s[end:end+1], "[") - strings.Count(s[end:end+1], "]")
		}
		word := s[:end]
		s = strings.TrimPrefix(s[end:], ",")
		before, rest, folded := strings.Cut(word, "[")
		if !folded {
			names = append(names, word)
			continue
		}
		ranges, after, _ := strings.Cut(rest, "]")
		for _, r := range strings.Split(ranges, ",") {
			var from, to int
			if n, _ := fmt.Sscanf(r, "%d-%d", &from, &to); n == 1 {
				to = from
			}
			for i := from; i <= to; i++ {
				names = append(names, fmt.Sprintf("%s%d%s", before, i, after))
			}
		}
	}
	return names
}

func (l *ledger) observe(e rollout.Event) {
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
		if e.Kind == rollout.StepDone && len(e.Objects) > 0 {
			delete(l.served, e.Host) // what it is out for is another purpose from now on
		}
		switch {
		case e.Kind == rollout.StepStarted && l.quarantine[e.Host]:
		case e.Kind == rollout.StepDone && len(e.Objects) == 0:
			delete(l.quarantine, e.Host) // it is in no pool
		default:
			l.quarantine[e.Host] = e.Kind == rollout.StepDone
		}
		return
	case rollout.StepRelease:
		if e.Kind == rollout.StepDone {
			delete(l.quarantine, e.Host)
		}
		return
	case rollout.StepPost:
		switch {
		case e.Kind == rollout.StepDone:
			l.hooked[e.Host] = newer
		case e.Kind == rollout.StepFailed && e.Class != rollout.Stopped:
			l.hooked[e.Host] = half
		}
		return
	case rollout.StepDepool:
		if len(e.Objects) > 0 {
			l.served[e.Host] = true
		}
		return
	case rollout.StepRepool:
		if e.Kind == rollout.StepDone {
			delete(l.served, e.Host)
		}
		return
	case rollout.StepObserve, rollout.StepCheck, rollout.StepRecheck:
		return
	default:
		return
	}
	switch e.Kind {
	case rollout.StepStarted:
		l.hosts[e.Host] = moves
		delete(l.hooked, e.Host)
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
// in quarantine or should be is named, in the first lines, and nobody else, that whoever was down is named, that those whose
// hooks failed have the tree, and that whoever is counted as rolled back is.
//
// Planted faults that it saw: a gate that is taken to have judged the tree however few canaries got it; canaries that
// failed left out of what is said of them, or said to have what they had before; hosts that are mixed or in quarantine
// and not named; the rolled back counted as the synced are, or listed by another name; whoever
// was down said to have a mixed tree, or not named; hosts in flight said to have the tree because their hooks failed before, and
// those whose hooks failed said not to have it; every quarantine said to have outlived a good sync; no tree touched, whatever
// happened; no more than one line for those in quarantine; each that is held called out of its pools.
func TestTruth(t *testing.T) {
	said := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		play, err := rollouttest.Draw(func(sides int, label string) int { return rapid.IntRange(0, sides-1).Draw(t, label) })
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "dies") {
			play.Events = rapid.IntRange(1, 80).Draw(t, "dies at")
		}
		l := newLedger(play.Plan)
		play.Observe = func(turn []rollout.Event, _ *rollout.Snapshot) {
			for _, e := range turn {
				l.observe(e)
			}
		}
		s, err := play.Run()
		if err != nil {
			t.Fatal(err)
		}
		down := map[string]string{}
		for _, h := range play.Plan.Hosts {
			if h.Down != "" {
				down[h.Name] = h.Down
			}
		}
		var b, hosts bytes.Buffer
		r := report.RunReport{Now: s.Snapshot()}
		if rapid.Bool().Draw(t, "dead") {
			r.Now = r.Now.Died()
		}
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
		held := map[string]bool{}
		for _, host := range s.Held() {
			held[host] = true
		}
		for host, isOut := range l.quarantine {
			title := "  MIXED     "
			switch {
			case isOut:
				title = "  kept out  "
			case held[host]: // it served, and is out for that
				continue
			case down[host] != "":
				title = "  OLD       "
			}
			if !isOut && r.Now.Standing == rollout.RunOngoing {
				title = strings.ToLower(title)
			}
			said[title]++
			// A run that began again has forgotten what it could not do.
			if !named(out, title)[host] && (isOut || play.Resumed == 0) {
				t.Fatalf("%q is not said of %s:\n%s", title, host, out)
			}
		}
		for host := range named(out, "  kept out  ") {
			if !l.quarantine[host] {
				t.Fatalf("%s is said to be in quarantine, and is not:\n%s", host, out)
			}
		}
		for line := range strings.Lines(out) { // who is called out to serve is, and nobody else
			if hosts, ok := strings.CutSuffix(line, " (out of their pools; put back at the end)\n"); ok {
				said["held"]++
				is := unfold(strings.TrimPrefix(hosts, "  held      "))
				slices.Sort(is)
				if !slices.Equal(is, slices.Sorted(maps.Keys(l.served))) {
					t.Fatalf("%v are said to be out of their pools, and %v are:\n%s", is, l.served, out)
				}
			}
		}
		if r.Now.Standing == rollout.RunOngoing && len(l.served) > 0 && !strings.Contains(out, " (out of their pools; ") {
			t.Fatalf("nobody says that %v are out of their pools:\n%s", l.served, out)
		}
		for host := range down {
			if !named(out, "  down      ")[host] {
				t.Fatalf("nobody says that %s was down:\n%s", host, out)
			}
		}
		finished := s.Finished()
		claim("no tree was touched", !slices.ContainsFunc(slices.Collect(maps.Values(l.hosts)), func(h holds) bool { return h != older }))
		claim("done: ", finished != nil && len(down)+len(s.Outcome().Quarantined) == 0)
		claim(" FAILED", finished != nil)
		claim("its post hooks FAILED", finished != nil && finished.Counts.Failed+finished.Counts.Down == 0)
		claim("STILL IN QUARANTINE", slices.ContainsFunc(slices.Collect(maps.Keys(l.quarantine)),
			func(host string) bool { return l.quarantine[host] && l.hosts[host] == newer }))
		has := 0 // the tree, and not what follows
		for _, h := range play.Plan.Hosts {
			if h.Post && l.hosts[h.Name] == newer && l.hooked[h.Name] != newer {
				has++
			}
		}
		for _, says := range []string{"failed after their sync (they have the tree)", "in their post hooks",
			"without their post hooks (they have the tree)"} {
			claim(says, has > 0)
			if before, _, ok := strings.Cut(out, " "+says); ok {
				n, err := strconv.Atoi(before[strings.LastIndex(before, " ")+1:])
				if has -= n; err != nil || has < 0 {
					t.Fatalf("%d %s: %d too many (%v)\n%s", n, says, -has, err, out)
				}
			}
		}
		claim("whoever was down", len(down) > 0)
		claim("failed or was down", len(down) > 0)
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
