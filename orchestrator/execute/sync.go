package execute

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/fleetsync/fleetsync/orchestrator/manifest"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/tree"
	"github.com/fleetsync/fleetsync/transport/rsync"
)

// sync pulls the tree, or the run's subset of it, from the step's source to its host.
func (x *Executor) sync(ctx context.Context, step rollout.Step) rollout.Event {
	on, err := x.Hosts.Tree(step.Host)
	if err != nil {
		return failure(rollout.Permanent, err)
	}
	pull, err := x.Hosts.Pull(step.Host, step.Source, x.Plan.Paths, x.Plan.Limits.MaxDelete)
	if err != nil {
		return failure(rollout.Permanent, err)
	}
	verify := x.verifies(step)
	if x.Plan.Tree != nil {
		around := tree.Around{
			Run: x.Plan.Run, Attempt: step.Attempt, Fingerprint: x.Plan.Tree.Fingerprint, Backup: x.backup(step.Host), Prune: x.retention(),
		}
		if verify {
			around.Want = x.Plan.Tree.Digest
		}
		pull, err = on.Around(pull, around)
		if err != nil {
			return failure(rollout.Permanent, err)
		}
	}
	ignored, failed := x.before(ctx, step.Host)
	if failed != nil {
		return *failed
	}
	limit := time.Duration(x.Plan.Limits.Timeout)
	attempt, cancel := context.WithTimeoutCause(ctx, limit, errAttemptTimeout)
	defer cancel()
	stats, err := rsync.Sync(attempt, on.Conn, pull, x.watch(step.Host))
	if err == nil && verify {
		if e, good := x.verified(attempt, on, step, stats.After); !good {
			return e
		}
	}
	done := rollout.Event{Kind: rollout.StepDone, Detail: strings.Trim(stats.Warning+"; "+ignored, "; "), Stats: &rollout.Stats{
		Files: stats.Files, Created: stats.Created, Deleted: stats.Deleted, Transferred: stats.Transferred,
		Bytes: stats.Sent + stats.Received, Size: stats.TotalSize,
	}}
	return treeEnded(ctx, attempt, limit, err, done)
}

// backup says how much a host keeps of what syncs replace; nil: nothing.
func (x *Executor) backup(name string) *tree.Retention {
	if host, ok := x.planned(name); !ok || !host.Keep {
		return nil
	}
	limit := x.retention()
	return &limit
}

func (x *Executor) retention() tree.Retention {
	return tree.Retention{Runs: x.Retention.Runs, Age: x.Retention.Age}
}

// verifies says whether a host's tree is compared with the run's after a sync: where the plan says so, and of whoever
// pulled from a master, which may be changed while it serves.
func (x *Executor) verifies(step rollout.Step) bool {
	if x.Plan.Tree == nil {
		return false
	}
	host, _ := x.planned(step.Host)
	source, _ := x.planned(step.Source)
	return host.Verify || source.Role == rollout.RoleMaster || step.Source == x.Plan.Origin
}

// verified compares what a host computed of its tree with the run's. Folders that rsync had to leave, because what is
// excluded is in them, make no difference: else a host that has such would never be synced.
func (x *Executor) verified(ctx context.Context, on tree.Tree, step rollout.Step, after []byte) (rollout.Event, bool) {
	digest, err := tree.ParseDigest(after)
	if err != nil {
		return failure(rollout.Transient, err), false
	}
	if digest == x.Plan.Tree.Digest {
		return rollout.Event{}, true
	}
	if x.leftOnly(ctx, step.Host) {
		// Until now the host's own record says that nobody knows what it has.
		record := tree.Record{Run: x.Plan.Run, Fingerprint: x.Plan.Tree.Fingerprint, Paths: x.Plan.Paths, Digest: digest}
		if err := on.Accept(ctx, record); err != nil {
			return failure(rollout.Transient, err), false
		}
		return rollout.Event{}, true
	}
	e := failure(rollout.Transient,
		fmt.Errorf("its tree is not the run's after a sync from %s: one of the two was changed meanwhile", step.Source))
	e.Blame = true
	return e, false
}

// leftOnly says whether a host's tree is certainly the run's but for folders that rsync had to leave.
func (x *Executor) leftOnly(ctx context.Context, name string) bool {
	if x.Want == nil || len(x.Hosts.Fleet.Tree.Exclude) == 0 {
		return false
	}
	want, err := x.Want()
	if err != nil {
		return false
	}
	is, err := x.Hosts.Manifest(ctx, name, false)
	return err == nil && len(manifest.NotLeft(manifest.Diff(want, is, x.Plan.Paths))) == 0
}

func (x *Executor) watch(host string) rsync.Watch {
	var w rsync.Watch
	if x.Progress != nil {
		w.Progress = func(p rsync.Progress) { x.Progress(host, p) }
	}
	if x.Log != nil {
		w.Log = func(line string) { x.Log(host, line) }
	}
	return w
}
