package report_test

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report"
	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/rollout/rollouttest"
)

// scenario is a run of which is shown what happened and what people are told of it.
type scenario struct {
	play rollouttest.Play // without a plan: of an ordinary one; one that has a number of events stops there
	want []string         // in the first two lines once it has ended, or while it runs
	died []string         // of one that stops: in the first two lines once nobody works on it any more
}

func scenarios(t *testing.T) map[string]scenario {
	t.Helper()
	type play = rollouttest.Play
	changed := func(change func(*rollout.Request)) *rollout.Plan { return plan(t, 60, change) }
	capacity := rollouttest.Fail(rollout.Capacity, "eqiad/appserver/apache2: 2 of 4 may be out, and are")
	quarantine, hooked := made(t, rollouttest.QuarantineAll), made(t, rollouttest.Hooked)
	return map[string]scenario{
		"done":       {play{Do: allWell}, []string{"done: 61 hosts of 61 synced"}, nil},
		"failed":     {play{Do: someFail}, []string{"3 hosts FAILED"}, nil},
		"budget":     {play{Do: manyFail}, []string{"HALTED: 4 hosts failed, of which 3 may"}, nil},
		"unknown":    {play{Do: unknownGate}, []string{"HALTED: the gate says unknown"}, nil},
		"bad-canary": {play{Do: badCanary}, []string{"HALTED: the gate says fail: canary mw1018"}, nil},
		"gate":       {play{Do: badGate}, []string{"HALTED: the gate says fail"}, nil},
		"stuck":      {play{Do: stuckPool}, []string{"1 host LEFT OUT OF ITS POOLS", "OUT       mw1020.eqiad.wmnet: its health check"}, nil},
		"beginning":  {play{Events: 1}, []string{"RUNNING, stage 1 of 9: canaries"}, []string{"DIED, stage 1 of 9: canaries"}},
		"depooling": {play{Events: 39}, []string{"RUNNING, stage 4 of 9: depool", "held      mw1019"},
			[]string{"DIED", "2 hosts LEFT OUT OF THEIR POOLS", "OUT       mw1019.eqiad.wmnet: the run ended before it was put back"}},
		"stopped": {play{Do: someFail, Events: 115}, []string{"RUNNING"},
			[]string{"DIED", "LEFT OUT OF THEIR POOLS", "OUT       mw1019.eqiad.wmnet"}},
		"aborted": {play{World: []rollouttest.Happening{{After: 56 * time.Second,
			Event: rollout.Event{Kind: rollout.AbortAsked, Level: 2, Cause: rollout.AbortInterrupt, Detail: "interrupted"}}}},
			[]string{"ABORTED: interrupted"}, nil},
		"canary": {play{Plan: changed(func(r *rollout.Request) { r.Mode = inventory.ModeCanary })}, []string{"done: 2 hosts of 2"}, nil},
		"paths": {play{Do: someFail, Plan: changed(func(r *rollout.Request) { r.Paths = []string{"wmf-config/", "it's a file"} })},
			[]string{"3 hosts FAILED"}, nil},
		"forced": {play{Do: badGate, Plan: changed(func(r *rollout.Request) { r.Force = "the front page is down anyway" })},
			[]string{"done: 61"}, nil},
		"no-proxy": {play{Plan: withoutProxies(t)}, []string{"done: 13"}, nil},
		"quarantine": {play{Do: stuckCanary(nil)},
			[]string{"HALTED: the gate says fail", "kept out  mw1018.eqiad.wmnet is in quarantine: it cannot be rolled back"}, nil},
		"mixed": {play{Do: stuckCanary(capacity)},
			[]string{"1 host IN THE POOLS WITH A MIXED TREE", "MIXED     mw1018.eqiad.wmnet: it cannot be rolled back"}, nil},
		"mixed-stopped": {play{Do: stuckCanary(nil), Events: 16}, []string{"RUNNING, stopping: the gate says fail", "mixed     mw1018"},
			[]string{"DIED", "1 host IN THE POOLS WITH A MIXED TREE"}},
		"no-quarantine": {play{Do: stuckCanary(nil), Plan: changed(func(r *rollout.Request) { r.Pools = false })},
			[]string{"HALTED: the gate says fail"}, nil},
		"gate-unguarded": {play{Do: badGate, Plan: changed(func(r *rollout.Request) { *r = unguarded() })},
			[]string{"HALTED: the gate says fail"}, nil},
		"undoing": {play{Do: badGate, Events: 13}, []string{"RUNNING, stopping: the gate says fail"},
			[]string{"DIED, stopping: the gate says fail"}},
		"source": {play{Do: changedSource}, []string{"HALTED: no source with the run's tree is left"}, nil},
		"kept": {play{Plan: changed(func(r *rollout.Request) { r.Keep = true; r.Override = "known, T1234" })},
			[]string{"done: 61 hosts of 61"}, nil},
		"master":  {play{Do: badMaster}, []string{"1 host FAILED"}, nil},
		"masters": {play{Plan: masters(t)}, []string{"done: 1 host of 1 synced"}, nil},
		"masters-undo": {play{Plan: mastersUndo(t)},
			[]string{"(rollback of 20160202-190601-9f3c, masters of mediawiki): done: 1 of 1 host rolled back"}, nil},
		"rollback": {play{Plan: rollback(t, 60)}, []string{"(rollback of 20160202-190601-9f3c, mediawiki): done: 60 of 60 hosts rolled back"},
			nil},
		"rollback-stopped": {play{Plan: rollback(t, 60), Events: 43}, []string{"RUNNING, stage 4 of 5: batch 2 of 3"},
			[]string{"DIED, stage 4 of 5: batch 2 of 3"}},
		"rollback-failed": {play{Plan: rollback(t, 60), Do: someStay}, []string{"done, but 2 hosts FAILED"}, nil},
		"rollback-down": {play{Plan: rollback(t, 60, absent...)},
			[]string{"done, but 2 hosts were DOWN", "2 down when the run was planned (not tried; they have what was to be taken back)"}, nil},
		"rollback-down-failed": {play{Plan: rollback(t, 60, absent[0]), Do: someStay}, []string{"done, but 2 hosts FAILED and 1 was DOWN"}, nil},
		"rollback-gate":        {play{Plan: rollback(t, 60), Do: badGate}, []string{"HALTED: the gate says fail"}, nil},
		"down": {play{Plan: changed(func(r *rollout.Request) {
			r.Down = map[string]string{"mw1030.eqiad.wmnet": "ssh: connect to host mw1030.eqiad.wmnet: no route to host"}
		})}, []string{"done, but 1 host was DOWN (at most 3 may)"}, nil},
		"down-failed": {play{Do: stuckPool, Plan: changed(func(r *rollout.Request) {
			r.Down = map[string]string{"mw1030.eqiad.wmnet": "ssh: no route to host", "tin.eqiad.wmnet": "ssh: no route to host"}
		})}, []string{"done, but 1 host FAILED and 2 were DOWN (at most 3 may); 1 host LEFT OUT OF ITS POOLS"}, nil},
		"quarantine-all": {play{Plan: quarantine, Do: rollouttest.BadQuarantines},
			[]string{"done, but 2 hosts FAILED, 4 were DOWN (at most 9 may) and 1 host STILL IN QUARANTINE; 1 host IN THE POOLS WITH AN OLD TREE"}, nil},
		"quarantine-all-stopped": {play{Plan: quarantine, Do: rollouttest.BadQuarantines, Events: 60}, []string{"RUNNING", "old       mw1031"},
			[]string{"DIED", "1 host IN THE POOLS WITH AN OLD TREE", "OLD       mw1031"}},
		"release":       {play{Plan: quarantined(t), Do: stuckRelease}, []string{"done, but 1 host STILL IN QUARANTINE"}, nil},
		"hooks":         {play{Plan: hooked, Do: rollouttest.BadHooks}, []string{"done, but 3 hosts FAILED"}, nil},
		"hooks-stopped": {play{Plan: hooked, Do: rollouttest.BadHooks, Events: 190}, []string{"RUNNING"}, []string{"DIED"}},
		"hook-pre": {play{Plan: hooked, Do: failing("hook/pre")},
			[]string{"HALTED: what comes before the run failed: ", "; no tree was touched"}, nil},
		"hook-post": {play{Plan: hooked, Do: failing("hook/post")}, []string{"done, but its post hooks FAILED"}, nil},
	}
}

// TestTranscripts holds, for each scenario, what happened, what status shows of it, and what show adds to that; of a run that stops before
// its end, while somebody works on it and when nobody does any more.
func TestTranscripts(t *testing.T) {
	for name, s := range scenarios(t) {
		t.Run(name, func(t *testing.T) {
			if s.play.Plan == nil {
				s.play.Plan = plan(t, 60, nil)
			}
			var b bytes.Buffer
			b.WriteString("# what happens\n")
			s.play.Observe = func(turn []rollout.Event, _ *rollout.Snapshot) { happened(&b, turn) }
			now := played(t, s.play, true)
			switch ended := now.Standing == rollout.RunEnded; {
			case ended != (s.died == nil):
				t.Fatalf("at the end it is %s", now.Standing)
			case ended:
				shown(t, &b, "", now, s.want)
			default:
				shown(t, &b, ", while it runs", now, s.want)
				shown(t, &b, ", once nobody works on it any more", now.Died(), s.died)
			}
			golden(t, name, b.Bytes())
		})
	}
}

// happened writes a line for each event of a turn; for those of which the same is to be said but for what they are about, one line.
func happened(b *bytes.Buffer, turn []rollout.Event) {
	var said []string
	about := map[string][]string{}
	for _, e := range turn {
		what := describe(e)
		if about[what] == nil {
			said = append(said, what)
		}
		about[what] = append(about[what], cmp.Or(e.Host, e.Check, string(e.Moment)))
	}
	for _, what := range said {
		names := inventory.FoldNames(about[what])
		if strings.Contains(what, " check ") {
			names = strings.Join(about[what], ", ")
		}
		fmt.Fprintf(b, "%6s  %s\n", turn[0].At.Sub(rollouttest.Began), strings.Replace(what, "ABOUT", names, 1))
	}
}

// describe says what an event says, with ABOUT in the place of the host, the check or the moment that it is about.
func describe(e rollout.Event) string {
	said := []string{string(e.Kind)}
	add := func(before, what string) {
		if what != "" {
			said = append(said, before+what)
		}
	}
	add("", string(e.StepKind))
	if e.Step != "" || e.Host != "" {
		add("", "ABOUT")
	}
	add("from ", e.Source)
	if e.Attempt > 1 {
		add("attempt ", fmt.Sprint(e.Attempt))
	}
	if e.Level > 0 {
		add("level ", fmt.Sprint(e.Level))
	}
	add("", string(e.Cause))
	add("", string(e.Verdict))
	if e.Class != "" {
		add("", strings.TrimSpace(fmt.Sprintf("(%s, %s %s", e.Class, e.Fate, e.GiveUp))+")")
	}
	if e.Outcome != nil {
		add("", string(e.Outcome.Result))
	}
	for _, text := range []string{e.Error, e.Detail} {
		if e.Host != "" {
			text = strings.ReplaceAll(text, e.Host, "HOST")
		}
		add(": ", text)
	}
	return strings.ReplaceAll(strings.Join(said, " "), " : ", ": ")
}

// shown writes what status shows of a run, and then the lines that show adds. But for what is in flight, status shows nothing else.
func shown(t *testing.T, b *bytes.Buffer, when string, now *rollout.Snapshot, want []string) {
	t.Helper()
	r := report.RunReport{Now: now, Journal: journal, Log: log}
	var status, show bytes.Buffer
	report.Status(&status, &r)
	report.Run(&show, r)
	for _, screen := range []*bytes.Buffer{&status, &show} {
		head := strings.Join(strings.SplitN(screen.String(), "\n", 3)[:2], "\n")
		for _, want := range want {
			if !strings.Contains(head, want) {
				t.Errorf("the first two lines%s lack %q:\n%s", when, want, head)
			}
		}
		if lines(screen.Bytes()) > 40 {
			t.Errorf("%d lines are more than a screen", lines(screen.Bytes()))
		}
	}
	fmt.Fprintf(b, "# fleetsync status%s\n%s# what show adds\n", when, &status)
	left := slices.Collect(strings.Lines(status.String()))
	for line := range strings.Lines(show.String()) {
		if i := slices.Index(left, line); i >= 0 {
			for _, only := range left[:i] {
				if head := strings.TrimSpace(only[:min(len(only), 12)]); !slices.Contains([]string{"syncing", "undoing", "hooks", "doing", "as of"},
					head) {
					t.Errorf("show says before %q what status says after it, or does not say: %q", line, only)
				}
			}
			left = left[i+1:]
			continue
		}
		b.WriteString(line)
	}
}
