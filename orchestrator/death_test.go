package orchestrator_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

var (
	deaths  = flag.Int("deaths", forLong(20, 40), "how many simulated runs die several times")
	exhaust = flag.Bool("exhaust", false, "bring a run to its end in each way after each death, not in one; crash in each way at each append")
)

// forLong is how often something is tried that finds, each time, what the seed leads to: more often
// where the time is not short, which the environment says.
func forLong(short, long int) int {
	if os.Getenv("FLEETSYNC_LONG") == "" {
		return short
	}
	return long
}

// deathCase is what kind of run dies: whose hosts fail for good, and who was in quarantine before.
type deathCase struct {
	name       string
	limit      int // threshold, in basis points
	quarantine bool
	prior      []string // hosts that run r0 took into quarantine
	bad        []string // hosts that cannot be synced; those that are in pools are to be taken into quarantine
}

// deathCases are runs whose threshold lets both proxies out, or one of them; and such as take hosts into quarantine, a proxy that
// was to serve
// and a host that was not, beside what serves or only after, and put hosts back that have a good tree again, or some of them.
var deathCases = []deathCase{
	{name: "both serve", limit: 6000},
	{name: "one serves", limit: 8000},
	{name: "quarantine", limit: 5000, quarantine: true, bad: []string{"p2", "h1"}},
	{name: "quarantine later", limit: 6000, quarantine: true, bad: []string{"p2", "h1"}},
	{name: "quarantine of one", limit: 8000, quarantine: true, bad: []string{"h1", "h2"}},
	{name: "release", limit: 5000, quarantine: true, prior: []string{"p2", "h1"}},
	{name: "release of one", limit: 5000, quarantine: true, prior: []string{"p2", "h1"}, bad: []string{"h1", "h3"}},
	{name: "release and quarantine", limit: 5000, quarantine: true, prior: []string{"h1"}, bad: []string{"p1"}},
}

// ends are the ways in which a run that died can be brought to its end.
var ends = [][]command{{resume}, {recoverHere}, {recoverElsewhere}, {recoverElsewhere, resume}, {recoverElsewhere, recoverHere},
	{recoverHere, resume}}

// TestDeathBetweenEffects lets runs die before, after and amid each of their effects in turn: each append
// to the journal, each write of a pool object, of a receipt and of the lock; and lets such a write of a
// pool object come late, when the next process has ended. The run is brought to its end
// in each way that there is, and then all objects are byte for byte what they were, and no marker, receipt
// or lock is left, but of hosts that have no good tree: those are out with a receipt that says so, or as they were with none, and are
// named as what they are; at no moment was a pool below its threshold, or an object out without a receipt in the
// store. A run that is resumed ends as one that did not die. After every death another of the ways is tried, and but with the first of
// the cases each effect is died at in one manner, another for each; with -exhaust all are.
//
// Planted, one at a time, and seen to fail here or in TestDeathAgain: a depool without a receipt in the
// store; a receipt of our own marker; one dropped before its host is back, or never; what is only observed
// not finalized; a recover that does the rest of the run; a resume that forgets what is held, or that takes
// for out what the other master has put back; a depool that comes late, after recover has looked. Of
// quarantines: none of these receipts, one for serving, or of what is held; a release that drops the receipt first, or looks for the
// marker of its own run; a recover that says nothing of how a quarantine or a release has ended, that puts back who is in one, or
// that leaves
// the receipts of such as are over.
func TestDeathBetweenEffects(t *testing.T) {
	t.Parallel()
	for _, a := range deathCases {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			var kinds []string
			var want rollout.Outcome
			synctest.Test(t, func(t *testing.T) {
				w, m := newDyingRun(t, a), &killer{}
				if want = w.play(begin, m, nil); want.Result != rollout.ResultDone && len(a.bad) == 0 || want.Counts.Synced != 6-len(a.bad) {
					t.Errorf("undisturbed: %+v", want)
				}
				w.over()
				kinds = m.kinds
			})
			count := map[string]int{}
			died := 0
			for i, kind := range kinds {
				count[kind]++
				manners := []manner{justBefore, justAfter}
				switch {
				case kind == "append":
					manners = append(manners, amid)
				case writesPool(kind):
					manners = append(manners, justLate)
				}
				if a.name != deathCases[0].name && !*exhaust {
					manners = manners[i%len(manners):][:1]
				}
				for _, how := range manners {
					for n, end := range ends {
						if !*exhaust && n != died%len(ends) {
							continue
						}
						synctest.Test(t, func(t *testing.T) {
							w := newDyingRun(t, a)
							w.play(begin, &killer{dieAt: i + 1, how: how}, nil)
							w.finish(end, want)
						})
					}
					died++
				}
			}
			t.Logf("%d effects, %d deaths: %v; %d in quarantine, %d mixed", len(kinds), died, count, len(want.Quarantined), len(want.Mixed))
		})
	}
}

// finish brings a run that died to its end: where it is resumed, to the one that it wanted.
func (w *dyingRun) finish(end []command, want rollout.Outcome) {
	for _, what := range end {
		outcome := w.play(what, &killer{}, nil)
		if what == resume && (outcome.Result != want.Result || outcome.Counts != want.Counts ||
			len(outcome.Quarantined) != len(want.Quarantined)) {
			w.wrongf("%s comes to %+v, should come to %+v", what, outcome, want)
		}
	}
	w.over()
}

// TestDeathAgain lets what is to bring a run to its end die too, up to three times, on either machine.
// The seed of the first one is printed; -seed brings it back.
func TestDeathAgain(t *testing.T) {
	t.Parallel()
	first, n := firstSeed(t), *deaths
	died := map[string]int{}
	for i := range n {
		c := newChance(first + uint64(i))
		synctest.Test(t, func(t *testing.T) {
			w := newDyingRun(t, deathCases[c.below(len(deathCases))])
			what := begin
			for range 2 + c.below(3) {
				m := &killer{dieAt: 1 + c.below(35), how: []manner{justBefore, justAfter, amid, justLate}[c.below(4)]}
				w.play(what, m, nil)
				died[fmt.Sprintf("%s died: %v", what, m.gone())]++
				what = []command{resume, recoverHere, recoverElsewhere}[c.below(3)]
			}
			w.finish([]command{recoverHere, recoverElsewhere}[c.below(2):], rollout.Outcome{})
		})
		if t.Failed() {
			t.Fatalf("to reproduce: -seed=%d -deaths=1", first+uint64(i))
		}
	}
	for _, what := range slices.Sorted(maps.Keys(died)) {
		t.Logf("%6d %s", died[what], what)
	}
}

// TestLockBroken lets somebody break the lock just before each effect of a run in turn. The run finds
// out, puts back what is out and ends, or was done before it could know.
func TestLockBroken(t *testing.T) {
	t.Parallel()
	results := map[rollout.Result]int{}
	for i := 1; ; i++ {
		over := false
		synctest.Test(t, func(t *testing.T) {
			w, m := newDyingRun(t, deathCases[i%2]), &killer{}
			outcome := w.play(begin, m, func(effects int) {
				if effects == i {
					w.etcd.store.Delete(sharedPrefix + "/lock")
				}
			})
			over = len(m.kinds) < i
			results[outcome.Result]++
			if outcome.Result == rollout.ResultHalted && !strings.Contains(outcome.Why, "lock") || outcome.Result == rollout.ResultFailed {
				w.wrongf("outcome %+v", outcome)
			}
			w.over()
		})
		if t.Failed() {
			t.Fatalf("broken before effect %d", i)
		}
		if over {
			break
		}
	}
	t.Log(results)
}
