package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// FuzzParse reads anything as a journal, and folds what can be read: both end with events or an
// error, and what was read once is read again from the part that was said to be whole.
func FuzzParse(f *testing.F) {
	fleet := &inventory.Fleet{
		Hosts:   []inventory.Host{{Name: "m"}, {Name: "c"}, {Name: "p"}, {Name: "h"}},
		Masters: []inventory.Master{{Host: "m", Serve: true, Slots: 1}}, Canaries: []string{"c"},
		Proxies: []inventory.Proxy{{Host: "p", Slots: 1, Pooled: true}},
	}
	plan, err := rollout.NewPlan(fleet, inventory.Settings{Batches: inventory.Batches{Parallel: 1}},
		rollout.Request{Run: "r", Mode: inventory.ModeSync, Pools: true})
	if err != nil {
		f.Fatal(err)
	}
	var whole bytes.Buffer
	for i, e := range []rollout.Event{
		{Kind: rollout.RunStarted, Plan: plan},
		{Kind: rollout.StepStarted, Step: "sync/c", Host: "c", Source: "m", Attempt: 1},
		{Kind: rollout.StepDone, Step: "sync/c", Host: "c", Source: "m", Attempt: 1, Stats: &rollout.Stats{}},
		{Kind: rollout.StepStarted, Step: "check/soak", Attempt: 1},
		{Kind: rollout.StepDone, Step: "check/soak", Attempt: 1, Verdict: rollout.Pass},
		{Kind: rollout.StepStarted, Step: "observe/p", Host: "p", Attempt: 1},
		{Kind: rollout.StepDone, Step: "observe/p", Host: "p", Attempt: 1, Objects: []rollout.Object{{Key: "k", Value: "v", Index: 1}}},
		{Kind: rollout.StepStarted, Step: "depool/p", Host: "p", Attempt: 1},
		{Kind: rollout.StepFailed, Step: "depool/p", Host: "p", Attempt: 1, Class: rollout.Conflict},
		{Kind: rollout.PoolChanged, Host: "p"},
		{Kind: rollout.StepStarted, Step: "repool/p", Host: "p", Attempt: 1},
		{Kind: rollout.RunResumed},
		{Kind: rollout.RunFinished, Outcome: &rollout.Outcome{}},
		{Kind: rollout.RunResumed},
	} {
		e.Seq, e.Run = int64(i+1), "r"
		line, err := json.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		whole.Write(append(line, '\n'))
		f.Add(bytes.Clone(whole.Bytes()))
	}
	f.Add(whole.Bytes()[:whole.Len()-7])
	f.Add(append(whole.Bytes(), 0, 0, 0))
	f.Add([]byte("\x00\n"))
	f.Add([]byte(`{"seq":1,"run":"r","kind":"run_started","plan":{"run":"r","origin":"m","hosts":` +
		`[{"name":"m","slots":1},{"name":"p","role":"proxy","pooled":true}],` +
		`"stages":[{"kind":"sync","hosts":["p"]},{"kind":"depool","hosts":["p"]}]}}` + "\n"))

	f.Add([]byte(`{"seq":1,"format":3,"writer":"x"}` + "\n"))

	f.Fuzz(func(t *testing.T, data []byte) {
		if newer := newerForm(data); newer != nil && (newer.Format <= rollout.Format || !bytes.Contains(data, []byte(`"format"`))) {
			t.Fatalf("%+v in %q", newer, data)
		}
		events, size, err := parse(data)
		if err != nil {
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) || corrupt.Line < 1 || corrupt.Line > bytes.Count(data, []byte("\n")) {
				t.Fatalf("the error is %v", err)
			}
			return
		}
		if size > int64(len(data)) || bytes.Count(data[:size], []byte("\n")) != len(events) {
			t.Fatalf("%d events in %d bytes", len(events), size)
		}
		if again, size2, err := parse(data[:size]); err != nil || len(again) != len(events) || size2 != size {
			t.Fatalf("read again: %d events of %d, %v", len(again), len(events), err)
		}
		state, err := Fold(events)
		if err != nil {
			return
		}
		rollout.Next(state, state.At)
		state.Outcome()
		state.Report()
	})
}
