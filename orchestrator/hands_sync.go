package orchestrator

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/manifest"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/tree"
	"github.com/fleetsync/fleetsync/transport"
)

// sync pulls the tree, or the run's subset of it, from the step's source to its host.
func (h *Hands) sync(ctx context.Context, step rollout.Step) rollout.Event {
	hosts, err := h.hosts(step.Host, step.Source)
	if err != nil {
		return failure(rollout.Permanent, err)
	}
	conn, err := h.conn(h.Dialer, hosts[0])
	if err != nil {
		return failure(rollout.Permanent, err)
	}
	pull, verify := h.pull(hosts[0], hosts[1]), h.verifies(step)
	on := TreeOf(h.Fleet, hosts[0], conn)
	if h.Plan.Tree != nil {
		around := tree.Around{
			Run: h.Plan.Run, Attempt: step.Attempt, Fingerprint: h.Plan.Tree.Fingerprint, Keep: h.keep(step.Host), Prune: h.limit(),
		}
		if verify {
			around.Want = h.Plan.Tree.Digest
		}
		pull, err = on.Around(pull, around)
		if err != nil {
			return failure(rollout.Permanent, err)
		}
	}
	said, failed := h.before(ctx, step.Host)
	if failed != nil {
		return *failed
	}
	limit := time.Duration(h.Plan.Limits.Timeout)
	attempt, cancel := context.WithTimeoutCause(ctx, limit, errAttemptTimeout)
	defer cancel()
	stats, err := transport.Sync(attempt, conn, pull, h.watch(step.Host))
	if err == nil && verify {
		if e, good := h.verified(attempt, on, step, stats.After); !good {
			return e
		}
	}
	return h.treeEnded(ctx, attempt, limit, err, rollout.Event{Kind: rollout.StepDone, Detail: strings.Trim(stats.Warning+"; "+said, "; "), Stats: &rollout.Stats{
		Files: stats.Files, Created: stats.Created, Deleted: stats.Deleted, Transferred: stats.Transferred,
		Bytes: stats.Sent + stats.Received, Size: stats.TotalSize,
	}})
}

// keep says how much a host keeps of what syncs replace; nil: nothing.
func (h *Hands) keep(name string) *tree.Limit {
	if host, ok := h.planned(name); !ok || !host.Keep {
		return nil
	}
	limit := h.limit()
	return &limit
}

func (h *Hands) limit() tree.Limit { return tree.Limit{Runs: h.Keep.Runs, Age: h.Keep.Age} }

// verifies says whether a host's tree is compared with the run's after a sync: where the plan says so, and of whoever
// pulled from a master, which may be changed while it serves.
func (h *Hands) verifies(step rollout.Step) bool {
	if h.Plan.Tree == nil {
		return false
	}
	host, _ := h.planned(step.Host)
	source, _ := h.planned(step.Source)
	return host.Verify || source.Role == rollout.RoleMaster || step.Source == h.Plan.Origin
}

// verified compares what a host computed of its tree with the run's. Folders that rsync had to leave, because what is
// excluded is in them, make no difference: else a host that has such would never be synced.
func (h *Hands) verified(ctx context.Context, on tree.Tree, step rollout.Step, after []byte) (rollout.Event, bool) {
	digest, err := tree.ParseDigest(after)
	if err != nil {
		return failure(rollout.Transient, err), false
	}
	if digest == h.Plan.Tree.Digest {
		return rollout.Event{}, true
	}
	if h.leftOnly(ctx, step.Host) {
		// Until now the host's own record says that nobody knows what it has.
		record := tree.Record{Run: h.Plan.Run, Fingerprint: h.Plan.Tree.Fingerprint, Paths: h.Plan.Paths, Digest: digest}
		if err := on.Accept(ctx, record); err != nil {
			return failure(rollout.Transient, err), false
		}
		return rollout.Event{}, true
	}
	e := failure(rollout.Transient, fmt.Errorf("its tree is not the run's after a sync from %s: one of the two was changed meanwhile", step.Source))
	e.Blame = true
	return e, false
}

// leftOnly says whether a host's tree is certainly the run's but for folders that rsync had to leave.
func (h *Hands) leftOnly(ctx context.Context, name string) bool {
	if h.Want == nil || len(h.Fleet.Tree.Exclude) == 0 {
		return false
	}
	want, err := h.Want()
	if err != nil {
		return false
	}
	is, err := h.Manifest(ctx, name, false)
	return err == nil && len(manifest.NotLeft(manifest.Diff(want, is, h.Plan.Paths))) == 0
}

// planned returns a host as the plan has it.
func (h *Hands) planned(name string) (rollout.Host, bool) {
	h.once.Do(func() {
		h.byName = make(map[string]rollout.Host, len(h.Plan.Hosts))
		for _, host := range h.Plan.Hosts {
			h.byName[host.Name] = host
		}
	})
	host, ok := h.byName[name]
	return host, ok
}

// pull says what rsync is to do. A master's tree is where it is taken from on a master; every other
// host's is at its destination.
func (h *Hands) pull(host, source inventory.Host) transport.Pull {
	return transport.Pull{
		Source:      source.Endpoint + "/" + h.Fleet.Tree.Module,
		Destination: TreeOf(h.Fleet, host, nil).Root, Scratch: host.Scratch,
		Paths: h.Plan.Paths, Exclude: h.Fleet.Tree.Exclude,
		Compress: h.Rsync.Compress, BandwidthLimit: h.Rsync.BandwidthLimit, Timeout: h.Rsync.Timeout, Args: h.Rsync.Args,
		MaxDelete: h.Plan.Limits.MaxDelete,
	}
}

func (h *Hands) watch(host string) transport.Watch {
	var w transport.Watch
	if h.Progress != nil {
		w.Progress = func(p transport.Progress) { h.Progress(host, p) }
	}
	if h.Log != nil {
		w.Log = func(line string) { h.Log(host, line) }
	}
	return w
}

func class(c transport.Class) rollout.Class {
	switch c {
	case transport.ClassBusy:
		return rollout.Busy
	case transport.ClassTransient:
		return rollout.Transient
	case transport.ClassStopped:
		// Not by us: the caller knows when it was. Somebody ended rsync on the host; it may be tried again.
		return rollout.Transient
	case transport.ClassPermanent, transport.ClassMissing:
		return rollout.Permanent
	default:
		return rollout.Permanent
	}
}
