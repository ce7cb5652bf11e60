package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetsync/fleetsync/orchestrator/journal"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// TestNewerForm holds that a journal with events of a form that is not known is named as such, whatever else is in it, and left as it
// is. Planted, and seen to fail: only the first line looked at; lines taken for events before; a form within a plan taken for one;
// a torn line believed.
func TestNewerForm(t *testing.T) {
	lines := bytes.SplitAfter(written(t, aRun(t)), []byte("\n"))
	const resumed = `{"seq":5,"run":"r1","kind":"run_resumed","format":3,"writer":"fleetsync v9.1.0"}` + "\n"
	join := func(more ...string) []byte { return []byte(string(bytes.Join(lines, nil)) + strings.Join(more, "")) }
	for _, test := range []struct {
		name   string
		data   []byte
		format int // 0: it is none
		writer string
	}{
		{"from the beginning", []byte(`{"seq":1,"kind":"run_began","format":7,"writer":"fleetsync v12","plan":{"hosts":{"a":1}}}` +
			"\n"), 7, "fleetsync v12"},
		{"gone on with", join(resumed), 3, "fleetsync v9.1.0"},
		{"the newest counts", join(resumed, strings.NewReplacer(`:5`, `:6`, `:3`, `:4`, "v9", "v10").Replace(resumed),
			strings.Replace(resumed, ":5", ":7", 1)), 4, "fleetsync v10.1.0"},
		{"lines that are no events here", join(`{"seq":"five"}`+"\n", resumed), 3, "fleetsync v9.1.0"},
		{"nobody says who", []byte(`{"seq":1,"format":3}` + "\n"), 3, ""},
		{"a torn line", join(strings.TrimSuffix(resumed, "\n")), 0, ""},
		{"a known form", join(strings.Replace(resumed, ":3", fmt.Sprint(":", rollout.Format), 1)), 0, ""},
		{"something else of that name", join(`{"seq":5,"run":"r1","kind":"abort_asked","detail":"\"format\":3","plan":{"format":3}}` + "\n"),
			0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal")
			put(t, path, test.data)
			_, err := journal.Read(path)
			if test.format == 0 {
				if err != nil {
					t.Errorf("read: %v", err)
				}
				return
			}
			newer, ok := errors.AsType[*journal.NewerError](err)
			if !ok || *newer != (journal.NewerError{Path: path, Format: test.format, Writer: test.writer}) {
				t.Fatalf("read: %+v", err)
			}
			if _, _, err := journal.Open(path); !errors.As(err, &newer) {
				t.Errorf("opened: %v", err)
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, test.data) {
				t.Errorf("it was changed (%v)", err)
			}
		})
	}
	err := &journal.NewerError{Path: "/j", Format: 3, Writer: "fleetsync v9"}
	const want = "/j: written by fleetsync v9 in form 3; this program reads forms up to 2: use that version or a newer one"
	if err.Error() != want {
		t.Errorf("it says %q, should say %q", err, want)
	}
}

// TestForm1 folds journals that a program wrote from before events had a form: they do not say what kind a step is of, call a
// recheck a look, and know of a hook only what a person was told.
//
// Planted, and seen to fail: looks that are unknown steps; outcomes that are taken as they were written.
func TestForm1(t *testing.T) {
	const folder = "testdata/form1"
	runs, err := journal.Store{Dir: folder}.Runs()
	if err != nil || len(runs) != 3 {
		t.Fatalf("the runs are %v (%v)", runs, err)
	}
	said := map[string][]string{}
	for _, run := range runs {
		path := journal.Store{Dir: folder}.JournalPath(run)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte(`"format"`)) || bytes.Contains(data, []byte(`"step_kind"`)) ||
			!bytes.Contains(data, []byte(`"step":"look/`)) {
			t.Fatalf("%s is no journal of form 1", path)
		}
		events, err := journal.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		told := (*rollout.Outcome)(nil)
		if last := events[len(events)-1].Outcome; last != nil {
			o := *last
			told = &o
		}
		s, err := journal.Fold(events)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if e.Step != "" && (e.StepKind == "" || strings.HasPrefix(string(e.Step), "look/")) || (e.Kind == rollout.StepFailed) != (e.Fate != "") {
				t.Errorf("%s: after the fold, event %d is %+v", run, e.Seq, e)
			}
		}
		now := s.Snapshot().Died()
		said[run] = append(said[run], fmt.Sprintf("%s %s%s %+v", now.Standing, now.Outcome.Result, now.Outcome.Halt, now.Counts),
			fmt.Sprintf("held %v, out %v", now.Held, now.Out))
		for _, h := range now.Outcome.Hooks {
			said[run] = append(said[run], fmt.Sprintf("%+v", h))
		}
		for h := range now.Hosts.All() {
			if h.Standing != rollout.Synced && h.Standing != rollout.Untouched {
				said[run] = append(said[run], strings.TrimSpace(fmt.Sprintf("%s %s %s %s", h.Host, h.Standing, h.Hooks, h.Error)))
			}
		}
		if told != nil {
			told.Counts, told.Hooks, told.Halt = now.Counts, now.Outcome.Hooks, now.Outcome.Halt
			if diff := cmp.Diff(*told, now.Outcome); diff != "" {
				t.Errorf("%s: the outcome is not as it was told then (-then +now):\n%s", run, diff)
			}
		}
	}
	died, rolledBack, hooks := runs[0], runs[1], runs[2]
	want := map[string][]string{
		died: {
			"died done " + fmt.Sprintf("%+v", rollout.Counts{Hosts: 9, Synced: 3, Untouched: 6}),
			"held [mw1019.eqiad.wmnet mw1020.eqiad.wmnet mw2020.codfw.wmnet], out [mw1019.eqiad.wmnet mw2020.codfw.wmnet]",
		},
		rolledBack: {
			"finished haltedgate " + fmt.Sprintf("%+v", rollout.Counts{Hosts: 9, RolledBack: 2, Untouched: 7}), "held [], out []",
			"mw1017.eqiad.wmnet rolled_back", "mw2017.codfw.wmnet rolled_back",
		},
		hooks: {
			"finished failed " + fmt.Sprintf("%+v", rollout.Counts{Hosts: 9, Synced: 8, Failed: 1, FailedHooks: 1, HooksDone: 7,
				OnFailureDone: 1}), "held [], out []",
			fmt.Sprintf("%+v", rollout.HookResult{Host: "mw2018.codfw.wmnet", Moment: rollout.MomentPost, Failed: true,
				Detail: `hook "restart": exit code 7: no restart`}),
			fmt.Sprintf("%+v", rollout.HookResult{Host: "mw1018.eqiad.wmnet", Moment: rollout.MomentPost,
				Detail: `hook "says no": exit code 1: not now`}),
			fmt.Sprintf("%+v", rollout.HookResult{Moment: rollout.MomentPost, Detail: `hook "end": exit code 1: nobody reads this`}),
			`mw2018.codfw.wmnet failed failed hook "restart": exit code 7: no restart`,
		},
	}
	for _, run := range slices.Sorted(maps.Keys(want)) {
		if diff := cmp.Diff(want[run], said[run]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", run, diff)
		}
	}
}
