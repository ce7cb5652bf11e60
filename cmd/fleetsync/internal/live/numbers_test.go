package live

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/rollout/rollouttest"
)

// TestNumbers holds, over runs in which anything goes wrong, which are aborted, and which die and are resumed, that what people see is
// what the snapshot says: each frame, each line with numbers in it, and what is said to become of each step that failed. Hosts
// are counted one by one here, and steps in flight by their events.
//
// Planted faults that it saw: hosts that may be out of their pools shown as out; canaries that were rolled back shown as synced, or not at
// all; hosts that were down counted as tried; failures left out of a frame or of a line of progress; a transfer left out; hooks
// that run counted as waiting; a step told to be tried again by its class, or although the run stops; a stage that ends told with the
// hosts that are held; the counts of the run told as those of a stage.
func TestNumbers(t *testing.T) {
	t.Setenv("LC_ALL", "C.UTF-8")
	t.Setenv("NO_COLOR", "1")
	seen := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		play, err := rollouttest.Draw(func(sides int, label string) int { return rapid.IntRange(0, sides-1).Draw(t, label) })
		if err != nil {
			t.Fatal(err)
		}
		lines, flights := newTeller(), map[rollout.StepID]rollout.StepKind{}
		play.Observe = func(turn []rollout.Event, now *rollout.Snapshot) {
			if turn[0].Kind == rollout.RunResumed { // by another process, which has seen nothing of the first
				seen["resumed"]++
				lines = newTeller()
				clear(flights)
			}
			for i, e := range turn {
				switch e.Kind {
				case rollout.StepStarted:
					flights[e.Step] = e.StepKind
				case rollout.StepDone, rollout.StepFailed:
					delete(flights, e.Step)
					fate(t, &turn[i], now)
				default:
				}
				seen["fate "+string(e.Fate)]++
			}
			n := counted(now, flights)
			arrows := 0
			for _, line := range frame(now, now.At.Add(1500*time.Millisecond), 400, 100, newPen()) {
				compare(t, seen, n, "frame", line)
				if m := moreLine.FindStringSubmatch(line); m != nil {
					more, _ := strconv.Atoi(m[1])
					arrows += more
				}
				arrows += strings.Count(line, " ← ")
			}
			if want := n.transfers(); arrows != want {
				t.Fatalf("after event %d: %d transfers are shown, should be %d", now.Seq, arrows, want)
			}
			shown := 0
			for _, m := range lines.turn(turn, now) {
				compare(t, seen, n, "line", m.text)
				shown++
			}
			if len(turn) > 0 && turn[0].Kind == rollout.RunStarted && shown == 0 {
				t.Fatal("the beginning is not told")
			}
		}
		if _, err := play.Run(); err != nil {
			t.Fatal(err)
		}
	})
	for _, what := range []string{
		"resumed", "fate retry", "fate given_up", "frame whole", "frame rolled back", "frame failed", "frame out", "frame quarantine",
		"frame hooks", "frame depool", "frame repool", "line depool", "line stage", "line stage failed", "line progress", "line end",
	} {
		if seen[what] == 0 {
			t.Errorf("%q was never seen: %v", what, seen)
		}
	}
}

// numbers are what is to be seen of a run.
type numbers struct {
	*rollout.Snapshot

	total  map[rollout.Standing]int
	stages []map[rollout.Standing]int
	flying map[rollout.StepKind]int
}

func counted(now *rollout.Snapshot, flights map[rollout.StepID]rollout.StepKind) numbers {
	n := numbers{Snapshot: now, total: map[rollout.Standing]int{}, stages: make([]map[rollout.Standing]int, len(now.Stages)),
		flying: map[rollout.StepKind]int{}}
	for i := range n.stages {
		n.stages[i] = map[rollout.Standing]int{}
	}
	for h := range now.Hosts.All() {
		n.total[h.Standing]++
		if h.Stage >= 0 {
			n.stages[h.Stage][h.Standing]++
		}
	}
	for _, kind := range flights {
		n.flying[kind]++
	}
	return n
}

// brought is how many of those that were counted have what the run is for.
func (n numbers) brought(of map[rollout.Standing]int) int {
	if n.Plan.Undoes != "" {
		return of[rollout.RolledBack]
	}
	return of[rollout.Synced] + of[rollout.Partial]
}

func (n numbers) transfers() int { return n.flying[rollout.StepSync] + n.flying[rollout.StepRollback] }

// did is how that is said.
func (n numbers) did(of map[rollout.Standing]int, hosts int) string {
	if n.Plan.Undoes != "" {
		return fmt.Sprintf("%d of %s rolled back", n.brought(of), text.Hosts(hosts))
	}
	said := fmt.Sprintf("%d of %s synced", n.brought(of), text.Hosts(hosts))
	if of[rollout.RolledBack] > 0 {
		said += fmt.Sprintf(", %d rolled back", of[rollout.RolledBack])
	}
	return said
}

func sum(of map[rollout.Standing]int) int {
	n := 0
	for _, hosts := range of {
		n += hosts
	}
	return n
}

var (
	wholeLine  = regexp.MustCompile(`^  stage (\d+) of \d+, (\d+ of \d+ hosts? (?:synced|rolled back)(?:, \d+ rolled back)?)(?:, (\d+) failed)?(, .*)?$`)
	outLine    = regexp.MustCompile(`^  out of their pools: (.*)$`)
	kept       = regexp.MustCompile(`^  in quarantine: (.*)$`)
	moreLine   = regexp.MustCompile(`^  and (\d+) more in flight$`)
	depoolBar  = regexp.MustCompile(`^depool .* (\d+)/\d+ out$`)
	repoolBar  = regexp.MustCompile(`^repool .* (\d+)/\d+ back$`)
	depoolLine = regexp.MustCompile(`^depool: (\d+) hosts? out of the pools in `)
	stageLine  = regexp.MustCompile(`^(canaries|masters|proxies|batch \d+ of \d+): (.*) in [0-9.ms<]+(?:, (\d+) failed)?$`)
	progress   = regexp.MustCompile(`^(canaries|masters|proxies|batch \d+ of \d+): (\d+ of .*), (\d+) in flight`)
	endLine    = regexp.MustCompile(`^run .* ends: .*; (\d+ of \d+ hosts? .*)(?:, (\d+) down)?(?:, \d+ hooks? went wrong)?, (\d+) failed, (\d+) untouched, `)
)

// compare holds a line against what is to be seen.
func compare(t *rapid.T, seen map[string]int, n numbers, where, line string) {
	is := func(what, want, got string) {
		seen[where+" "+what]++
		if want != got {
			t.Fatalf("after event %d, %s, %s: %q is shown, should be %q:\n%s", n.Seq, where, what, got, want, line)
		}
	}
	number := func(n int) string {
		if n == 0 {
			return ""
		}
		return fmt.Sprint(n)
	}
	hosts := sum(n.total)
	if m := wholeLine.FindStringSubmatch(line); m != nil {
		is("whole", n.did(n.total, hosts-n.total[rollout.Down]), m[2])
		is("failed", number(n.total[rollout.Failed]), m[3])
		if n.total[rollout.RolledBack] > 0 && n.Plan.Undoes == "" {
			seen["frame rolled back"]++
		}
		is("place", fmt.Sprint(min(n.Place+1, len(n.Stages))), m[1])
	}
	if m := outLine.FindStringSubmatch(line); m != nil {
		is("out", text.Fold(n.Out, maxFold), m[1])
	}
	if m := kept.FindStringSubmatch(line); m != nil {
		var names []string
		for _, q := range n.Outcome.Quarantined {
			names = append(names, q.Host)
		}
		is("quarantine", text.Fold(names, maxFold), m[1])
	}
	if strings.HasPrefix(line, "  post hooks: ") || strings.HasPrefix(line, "  on_failure hooks: ") {
		var want []string
		if waits := n.total[rollout.InHooks] - n.flying[rollout.StepPost]; waits > 0 {
			want = append(want, fmt.Sprintf("post hooks: %d run, %d wait", n.flying[rollout.StepPost], waits))
		} else if n.flying[rollout.StepPost] > 0 {
			want = append(want, fmt.Sprintf("post hooks: %d run", n.flying[rollout.StepPost]))
		}
		if n.flying[rollout.StepOnFailure] > 0 {
			want = append(want, fmt.Sprintf("on_failure hooks: %d run", n.flying[rollout.StepOnFailure]))
		}
		is("hooks", "  "+strings.Join(want, "; "), line)
	}
	if m := depoolBar.FindStringSubmatch(line); m != nil {
		is("depool", fmt.Sprint(len(n.Out)), m[1])
	}
	if m := repoolBar.FindStringSubmatch(line); m != nil {
		is("repool", fmt.Sprint(n.PoolsIn(rollout.PoolBack)), m[1])
	}
	if m := depoolLine.FindStringSubmatch(line); m != nil {
		is("depool", fmt.Sprint(len(n.Out)), m[1])
	}
	stage := func(name string) map[rollout.Standing]int {
		for i := range n.Stages {
			if n.Stages[i].Name == name {
				return n.stages[i]
			}
		}
		t.Fatalf("no stage has the name %q: %s", name, line)
		return nil
	}
	if m := stageLine.FindStringSubmatch(line); m != nil {
		of := stage(m[1])
		want, failed := n.did(of, sum(of)), fmt.Sprint(of[rollout.Failed])
		if n.brought(of) == sum(of) {
			want, failed = text.Hosts(sum(of))+" "+verb(n.Snapshot), ""
		}
		is("stage", want, m[2])
		if is("stage", failed, m[3]); failed != "" {
			seen["line stage failed"]++
		}
	}
	if m := progress.FindStringSubmatch(line); m != nil {
		of := stage(m[1])
		want := n.did(of, sum(of))
		if of[rollout.Failed] > 0 {
			want += fmt.Sprintf(", %d failed", of[rollout.Failed])
		}
		is("progress", want, m[2])
		is("progress", fmt.Sprint(n.transfers()), m[3])
	}
	if m := endLine.FindStringSubmatch(line); m != nil {
		want := n.did(n.total, hosts)
		is("end", want, m[1][:min(len(want), len(m[1]))])
		is("end", number(n.total[rollout.Failed]), strings.TrimPrefix(m[3], "0"))
		is("end", number(n.total[rollout.Untouched]), strings.TrimPrefix(m[4], "0"))
		if n.total[rollout.Down] > 0 && !strings.Contains(line, fmt.Sprintf(", %d down", n.total[rollout.Down])) {
			t.Fatalf("%d are down: %s", n.total[rollout.Down], line)
		}
	}
}

// fate holds what is said of the end of a step against what becomes of it.
func fate(t *rapid.T, e *rollout.Event, now *rollout.Snapshot) {
	tl := newTeller()
	tl.Snapshot = now
	tl.event(e)
	said := ""
	for _, m := range tl.said {
		said += m.text + "\n"
	}
	again := strings.Contains(said, "tried again") && !strings.Contains(said, "not tried again")
	switch {
	case e.StepKind == rollout.StepHook || e.StepKind == rollout.StepCheck:
	case e.Kind == rollout.StepDone || e.Class == rollout.Stopped:
		if again || strings.Contains(said, "cannot") {
			t.Fatalf("%s %s (%s): %s", e.Kind, e.Step, e.Class, said)
		}
	case again != (e.Fate != rollout.FateGivenUp) || said == "":
		t.Fatalf("%s failed (%s), its fate is %s %s, and it is said: %s", e.Step, e.Class, e.Fate, e.GiveUp, said)
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
	lines, failures := newTeller(), 0
	play := rollouttest.Play{
		Plan:    plan,
		Resumed: 11, // the hooks have failed once
		Do: func(step rollout.Step) (time.Duration, *rollout.Event) {
			if step.Kind == rollout.StepPost && step.Host == host {
				return 0, rollouttest.Fail(rollout.Transient, "ssh: connection refused")
			}
			return 0, nil
		},
		Observe: func(turn []rollout.Event, now *rollout.Snapshot) {
			if turn[0].Kind == rollout.RunResumed {
				if failures == 0 {
					t.Fatalf("resumed at event %d, before anything failed", now.Seq)
				}
				lines = newTeller()
			}
			said := ""
			for _, m := range lines.turn(turn, now) {
				said += m.text + "\n"
			}
			for _, e := range turn {
				if e.StepKind != rollout.StepPost || e.Host != host || e.Kind != rollout.StepFailed {
					continue
				}
				failures++
				want := "will be tried again"
				if failures == plan.Limits.Attempts {
					want = "not tried again"
				}
				if !strings.Contains(said, want) {
					t.Errorf("failure %d: %s is told, and it is %s", failures, said, want)
				}
			}
		},
	}
	if _, err := play.Run(); err != nil {
		t.Fatal(err)
	}
	if failures != plan.Limits.Attempts {
		t.Errorf("%d failures", failures)
	}
}
