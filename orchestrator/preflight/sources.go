package preflight

import (
	"context"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/fanout"
	"github.com/fleetsync/fleetsync/orchestrator/guard"
	"github.com/fleetsync/fleetsync/orchestrator/manifest"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/tree"
	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/rsync"
)

// Sources are those who know the facts. All of them are asked by several goroutines at once.
type Sources struct {
	Fleet   *inventory.Fleet
	Policy  *inventory.Policy
	Machine string // this one

	Shared    Shared          // nil: the masters of the fleet share no store
	Pools     Pools           // nil: the fleet has no pools, or they are not to be asked
	Balancers pooling.AskDown // asked only with Pools
	Hosts     Hosts
	Trees     Trees
	History   *History
}

// Shared is the store that all masters of the fleet share.
type Shared interface {
	Receipts(ctx context.Context) ([]pooling.Receipt, error)
	Inventory(ctx context.Context) (pooling.InventoryRecord, error)
}

// Pools is the pool API.
type Pools interface {
	Pools(ctx context.Context) (pooling.Snapshot, error)
}

// Hosts asks hosts what they have; nothing is changed there.
type Hosts interface {
	// Answers asks whether a host is there; nil is yes.
	Answers(ctx context.Context, host string) error
	// Free returns how many bytes are free where the host's tree is.
	Free(ctx context.Context, host string) (int64, error)
	// DryRun tells what a sync of those paths from a source would do to a host, nil paths being the whole tree, and names at most most of
	// the paths that would go.
	DryRun(ctx context.Context, host, source string, paths []string, most int) (rsync.Delta, error)
	// Record returns what a host knows of the last change of its tree; nil: of none.
	Record(ctx context.Context, host string) (*tree.Record, error)
	// Undoable returns the run before which a host's tree can be had back: the one that is asked for, or the last.
	Undoable(ctx context.Context, host, run string) (string, error)
	// PreviewUndo tells what putting back a host's tree would do, and names at most most of the paths that were changed since.
	PreviewUndo(ctx context.Context, host, run string, most int) (tree.Preview, error)
}

// Trees reads the trees of masters, and of hosts that a lost one is rebuilt from.
type Trees interface {
	// Tree returns the tree of a host; it is read through what is returned.
	Tree(host string) (guard.Tree, error)
	// Scanned returns what the tree of a host was when it was scanned last, so that what is unchanged need not be read again; nil: it is
	// not known.
	Scanned(host string) *manifest.Manifest
	// Keep records it, if it can: it only saves time.
	Keep(host string, m *manifest.Manifest)
	// UserID returns the ID of a user as the host knows it.
	UserID(ctx context.Context, host, name string) (uint32, error)
}

// Bounds of what is asked of hosts before a run.
const (
	// probeAtOnce is for a question for which nobody logs in, so that it is more than may be synced at once: the time of a host that
	// hangs is that of all of them.
	probeAtOnce = 256
	askAtOnce   = 32
	maxGone     = 1000 // paths named of what would be deleted on one host
	maxSince    = 20   // paths named of what has changed on a master since the run that is undone
)

// ask finds the answer to a question, and returns what puts it into the facts.
func (s Sources) ask(ctx context.Context, r Request, q Question) func(*Facts) {
	switch q.Topic {
	case TopicReceipts:
		a := answer(s.Shared.Receipts(ctx))
		return func(f *Facts) { f.Receipts = a }
	case TopicInventory:
		a := answer(s.Shared.Inventory(ctx))
		return func(f *Facts) { f.Inventory = a }
	case TopicPools:
		a := answer(s.Pools.Pools(ctx))
		return func(f *Facts) { f.Pools = a }
	case TopicNoTraffic:
		a := answer(q.Pools.Down(ctx, s.Balancers, q.Hosts))
		return func(f *Facts) { f.NoTraffic = a }
	case TopicKnown:
		a := answer(s.History.Known())
		return func(f *Facts) { f.Known = a }
	case TopicUndone:
		a := answer(s.History.Run(q.Run))
		return func(f *Facts) { f.Undone = a }
	case TopicOrigin:
		o := s.origin(ctx, q.Hosts[0], r.Full)
		return func(f *Facts) { f.Origin = o }
	case TopicUndo:
		a := answer(s.undo(ctx, q.Hosts[0], q.Run))
		return func(f *Facts) { f.Undo = a }
	case TopicProbe:
		errs := make([]error, len(q.Hosts))
		fanout.Each(ctx, probeAtOnce, q.Hosts, func(ctx context.Context, i int, host string) { errs[i] = s.Hosts.Answers(ctx, host) })
		return func(f *Facts) {
			for i, host := range q.Hosts {
				f.Probed[host] = errs[i]
			}
		}
	case TopicDryRun:
		answers := each(ctx, q.Hosts, func(ctx context.Context, host string) (rollout.HostDelta, error) {
			d, err := s.Hosts.DryRun(ctx, host, q.Source, q.Paths, maxGone)
			return hostDelta(host, d), err
		})
		return func(f *Facts) { merge(f.DryRuns, q.Hosts, answers) }
	case TopicFree:
		answers := each(ctx, q.Hosts, s.Hosts.Free)
		return func(f *Facts) { merge(f.Free, q.Hosts, answers) }
	default:
		return func(*Facts) {}
	}
}

// each asks hosts, in their order and bounded.
func each[T any](ctx context.Context, hosts []string, ask func(context.Context, string) (T, error)) []Answer[T] {
	answers := make([]Answer[T], len(hosts))
	fanout.Each(ctx, askAtOnce, hosts, func(ctx context.Context, i int, host string) { answers[i] = *answer(ask(ctx, host)) })
	return answers
}

func merge[T any](into map[string]Answer[T], hosts []string, answers []Answer[T]) {
	for i, host := range hosts {
		into[host] = answers[i]
	}
}

// hostDelta is what a dry run said, as a plan records it.
func hostDelta(host string, d rsync.Delta) rollout.HostDelta {
	out := rollout.HostDelta{Host: host, Create: d.Create, Change: d.Change, Delete: d.Delete, Bytes: d.Bytes}
	for _, top := range d.Top {
		out.Top = append(out.Top, rollout.TopDelta{
			Name: transport.Neutral(top.Name), Create: top.Create, Change: top.Change, Delete: top.Delete,
		})
	}
	for _, path := range d.Deleted {
		out.Gone = append(out.Gone, transport.Neutral(path))
	}
	return out
}

// undo finds out how a master's tree can be put back.
func (s Sources) undo(ctx context.Context, master, run string) (Undo, error) {
	run, err := s.Hosts.Undoable(ctx, master, run)
	if err != nil {
		return Undo{}, err
	}
	preview, err := s.Hosts.PreviewUndo(ctx, master, run, maxSince)
	return Undo{Run: run, Preview: preview}, err
}
