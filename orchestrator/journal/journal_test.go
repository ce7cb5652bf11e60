package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/journal"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

var at = time.Date(2016, 2, 2, 12, 0, 0, 123456789, time.UTC)

// aRun is the events of a small run, with what JSON could get wrong in them.
func aRun(t testing.TB) []rollout.Event {
	t.Helper()
	f := &inventory.Fleet{
		Name: "test", Hosts: []inventory.Host{{Name: "m1"}, {Name: "h1"}, {Name: "h2"}},
		Masters: []inventory.Master{{Host: "m1", Serve: true, Slots: 1}}, Canaries: []string{"h1"},
	}
	plan, err := rollout.NewPlan(f, inventory.Settings{Batches: inventory.Batches{Parallel: 1, Attempts: 2}},
		rollout.Request{Run: "r1", Mode: inventory.ModeSync, Made: at})
	if err != nil {
		t.Fatal(err)
	}
	events := []rollout.Event{
		{Kind: rollout.RunStarted, Plan: plan},
		{Kind: rollout.StepStarted, Step: "sync/h1", Host: "h1", Source: "m1", Attempt: 1},
		{
			Kind: rollout.StepFailed, Step: "sync/h1", Host: "h1", Source: "m1", Attempt: 1, Class: rollout.Transient,
			Error: "rsync exit 12: <html> & \"quotes\", a line\nbreak, \x00 zeros, \u2028 and \U0001F4A5",
		},
		{Kind: rollout.AbortAsked, Level: rollout.AbortGently},
	}
	for i := range events {
		events[i].Seq, events[i].At, events[i].Run = int64(i+1), at.Add(time.Duration(i)), "r1"
	}
	return events
}

// written returns the bytes of a journal that holds events.
func written(t testing.TB, events []rollout.Event) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "journal")
	j, err := journal.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(j.Append(events[:1]), j.Append(events[1:]), j.Close()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func put(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestRoundTrip(t *testing.T) {
	events := aRun(t)
	data := written(t, events)
	if lines := bytes.Count(data, []byte("\n")); lines != len(events) {
		t.Errorf("%d events are %d lines", len(events), lines)
	}
	path := filepath.Join(t.TempDir(), "journal")
	put(t, path, data)
	got, err := journal.Read(path)
	if err != nil || !reflect.DeepEqual(got, events) {
		t.Errorf("read %+v, %v", got, err)
	}
	state, err := journal.Fold(got)
	if err != nil || state.Seq != int64(len(events)) {
		t.Errorf("folded to %+v, %v", state, err)
	}
}

// TestTornTail cuts a journal at every byte: what is left is every line that is whole, and the
// journal goes on behind it. The same with zeros in place of what was cut.
func TestTornTail(t *testing.T) {
	events := aRun(t)
	data := written(t, events)
	path := filepath.Join(t.TempDir(), "journal")
	last := bytes.LastIndexByte(data[:len(data)-1], '\n') - 2
	for cut := range len(data) + 1 {
		whole := bytes.Count(data[:cut], []byte("\n"))
		for _, tail := range [][]byte{nil, make([]byte, 300)} {
			put(t, path, append(data[:cut:cut], tail...))
			got, err := journal.Read(path)
			if err != nil || len(got) != whole {
				t.Fatalf("cut at %d with %d zeros: %d events of %d, %v", cut, len(tail), len(got), whole, err)
			}
			if cut < last || cut%5 != 0 && cut < len(data)-3 {
				continue // each opening waits for the disk
			}
			j, got, err := journal.Open(path)
			if err != nil || len(got) != whole {
				t.Fatalf("cut at %d with %d zeros: opened with %d events of %d, %v", cut, len(tail), len(got), whole, err)
			}
			next := rollout.Event{Seq: int64(whole + 1), Run: "r1", Kind: rollout.RunResumed}
			if err := errors.Join(j.Append([]rollout.Event{next}), j.Close()); err != nil {
				t.Fatal(err)
			}
			if got, err = journal.Read(path); err != nil || len(got) != whole+1 || got[whole].Kind != rollout.RunResumed {
				t.Fatalf("cut at %d with %d zeros: goes on as %+v, %v", cut, len(tail), got, err)
			}
		}
	}
}

// TestCorrupt damages what is not the tail: that is never dropped in silence.
func TestCorrupt(t *testing.T) {
	lines := bytes.SplitAfter(written(t, aRun(t)), []byte("\n"))
	join := func(lines ...[]byte) []byte { return bytes.Join(lines, nil) }
	for _, test := range []struct {
		name string
		data []byte
		line int
	}{
		{"a line cut in the middle", join(lines[0], lines[1][:20], lines[2], lines[3]), 2},
		{"a line that is missing", join(lines[0], lines[2], lines[3]), 2},
		{"the first line is missing", join(lines[1], lines[2]), 1},
		{"a line twice", join(lines[0], lines[1], lines[1], lines[2]), 3},
		{"an empty line", join(lines[0], []byte("\n"), lines[1]), 2},
		{"zeros before a line", join(lines[0], make([]byte, 40), lines[1]), 2},
		{"a line of zeros", join(lines[0], lines[1], make([]byte, 40), []byte("\n")), 3},
		{"not an event", join(lines[0], []byte("null\n")), 2},
		{"another type", join(lines[0], []byte("[1]\n")), 2},
		{"text", []byte("hello\n"), 1},
		{"a seq too big", []byte(`{"seq":18446744073709551616}` + "\n"), 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal")
			put(t, path, test.data)
			_, err := journal.Read(path)
			var corrupt *journal.CorruptError
			if !errors.As(err, &corrupt) || corrupt.Line != test.line || corrupt.Path != path {
				t.Fatalf("the error is %v, should be of line %d", err, test.line)
			}
			if want := fmt.Sprintf("%s:%d: corrupt journal: ", path, test.line); !strings.HasPrefix(err.Error(), want) {
				t.Errorf("the error is %q, should begin with %q", err, want)
			}
			if _, _, err := journal.Open(path); !errors.As(err, &corrupt) {
				t.Errorf("opened: %v", err)
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, test.data) {
				t.Errorf("a corrupt journal was changed (%v)", err)
			}
		})
	}
}

func TestFoldRefuses(t *testing.T) {
	events := aRun(t)
	twice := append(append([]rollout.Event{}, events[:2]...), events[1])
	twice[2].Seq = 3
	for _, test := range []struct {
		name   string
		events []rollout.Event
		line   int // 0: there is no run in it
	}{
		{"nothing", nil, 0},
		{"no plan", events[1:], 0},
		{"a step started twice", twice, 3},
		{"a gap", []rollout.Event{events[0], events[2]}, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := journal.Fold(test.events)
			var corrupt *journal.CorruptError
			if errors.As(err, &corrupt) != (test.line > 0) || err == nil {
				t.Fatalf("the error is %v", err)
			}
			if test.line > 0 && corrupt.Line != test.line {
				t.Errorf("the error is of line %d, should be of %d", corrupt.Line, test.line)
			}
			if test.line == 0 && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the error is %v, should be fs.ErrNotExist", err)
			}
		})
	}
}

func TestMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	if _, err := journal.Read(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading: %v", err)
	}
	if _, _, err := journal.Open(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opening: %v", err)
	}
	j, err := journal.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := journal.Create(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("creating it twice: %v", err)
	}
	if _, _, err := journal.Open(path); err == nil {
		t.Error("opened while it is being written")
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j, events, err := journal.Open(path)
	if err != nil || len(events) != 0 {
		t.Fatalf("an empty one: %v, %v", events, err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestReadWhileWritten reads all the time that another goroutine appends.
func TestReadWhileWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, err := journal.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	const appends, each = 60, 50
	written := make(chan error, 1)
	go func() {
		seq := int64(0)
		for range appends {
			var events []rollout.Event
			for range each {
				seq++
				events = append(events, rollout.Event{Seq: seq, Run: "r1", Kind: rollout.RunResumed, Detail: strings.Repeat("x", int(seq)%500)})
			}
			if err := j.Append(events); err != nil {
				written <- err
				return
			}
		}
		written <- j.Close()
	}()
	seen, reads := 0, 0
	for done := false; !done; reads++ {
		select {
		case err := <-written:
			if err != nil {
				t.Fatal(err)
			}
			done = true
		default:
		}
		events, err := journal.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(events) < seen {
			t.Fatalf("read %d events after %d", len(events), seen)
		}
		seen = len(events)
	}
	if seen != appends*each {
		t.Errorf("%d events at the end", seen)
	}
	t.Logf("%d reads", reads)
}
