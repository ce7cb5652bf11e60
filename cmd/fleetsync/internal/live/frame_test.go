package live

import (
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/rollout/rollouttest"
	"github.com/fleetsync/fleetsync/transport/rsync"
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
	u := New(io.Discard, true, p)
	u.closed = true // nothing is to be drawn but here
	pen := newPen()
	frames, every := 0, int64(13)
	observe := func(e rollout.Event, s view) {
		u.story.observe(e, s)
		u.Progress(e.Host, rsync.Progress{Bytes: 1 << 40, Percent: 300})
		if e.Seq%every != 0 {
			return
		}
		for _, width := range []int{0, 1, 2, 9, 30, 60, 80, 200} {
			for _, rows := range []int{1, 2, 3, 6, 22} {
				f := frame{pen: pen, story: u.story, width: width - 1, now: e.At.Add(1500 * time.Millisecond)}
				f.draw(rows)
				if len(f.lines) < 1 || len(f.lines) > max(rows, 4) { // what is held, who is kept out and the whole are always drawn
					t.Fatalf("%d lines drawn for %d rows", len(f.lines), rows)
				}
				lines := u.frame(pen, width, rows)
				if len(lines) < 1 || len(lines) > rows {
					t.Fatalf("%d lines in %d rows", len(lines), rows)
				}
				for _, line := range append(lines, f.lines...) {
					if got := text.Width(colours.ReplaceAllString(line, "")); got > max(0, width-1) {
						t.Fatalf("%d columns in %d: %q", got, width, line)
					}
				}
				frames++
			}
		}
	}
	if _, err := (&rollouttest.Play{Plan: p, Do: do, Observe: each(observe)}).Run(); err != nil {
		t.Fatal(err)
	}
	every = 1
	for _, stuck := range []bool{true, false} {
		u = New(io.Discard, true, p)
		u.closed = true
		undo := func(step rollout.Step) (time.Duration, *rollout.Event) {
			switch {
			case step.Kind == rollout.StepCheck:
				return time.Second, &rollout.Event{Kind: rollout.StepDone, Verdict: rollout.Fail, Detail: "bad"}
			case step.Kind == rollout.StepRollback && (stuck || step.Attempt == 1):
				return time.Second, rollouttest.Fail(rollout.Transient, "ssh: connection refused")
			}
			return time.Second, nil
		}
		if _, err := (&rollouttest.Play{Plan: p, Do: undo, Observe: each(observe)}).Run(); err != nil {
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
	u := New(io.Discard, true, p)
	u.closed = true
	s := u.story
	shown := map[string]bool{}
	var b strings.Builder
	observe := func(e rollout.Event, state view) {
		s.observe(e, state)
		if e.Seq != state.Seq {
			return
		}
		for _, moment := range []struct {
			name string
			now  bool
		}{
			{"the run's pre hooks", s.hooks.moment == "pre"},
			{"who was down is taken out", s.pools["mw1030.eqiad.wmnet"] != ""},
			{"post hooks of canaries", s.hooks.flights[rollout.StepPost] > 0},
			{"post hooks of a batch", s.hooks.flights[rollout.StepPost] > 3 && len(s.flights) > 3},
			{"on_failure hooks", s.hooks.flights[rollout.StepOnFailure] > 0},
			{"the run's on_failure hooks", s.hooks.moment == "on_failure"},
		} {
			if !moment.now || shown[moment.name] {
				continue
			}
			shown[moment.name] = true
			f := frame{pen: newPen(), story: s, width: 79, now: e.At.Add(1500 * time.Millisecond)}
			f.draw(12)
			fmt.Fprintf(&b, "%s\n%s\n", moment.name, strings.Repeat("-", 80))
			for _, line := range f.lines {
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
	if _, err := (&rollouttest.Play{Plan: p, Do: do, Observe: each(observe)}).Run(); err != nil {
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
