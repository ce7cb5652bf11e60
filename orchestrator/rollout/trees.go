package rollout

import "time"

// LastTree is what is last known of the tree of one host.
type LastTree struct {
	Host     string    `json:"host"`
	Standing Standing  `json:"standing,omitempty"` // synced, partial, failed; syncing, in_hooks: its run has died; empty: no run touched it
	Hooks    HookState `json:"hooks,omitempty"`    // failed, skipped: it has failed, and has the tree all the same
	Run      string    `json:"run,omitempty"`      // that left it so
	At       time.Time `json:"at,omitzero"`        // when
	Tree     *Tree     `json:"tree,omitempty"`     // of that run; nil: it is not known
	Paths    []string  `json:"paths,omitempty"`    // partial: the part that is of Tree
	Error    string    `json:"error,omitempty"`    // failed: why

	RolledBack string `json:"rolled_back,omitempty"` // the newest run that was taken back, and so left the tree of Run
}

// Has says whether the host is known to hold the whole of a tree.
func (l LastTree) Has(fingerprint string) bool {
	return l.Standing == Synced && l.Tree != nil && l.Tree.Fingerprint != "" && l.Tree.Fingerprint == fingerprint
}

// Trees is what is last known of the trees of hosts: a fold over runs from the newest to the oldest. The zero Trees
// is not ready; NewTrees is.
type Trees struct {
	last  map[string]*LastTree
	until map[string]string // host → the run up to which nothing counts, because it was taken back
	open  int               // hosts of which nothing is known yet
}

// NewTrees returns Trees of which nothing is known yet.
func NewTrees(hosts []string) *Trees {
	t := &Trees{last: make(map[string]*LastTree, len(hosts)), until: map[string]string{}}
	for _, name := range hosts {
		t.last[name] = &LastTree{Host: name}
	}
	t.open = len(t.last)
	return t
}

// Complete says whether all is known, so that no older run can tell more.
func (t *Trees) Complete() bool { return t.open == 0 }

// Of returns what is known of a host.
func (t *Trees) Of(host string) LastTree {
	if l := t.last[host]; l != nil {
		return *l
	}
	return LastTree{Host: host}
}

// Add takes a run into account that is older than all before.
func (t *Trees) Add(s *State) {
	for _, r := range s.Report() {
		l := t.last[r.Host]
		if l == nil || l.Standing != "" {
			continue
		}
		if until := t.until[r.Host]; until != "" {
			if until == s.Plan.Run {
				delete(t.until, r.Host) // what was before it counts
			}
			continue
		}
		switch r.Standing {
		case Untouched, Down:
		case RolledBack:
			if l.RolledBack == "" {
				l.RolledBack = s.Plan.Run
			}
			if s.Plan.Undoes != "" {
				l.RolledBack, t.until[r.Host] = s.Plan.Undoes, s.Plan.Undoes
			}
		case Synced, Partial, Failed, Waiting, Syncing, InHooks, Unknowable:
			l.Standing, l.Run, l.At, l.Error = r.Standing, s.Plan.Run, r.At, r.Error
			if r.Standing == Failed {
				l.Hooks = r.Hooks
			}
			if r.Standing == Waiting {
				l.Standing = Failed
			}
			if s.Plan.Undoes == "" {
				l.Tree, l.Paths = s.Plan.Tree, s.Plan.Paths
			}
			t.open--
		}
	}
}
