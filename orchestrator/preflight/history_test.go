package preflight_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/guard"
	"github.com/fleetsync/fleetsync/orchestrator/preflight"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// TestHistory holds a History against functions that read all journals anew for each question, for generated pasts: full runs, canaries
// only, some hosts, some paths, runs that failed or were rolled back by their gate, rollbacks, and journals that cannot be read. It may
// be asked anything in any order, and reads no journal twice.
//
// Seen to fail with: a canary run, or one of some paths, taken for a good one; a good run that was taken back; a journal that cannot be
// read and is passed over; trees that are told by fewer runs than it takes, or by more; the newest tree of all where no host holds it;
// manifests that are needed because they were, by hosts that the last run has changed; those of a rollback's hosts.
func TestHistory(t *testing.T) {
	t.Parallel()
	world := newWorld(t)
	rapid.Check(t, func(t *rapid.T) {
		w := &pastWorld{world: world, corrupt: map[string]bool{}, read: map[string]int{}}
		for i := range rapid.IntRange(0, 6).Draw(t, "runs") {
			w.draw(t, fmt.Sprintf("r%02d", i))
		}
		h := preflight.NewHistory(w, world.fleet)
		var wanted *rollout.State
		for range 4 {
			switch rapid.SampledFrom([]string{"known", "good", "run", "known"}).Draw(t, "ask") {
			case "known":
				w.checkKnown(t, h)
			case "good":
				if got, want := h.LastGood(), w.lastGood(); !reflect.DeepEqual(got, want) {
					t.Fatalf("the last good run is %v, want %v", got, want)
				}
			case "run":
				if len(w.runs) == 0 || len(w.read) > 0 && wanted == nil { // who wants a run asks for it first
					continue
				}
				if wanted == nil {
					wanted = rapid.SampledFrom(w.runs).Draw(t, "run")
				}
				s := wanted
				if got, err := h.Run(s.Plan.Run); got != s || (err != nil) != w.corrupt[s.Plan.Run] {
					t.Fatalf("%v, %v", got, err)
				}
			}
		}
		now := w.draw(t, "r99")
		w.runs = w.runs[:len(w.runs)-1]
		most := rapid.IntRange(1, 3).Draw(t, "most")
		saved := func(run string) bool { return !strings.HasSuffix(run, "3") }
		got := h.Obsolete(now, saved, most)
		if want := w.obsolete(now, saved, most); !slices.Equal(got, want) {
			t.Fatalf("obsolete are %q, want %q", got, want)
		}
		for run, n := range w.read {
			if n > 1 && !w.corrupt[run] {
				t.Fatalf("the journal of %s was read %d times", run, n)
			}
		}
	})
}

// pastWorld is a world with another past for each draw.
type pastWorld struct {
	*world
	runs    []*rollout.State
	corrupt map[string]bool
	read    map[string]int
}

// draw adds a run.
func (w *pastWorld) draw(t *rapid.T, run string) *rollout.State {
	m := someTree(rapid.IntRange(20, 22).Draw(t, "files"))
	mode := rapid.SampledFrom([]inventory.Mode{
		inventory.ModeSync, inventory.ModeSync, inventory.ModeCanary, inventory.ModeResync, rollout.ModeRollback,
	}).Draw(t, "mode")
	failed := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"h1", "h2", "h3", "c1"}), 0, 2, rapid.ID[string]).Draw(t, "failed")
	change := func(r *rollout.Request) {
		r.Mode = mode
		if rapid.Bool().Draw(t, "some") {
			r.Selection = []string{"c1", "h1", "h2"}
		}
		if rapid.IntRange(0, 3).Draw(t, "paths") == 0 {
			r.Paths = []string{"f001"}
		}
		if mode == rollout.ModeRollback {
			r.Tree, r.Paths, r.Undoes = nil, nil, "r00"
			r.Selection = []string{"c1", "h1", "h2"}
			if len(w.runs) > 0 {
				r.Undoes = rapid.SampledFrom(w.runs).Draw(t, "undoes").Plan.Run
			}
		}
	}
	s, err := w.play(run, m, change, failed...)
	if err != nil {
		t.Fatal(err)
	}
	w.runs = append(w.runs, s)
	w.corrupt[run] = rapid.IntRange(0, 9).Draw(t, "corrupt") == 0
	return s
}

func (w *pastWorld) Runs() ([]string, error) {
	var runs []string
	for _, s := range slices.Backward(w.runs) {
		runs = append(runs, s.Plan.Run)
	}
	return runs, nil
}

func (w *pastWorld) Read(run string) (*rollout.State, error) {
	w.read[run]++
	i := slices.IndexFunc(w.runs, func(s *rollout.State) bool { return s.Plan.Run == run })
	if w.corrupt[run] {
		return w.runs[i], errNo
	}
	return w.runs[i], nil
}

// hosts are those whose trees are told of.
var hosts = []string{"c1", "c2", "p1", "p2", "h1", "h2", "h3", "h4"}

// whole says whether a run was to put a whole tree on the fleet.
func whole(s *rollout.State) bool {
	m := s.Plan.Mode
	return s.Plan.Tree != nil && len(s.Plan.Paths) == 0 && (m == inventory.ModeSync || m == inventory.ModeResync)
}

func good(s *rollout.State) bool {
	o := s.Finished()
	return whole(s) && o != nil && (o.Result == rollout.ResultDone || o.Result == rollout.ResultFailed)
}

// fold tells what is known of the trees of hosts, by these runs, newest first.
func (w *pastWorld) fold(runs []*rollout.State) (trees *rollout.Trees, wholes []*rollout.Plan, err error) {
	trees = rollout.NewTrees(hosts)
	for _, s := range runs {
		if trees.Complete() && len(wholes) > 0 {
			break
		}
		if w.corrupt[s.Plan.Run] {
			return nil, nil, errNo
		}
		trees.Add(s)
		if whole(s) {
			wholes = append(wholes, s.Plan)
		}
	}
	return trees, wholes, nil
}

func (w *pastWorld) newestFirst() []*rollout.State {
	runs := slices.Clone(w.runs)
	slices.Reverse(runs)
	return runs
}

func (w *pastWorld) checkKnown(t *rapid.T, h *preflight.History) {
	got, err := h.Known()
	trees, wholes, unread := w.fold(w.newestFirst())
	if unread != nil {
		if !errors.Is(err, errNo) {
			t.Fatalf("the error is %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range hosts {
		if got, want := got.Trees.Of(host), trees.Of(host); !reflect.DeepEqual(got, want) {
			t.Fatalf("%s has %+v, want %+v", host, got, want)
		}
	}
	held := slices.IndexFunc(wholes, func(p *rollout.Plan) bool {
		return slices.ContainsFunc(hosts, func(host string) bool { return trees.Of(host).Has(p.Tree.Fingerprint) })
	})
	if len(wholes) == 0 {
		if got.Newest != nil {
			t.Fatalf("the newest is of run %s, and there is none", got.NewestRun)
		}
		return
	}
	if want := wholes[max(held, 0)]; got.NewestRun != want.Run || got.Newest != want.Tree {
		t.Fatalf("the newest is of run %s, want %s", got.NewestRun, want.Run)
	}
}

func (w *pastWorld) lastGood() *guard.Last {
	undone := map[string]bool{}
	for _, s := range w.newestFirst() {
		if w.corrupt[s.Plan.Run] {
			continue
		}
		undone[s.Plan.Undoes] = true
		if good(s) && !undone[s.Plan.Run] {
			return &guard.Last{Files: s.Plan.Tree.Files, Bytes: s.Plan.Tree.Bytes}
		}
	}
	return nil
}

// obsolete folds all runs, the one that has just ended first.
func (w *pastWorld) obsolete(now *rollout.State, saved func(string) bool, most int) []string {
	if _, _, err := w.fold(w.newestFirst()); err != nil || now.Plan.Undoes != "" || len(w.runs)+1 <= most {
		return nil
	}
	// The one that has just ended was in memory, whatever becomes of its journal.
	all := append([]*rollout.State{now}, w.newestFirst()...)
	before := w.corrupt[now.Plan.Run]
	w.corrupt[now.Plan.Run] = false
	defer func() { w.corrupt[now.Plan.Run] = before }()
	trees := rollout.NewTrees(hosts)
	for _, s := range all {
		if !w.corrupt[s.Plan.Run] {
			trees.Add(s)
		}
	}
	needed := map[string]bool{}
	for _, host := range hosts {
		needed[trees.Of(host).Run] = true
	}
	left := most
	var runs []string
	for i, s := range all {
		run := s.Plan.Run
		switch {
		case !saved(run):
		case left > 0 && (i == 0 || good(s) && !w.corrupt[run]):
			left--
		case !needed[run]:
			runs = append(runs, run)
		}
	}
	return runs
}
