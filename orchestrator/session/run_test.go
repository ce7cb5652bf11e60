package session_test

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"github.com/fleetsync/fleetsync/orchestrator"
	"github.com/fleetsync/fleetsync/orchestrator/manifest"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/session"
	"github.com/fleetsync/fleetsync/pooling"
)

// kinds collects the kinds of the events that it is shown.
type kinds []rollout.EventKind

func (k *kinds) Observe(turn []rollout.Event, _ *rollout.Snapshot) {
	for _, e := range turn {
		*k = append(*k, e.Kind)
	}
}

// TestRun is the life of a run: while it is under way its journal says that it lives and the shared store that it is unfinished; when
// it has ended without leaving anything out its receipts are dropped, one of a host that was never taken out too.
//
// Seen to fail with: receipts that stay after a run; a record that stays; a journal that stays locked.
func TestRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.master("tin")
	s := m.open(session.Claim{Run: "r1", Reason: "sync"})
	r, err := s.Start(m.begin("r1")[0].Plan, &manifest.Manifest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{m.Store.JournalPath("r1"), m.Store.LogPath("r1"), m.Store.ManifestPath("r1")} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	if !m.Store.Alive("r1") {
		t.Error("it does not live")
	}
	if _, err := s.Start(r.State.Plan, nil); !is[*session.StateError](err) || !errors.Is(err, fs.ErrExist) {
		t.Errorf("begun twice: %v", err)
	}
	var seen kinds
	outcome, err := r.Do(t.Context(), session.View{Observers: []orchestrator.Observer{&seen}})
	if err != nil || outcome.Result != rollout.ResultHalted { // nobody serves the tree
		t.Errorf("%+v, %v", outcome, err)
	}
	if len(seen) == 0 || seen[0] != rollout.RunStarted || seen[len(seen)-1] != rollout.RunFinished {
		t.Errorf("seen are %v", seen)
	}
	w.wantShared("inventory/last", "lock", "runs/r1")
	m.receipt("r1", "p1", pooling.Serving)
	if err := r.Finish(t.Context()); err != nil {
		t.Error(err)
	}
	w.wantShared("inventory/last", "lock")
	w.wantPools()
	if m.Store.Alive("r1") {
		t.Error("it still lives")
	}
	if state, err := (session.Journals{Store: m.Store}).Read("r1"); err != nil || state.Finished() == nil {
		t.Errorf("%+v, %v", state, err)
	}
}
