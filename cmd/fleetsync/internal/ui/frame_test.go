package ui

import (
	"io"
	"regexp"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/reporttest"
	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/transport"
)

var colours = regexp.MustCompile(`\x1b\[[0-9;]+m`)

// TestFrame holds that a frame is at every event of a run within the terminal, however small: a line
// that wraps, or one too many, would leave its rests on the screen.
//
// Planted faults that it saw: lines that are not cut, a top line without regard to what follows the
// bar, transfers without regard to the rows left.
func TestFrame(t *testing.T) {
	t.Setenv("LC_ALL", "C.UTF-8")
	fleet := reporttest.Fleet(100)
	for i := range fleet.Hosts {
		if i%7 == 6 {
			fleet.Hosts[i].Name = "日本語の非常に長い名前の" + fleet.Hosts[i].Name
		}
	}
	settings := reporttest.Settings()
	settings.Batches.MaxFailures = inventory.Amount{Count: 300}
	p, err := rollout.NewPlan(fleet, settings, reporttest.Request())
	if err != nil {
		t.Fatal(err)
	}
	p.Stages[0].Name = "canaries of a name that is far too long for a column"
	calls := 0
	do := func(step rollout.Step) (time.Duration, *rollout.Event) {
		if calls++; calls%4 == 0 && step.Kind == rollout.StepSync {
			return time.Duration(calls%5) * time.Second, reporttest.Fail(rollout.Transient, "rsync exit 12")
		}
		return time.Duration(calls%5) * time.Second, nil
	}
	u := New(io.Discard, true, p)
	u.closed = true // nothing is to be drawn but here
	pen := newPen()
	frames, every := 0, int64(13)
	observe := func(e rollout.Event, s *rollout.State) {
		u.story.observe(e, s)
		u.Progress(e.Host, transport.Progress{Bytes: 1 << 40, Percent: 300})
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
	if _, err := (&reporttest.Play{Plan: p, Do: do, Observe: observe}).Run(); err != nil {
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
				return time.Second, reporttest.Fail(rollout.Transient, "ssh: connection refused")
			}
			return time.Second, nil
		}
		if _, err := (&reporttest.Play{Plan: p, Do: undo, Observe: observe}).Run(); err != nil {
			t.Fatal(err)
		}
	}
	t.Log(frames, "frames")
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
