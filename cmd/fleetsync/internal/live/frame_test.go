package live

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/rollout/rollouttest"
)

var colours = regexp.MustCompile(`\x1b\[[0-9;]+m`)

// TestFrame holds that a frame is at every event of a run within the terminal, however small: a line
// that wraps, or one too many, would leave its rests on the screen.
//
// Planted faults that it saw: lines that are not cut, a top line without regard to what follows the
// bar, transfers without regard to the rows left.
func TestFrame(t *testing.T) {
	t.Setenv("LC_ALL", "C.UTF-8")
	fleet := rollouttest.Fleet(100)
	for i := range fleet.Hosts {
		if i%7 == 6 {
			fleet.Hosts[i].Name = "日本語の非常に長い名前の" + fleet.Hosts[i].Name
		}
	}
	settings := rollouttest.Settings()
	settings.Batches.MaxFailures = inventory.Amount{Count: 300}
	r := rollouttest.Request()
	r.Hooks = []rollout.Moment{rollout.MomentPre, rollout.MomentPost, rollout.MomentOnFailure}
	r.Post, r.OnFailure, r.Quarantined = map[string]bool{}, map[string]bool{}, map[string]string{}
	for i, h := range fleet.Hosts {
		r.Post[h.Name], r.OnFailure[h.Name] = i%3 > 0, true
		if i%9 == 6 {
			r.Quarantined[h.Name] = "20160131-100000-2222"
		}
	}
	p, err := rollout.NewPlan(fleet, settings, r)
	if err != nil {
		t.Fatal(err)
	}
	p.Stages[1].Name = "canaries of a name that is far too long for a column"
	calls := 0
	do := func(step rollout.Step) (time.Duration, *rollout.Event) {
		if calls++; calls%4 == 0 && step.Kind == rollout.StepSync {
			return time.Duration(calls%5) * time.Second, rollouttest.Fail(rollout.Transient, "rsync exit 12")
		}
		return time.Duration(calls%5) * time.Second, nil
	}
	pen := newPen()
	frames, turns, every := 0, 0, 2
	model := &orchestrator.Model{}
	observe := func(turn []rollout.Event, now *rollout.Snapshot) {
		model.Observe(turn, now)
		for _, e := range turn {
			model.Progress(e.Host, rollout.Transfer{Bytes: 1 << 40, Percent: 300})
		}
		if turns++; turns%every != 0 {
			return
		}
		for _, width := range []int{0, 1, 2, 9, 30, 60, 80, 200} {
			for _, rows := range []int{1, 2, 3, 6, 22} {
				lines := frame(model.Snapshot(), now.At.Add(1500*time.Millisecond), width-1, rows, pen)
				if len(lines) < 1 || len(lines) > rows {
					t.Fatalf("%d lines in %d rows", len(lines), rows)
				}
				for _, line := range lines {
					if got := text.Width(colours.ReplaceAllString(line, "")); got > max(0, width-1) {
						t.Fatalf("%d columns in %d: %q", got, width, line)
					}
				}
				frames++
			}
		}
	}
	if _, err := (&rollouttest.Play{Plan: p, Do: do, Observe: observe}).Run(); err != nil {
		t.Fatal(err)
	}
	every = 1
	for _, stuck := range []bool{true, false} {
		undo := func(step rollout.Step) (time.Duration, *rollout.Event) {
			switch {
			case step.Kind == rollout.StepCheck:
				return time.Second, &rollout.Event{Kind: rollout.StepDone, Verdict: rollout.Fail, Detail: "bad"}
			case step.Kind == rollout.StepRollback && (stuck || step.Attempt == 1):
				return time.Second, rollouttest.Fail(rollout.Transient, "ssh: connection refused")
			}
			return time.Second, nil
		}
		if _, err := (&rollouttest.Play{Plan: p, Do: undo, Observe: observe}).Run(); err != nil {
			t.Fatal(err)
		}
	}
	t.Log(frames, "frames")
}

// TestFrames shows what is drawn at the moments that have something of their own, on a terminal of 80 columns.
func TestFrames(t *testing.T) {
	t.Setenv("LC_ALL", "C.UTF-8")
	t.Setenv("NO_COLOR", "1")
	r := rollouttest.Request()
	r.Hooks = []rollout.Moment{rollout.MomentPre, rollout.MomentPost, rollout.MomentOnFailure}
	r.Post, r.OnFailure, r.Quarantine = map[string]bool{}, map[string]bool{}, inventory.QuarantineAll
	r.Down = map[string]string{"mw1030.eqiad.wmnet": "ssh: connection timed out", "mw1031.eqiad.wmnet": "ssh: connection timed out"}
	r.Quarantined = map[string]string{"mw1040.eqiad.wmnet": "20160131-100000-2222"}
	fleet, settings := rollouttest.Fleet(60), rollouttest.Settings()
	for _, h := range fleet.Hosts {
		r.Post[h.Name], r.OnFailure[h.Name] = true, true
	}
	settings.Batches.MaxFailures = inventory.Amount{Count: 5}
	p, err := rollout.NewPlan(fleet, settings, r)
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	var b strings.Builder
	observe := func(_ []rollout.Event, s *rollout.Snapshot) {
		in := func(kind rollout.StepKind) int { return len(s.Flights(kind)) }
		hook := func(m rollout.Moment) bool { return s.Hook != nil && s.Hook.Moment == m }
		for _, moment := range []struct {
			name string
			now  bool
		}{
			{"the run's pre hooks", hook(rollout.MomentPre)},
			{"who was down is taken out", in(rollout.StepQuarantine) > 0},
			{"post hooks of canaries", in(rollout.StepPost) > 0},
			{"post hooks of a batch", in(rollout.StepPost) > 3 && in(rollout.StepSync) > 3},
			{"on_failure hooks", in(rollout.StepOnFailure) > 0},
			{"the run's on_failure hooks", hook(rollout.MomentOnFailure)},
		} {
			if !moment.now || shown[moment.name] {
				continue
			}
			shown[moment.name] = true
			fmt.Fprintf(&b, "%s\n%s\n", moment.name, strings.Repeat("-", 80))
			for _, line := range frame(s, s.At.Add(1500*time.Millisecond), 79, 12, newPen()) {
				fmt.Fprintln(&b, strings.TrimRight(line, " "))
			}
			fmt.Fprintln(&b)
		}
	}
	do := func(step rollout.Step) (time.Duration, *rollout.Event) {
		took := time.Duration(2+len(step.ID)%3) * time.Second
		if len(step.Host) > len("mw1017") {
			took += time.Duration(step.Host[len("mw101")]%4) * time.Second
		}
		if step.ID == "sync/mw1037.eqiad.wmnet" {
			return took, rollouttest.Fail(rollout.Permanent, "rsync exit 11: no space left on device")
		}
		return took, nil
	}
	if _, err := (&rollouttest.Play{Plan: p, Do: do, Observe: observe}).Run(); err != nil {
		t.Fatal(err)
	}
	const path = "testdata/frames.golden"
	if update := flag.Lookup("update"); update != nil && update.Value.String() == "true" {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("differs from %s (-want +got):\n%s", path, diff)
	}
	if len(shown) != 6 {
		t.Errorf("only %v were shown", shown)
	}
}

// TestPen holds that a locale without UTF-8 gets ASCII, and that one which is not set does not.
func TestPen(t *testing.T) {
	for locale, want := range map[string]string{"C": "x", "de_DE.ISO-8859-1": "x", "C.UTF-8": "✘", "en_US.utf8": "✘", "": "✘"} {
		t.Setenv("LC_ALL", locale)
		t.Setenv("LC_CTYPE", "")
		t.Setenv("LANG", "")
		if got := newPen().marks[bad]; got != want {
			t.Errorf("LC_ALL=%q: %q, not %q", locale, got, want)
		}
	}
}
