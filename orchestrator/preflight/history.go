package preflight

import (
	"fmt"
	"slices"
	"sync"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/guard"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// Journals is where the runs of a fleet are recorded.
type Journals interface {
	// Runs returns the runs that have a journal, newest first.
	Runs() ([]string, error)
	// Read returns where a run stands.
	Read(run string) (*rollout.State, error)
}

// maxTold is how many runs are read to find out what is last known: a host that none of them touched counts as never seen.
const maxTold = 200

// Known is what is last known of every host's tree.
type Known struct {
	Trees *rollout.Trees

	// Newest is the tree of the newest run that was to bring a whole one to the fleet, and NewestRun that run. One that no host holds any
	// more, because all were rolled back, gives way to an older one. Nil: there is none.
	Newest    *rollout.Tree
	NewestRun string
}

// History is what the journals of this machine tell of past runs. It reads each at most once, newest first and only as many as what it
// is asked for takes, and remembers of it no more than that. It is safe for concurrent use.
type History struct {
	journals Journals
	hosts    []string // whose trees are told of

	mu    sync.Mutex
	runs  []string // newest first
	err   error    // why they cannot be listed
	past  []past   // of those that have been read, in the same order
	asked map[string]*rollout.State

	trees  *rollout.Trees // what the first told of past tell
	told   int
	unread error // why one of those cannot be read
}

// past is what is remembered of a run.
type past struct {
	err    error // why it cannot be read
	undoes string
	good   *rollout.Tree // that it put on the fleet; nil: it did not
	whole  *rollout.Tree // that it was to bring to the fleet; nil: it was for something else
}

// NewHistory returns a history of all runs that there are now, which tells of the trees of a fleet's hosts but its masters.
func NewHistory(j Journals, fleet *inventory.Fleet) *History {
	h := &History{journals: j, asked: map[string]*rollout.State{}}
	for _, host := range fleet.Hosts {
		if _, master := fleet.Master(host.Name); !master {
			h.hosts = append(h.hosts, host.Name)
		}
	}
	h.trees = rollout.NewTrees(h.hosts)
	h.runs, h.err = j.Runs()
	return h
}

// Run returns where a run stands. It is read at once, so that who wants one run and what is known asks for the run first.
func (h *History) Run(run string) (*rollout.State, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.read(run)
}

func (h *History) read(run string) (*rollout.State, error) {
	if s := h.asked[run]; s != nil {
		return s, nil
	}
	s, err := h.journals.Read(run)
	if err == nil {
		h.asked[run] = s
	}
	return s, err
}

// next reads one run more, unless there is none.
func (h *History) next() bool {
	i := len(h.past)
	if i == len(h.runs) {
		return false
	}
	s := h.asked[h.runs[i]]
	var p past
	if s == nil {
		s, p.err = h.journals.Read(h.runs[i])
	}
	if p.err == nil {
		p.undoes = s.Plan.Undoes
		if bringsAll(s.Plan) {
			p.whole = s.Plan.Tree
			if o := s.Finished(); o != nil && (o.Result == rollout.ResultDone || o.Result == rollout.ResultFailed) {
				p.good = s.Plan.Tree
			}
		}
	}
	if !h.enough() {
		h.told = i + 1
		if p.err != nil && h.unread == nil {
			h.unread = p.err
		}
		if p.err == nil {
			h.trees.Add(s)
		}
	}
	h.past = append(h.past, p)
	return true
}

// bringsAll says whether a run is to put a whole tree on the fleet.
func bringsAll(p *rollout.Plan) bool {
	return p.Tree != nil && len(p.Paths) == 0 && p.Mode != inventory.ModeCanary && p.Mode != rollout.ModeMasters
}

// enough says whether older runs cannot tell more of the trees, or are not asked any more.
func (h *History) enough() bool {
	return h.told < len(h.past) || h.told == maxTold ||
		h.trees.Complete() && slices.ContainsFunc(h.past, func(p past) bool { return p.whole != nil })
}

// Known returns what is last known of the tree of every host: by the newest runs, as many as it takes. One that cannot be read is an
// error: it may have changed any host, so that what older runs tell is not the truth any more.
func (h *History) Known() (*Known, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err != nil {
		return nil, h.err
	}
	for h.unread == nil && !h.enough() && h.next() { // reads on
	}
	if h.unread != nil {
		return nil, fmt.Errorf("what the hosts hold cannot be told: %w", h.unread)
	}
	k := &Known{Trees: h.trees}
	for i, p := range h.past[:h.told] {
		if p.whole == nil {
			continue
		}
		held := slices.ContainsFunc(h.hosts, func(name string) bool { return h.trees.Of(name).Has(p.whole.Fingerprint) })
		if k.Newest == nil || held {
			k.Newest, k.NewestRun = p.whole, h.runs[i]
		}
		if held {
			break
		}
	}
	return k, nil
}

// LastGood returns what the last good full run put on its hosts, of those that nobody has taken back; nil if none is known.
func (h *History) LastGood() *guard.Last {
	h.mu.Lock()
	defer h.mu.Unlock()
	undone := map[string]bool{}
	for i := range min(len(h.runs), maxTold) {
		if i == len(h.past) {
			h.next()
		}
		p := h.past[i]
		undone[p.undoes] = true
		if p.good != nil && !undone[h.runs[i]] {
			return &guard.Last{Files: p.good.Files, Bytes: p.good.Bytes}
		}
	}
	return nil
}

// Obsolete returns the runs before the one that has just ended in now whose manifests nobody needs any more: those that are not
// among the newest good ones, as many as most with the one of now, and that left no host as it is. Saved says whether there is a
// manifest of a run. A rollback adds none, so that nothing is obsolete after one.
func (h *History) Obsolete(now *rollout.State, saved func(run string) bool, most int) []string {
	known, err := h.Known()
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil || now.Plan.Undoes != "" || len(h.runs) < most {
		return nil
	}
	changed := map[string]bool{} // hosts that hold what the run of now has left there
	for _, r := range now.Report() {
		switch r.Standing {
		case rollout.Synced, rollout.Partial, rollout.Failed, rollout.Waiting, rollout.Syncing, rollout.InHooks, rollout.Unknowable:
			changed[r.Host] = true
		case rollout.Untouched, rollout.Down, rollout.RolledBack:
		}
	}
	needed := map[string]bool{}
	for _, name := range h.hosts {
		if !changed[name] {
			needed[known.Trees.Of(name).Run] = true
		}
	}
	left := most
	if saved(now.Plan.Run) {
		left--
	}
	var runs []string
	for i, run := range h.runs {
		if !saved(run) {
			continue
		}
		for left > 0 && i >= len(h.past) && h.next() { // reads on
		}
		switch {
		case left > 0 && h.past[i].good != nil:
			left--
		case !needed[run]:
			runs = append(runs, run)
		}
	}
	return runs
}
