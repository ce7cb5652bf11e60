package live_test

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/rollout/rollouttest"
)

// paced plays a run in the time of a synctest bubble, so that frames are drawn while it goes on, and
// reports progress of its transfers from many goroutines.
func paced(t *testing.T, u *shown, play rollouttest.Play, paint func()) {
	t.Helper()
	var transfers sync.WaitGroup
	last := rollouttest.Began
	play.Observe = func(turn []rollout.Event, s *rollout.Snapshot) {
		e := turn[0]
		if d := e.At.Sub(last); d > 0 {
			<-time.After(d) // of the bubble's time
			last = e.At
			synctest.Wait()
			paint()
		}
		u.Observe(turn, s)
		for _, e := range turn {
			if e.Kind != rollout.StepStarted || e.StepKind != rollout.StepSync {
				continue
			}
			transfers.Go(func() {
				for i := range 20 {
					u.model.Progress(e.Host, rollout.Transfer{Bytes: int64(i) * 7_000_000, Percent: 5 * i})
				}
			})
		}
	}
	if _, err := play.Run(); err != nil {
		t.Error(err)
	}
	transfers.Wait()
}

// escapes are what a frame may write to move the cursor, to erase and to colour.
var escapes = regexp.MustCompile(`\x1b\[[0-9]+A|\x1b\[[JK]|\x1b\[[0-9;]+m`)

// messages are the lines that stay: each begins with a mark, after what takes the frame away.
var messages = regexp.MustCompile(`(?m)^(?:\x1b\[[0-9]+A)?(?:\x1b\[J)?((?:\x1b\[[0-9;]+m)*[·✔!✘].*\n)`)

// TestBars holds that the live form draws, leaves no goroutine (the bubble would not end) and leaves
// the terminal as if it had only printed lines: what is below the last message has been cleared.
//
// Planted faults that it saw: Close that does not wait, or leaves the frame; a frame that is not erased before messages that are longer
// than it; one that has become shorter, and whose rest stays; one line too few or too many upwards.
func TestBars(t *testing.T) {
	t.Setenv("TERM", "xterm")
	for name, play := range map[string]rollouttest.Play{
		"well":     {Plan: plan(t, 60, nil)},
		"troubled": {Plan: plan(t, 120, nil), Do: troubled},
		"died":     {Plan: plan(t, 120, nil), Do: troubled, Events: 175},
		"abort": {Plan: plan(t, 60, nil), World: []rollouttest.Happening{
			{After: 50 * time.Second, Event: rollout.Event{Kind: rollout.AbortAsked, Level: 1, Cause: rollout.AbortInterrupt,
				Detail: "interrupted"}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var b locked
				u := show(&b, true)
				frames := 0
				paced(t, u, play, func() { frames++ })
				u.Close()
				u.Close()
				out := b.String()
				if frames == 0 || !strings.Contains(out, "━") || !strings.Contains(out, "out of their pools: mw") {
					t.Errorf("nothing was drawn in %d frames: %q", frames, out)
				}
				left := strings.Join(screen(out, 80), "\n")
				if strings.Contains(left, "━") || strings.Contains(left, "stage ") || strings.Contains(left, " ← ") {
					t.Errorf("a frame is left on the terminal:\n%s", left)
				}
				alone := ""
				for _, m := range messages.FindAllStringSubmatch(out, -1) {
					alone += m[1]
				}
				if want := strings.Join(screen(alone, 80), "\n"); left != want || alone == "" {
					t.Errorf("the terminal is not as if messages alone had been printed (-want +got):\n%s", cmp.Diff(want, left))
				}
			})
		})
	}
}

// screen returns the lines of a terminal of so many columns, and of any number of lines, that was sent out: it writes over what is
// there, wraps what is too long, and knows how to move up and to erase.
func screen(out string, columns int) []string {
	lines, row, column := [][]rune{{}}, 0, 0
	down := func() {
		if row++; row == len(lines) {
			lines = append(lines, nil)
		}
	}
	for len(out) > 0 {
		if escape := escapes.FindString(out); escape != "" && strings.HasPrefix(out, escape) {
			switch escape[len(escape)-1] {
			case 'A':
				up, _ := strconv.Atoi(escape[2 : len(escape)-1])
				row = max(0, row-up)
			case 'J':
				lines = lines[:row+1]
				fallthrough
			case 'K':
				lines[row] = lines[row][:min(len(lines[row]), column)]
			}
			out = out[len(escape):]
			continue
		}
		r, size := utf8.DecodeRuneInString(out)
		out = out[size:]
		if r == '\n' {
			column = 0
			down()
			continue
		}
		if column == columns {
			column = 0
			down()
		}
		if column == len(lines[row]) {
			lines[row] = append(lines[row], r)
		} else {
			lines[row][column] = r
		}
		column++
	}
	var text []string
	for _, line := range lines {
		text = append(text, string(line))
	}
	return text
}

// locked is a buffer for the goroutine that draws and the one that tests.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestBarsHostile holds that besides the escapes of the bars nothing but text is written.
//
// Planted faults that it saw: names of transfers shown as they are.
func TestBarsHostile(t *testing.T) {
	t.Setenv("TERM", "xterm")
	synctest.Test(t, func(t *testing.T) {
		play := hostile(t)
		var b locked
		u := show(&b, true)
		paced(t, u, play, func() {})
		u.Close()
		out := escapes.ReplaceAllString(b.String(), "")
		if !strings.Contains(out, "evil") {
			t.Error("nothing hostile was shown")
		}
		for i, r := range out {
			if r != '\n' && (unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)) {
				t.Fatalf("%U in %q", r, out[max(0, i-40):i+10])
			}
		}
	})
}

// stuck is a terminal that was stopped with Ctrl-S.
type stuck struct{ free chan struct{} }

func (s stuck) Write(p []byte) (int, error) {
	<-s.free
	return len(p), nil
}

// TestStuckTerminal holds that a terminal which takes nothing does not hold up the run.
//
// Planted faults that it saw: messages that are written by Observe.
func TestStuckTerminal(t *testing.T) {
	for _, terminal := range []bool{true, false} {
		t.Run(fmt.Sprint(terminal), func(t *testing.T) {
			s := stuck{make(chan struct{})}
			play := rollouttest.Play{Plan: plan(t, 5000, nil), Do: troubled}
			u := show(s, terminal)
			play.Observe = func(turn []rollout.Event, s *rollout.Snapshot) {
				u.Observe(turn, s)
				u.model.Progress(turn[0].Host, rollout.Transfer{Bytes: 1})
			}
			state, err := play.Run()
			if err != nil || state.Finished() == nil {
				t.Error(err)
			}
			close(s.free)
			u.Close()
		})
	}
}

// TestDumb holds that a terminal which cannot move its cursor gets plain lines.
func TestDumb(t *testing.T) {
	t.Setenv("TERM", "dumb")
	play := rollouttest.Play{Plan: plan(t, 60, nil)}
	var b locked
	u := show(&b, true)
	play.Observe = u.Observe
	if _, err := play.Run(); err != nil {
		t.Fatal(err)
	}
	u.Close()
	if out := b.String(); strings.Contains(out, "\x1b") || !strings.Contains(out, "19:06:01Z canaries: 2 hosts to sync") {
		t.Errorf("%q", out)
	}
}

// TestNoColour holds that NO_COLOR leaves bars without colours.
func TestNoColour(t *testing.T) {
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "1")
	synctest.Test(t, func(t *testing.T) {
		play := rollouttest.Play{Plan: plan(t, 60, nil), Do: troubled}
		var b locked
		u := show(&b, true)
		paced(t, u, play, func() {})
		u.Close()
		if out := b.String(); regexp.MustCompile(`\x1b\[[0-9;]*m`).MatchString(out) || !strings.Contains(out, "━") {
			t.Errorf("%q", out)
		}
	})
}

// TestUnused holds that a Screen of which nothing happens to be asked writes nothing and starts nothing.
func TestUnused(t *testing.T) {
	before := runtime.NumGoroutine()
	var b locked
	u := show(&b, true)
	u.model.Progress("mw1017", rollout.Transfer{})
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines were started", after-before)
	}
	u.Close()
	if out := b.String(); out != "" {
		t.Errorf("%q was written", out)
	}
}

// TestFile draws on a file that is no terminal although it is called one.
func TestFile(t *testing.T) {
	t.Setenv("TERM", "xterm")
	file, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	play := rollouttest.Play{Plan: plan(t, 60, nil)}
	u := show(file, true)
	play.Observe = u.Observe
	if _, err := play.Run(); err != nil {
		t.Error(err)
	}
	u.Close()
	if err := file.Close(); err != nil {
		t.Error(err)
	}
	u.Observe(nil, nil) // after Close nothing is looked at
}
