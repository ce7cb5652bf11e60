package execute

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/hosts"
	"github.com/fleetsync/fleetsync/orchestrator/manifest"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/transport/rsync"
)

// Executor is the Doer of real runs: it turns steps into rsyncs, changes of pool objects, checks and hooks.
// Its fields must not change after the first step. It is safe for concurrent use.
type Executor struct {
	Plan      *rollout.Plan
	Retention inventory.Retention // how much a host keeps of what syncs replace
	Checks    []inventory.Check
	Hooks     inventory.Hooks

	// Want returns what is in the run's tree. It is asked only when a host's digest is another, and may be called by several
	// goroutines at once. Nil: nobody knows.
	Want func() (*manifest.Manifest, error)

	// Canaries connects to the hosts that the gate asks, again and again: its connections may be kept
	// open, which would cost too much for the whole fleet. Nil is Hosts.
	Canaries *hosts.Asker

	// What the run takes out of pools it can put back, too. Its Hosts are those of the steps.
	Restorer

	Threshold pooling.Threshold
	Lease     Lease  // nil: the machine's own lock is all there is
	Owner     string // who runs this, for receipts
	Machine   string // where

	// Progress is shown how far a running transfer has come, and Log what a host's programs say. Both
	// are a side channel: they may drop what they are given, and must not block. Either may be nil.
	Progress func(host string, p rsync.Progress)
	Log      func(host, line string)

	hooks  hooks
	once   sync.Once
	byName map[string]rollout.Host // the plan's
}

// Lease is what an Executor needs of the fleet's lock.
type Lease interface {
	// Valid says whether the lock is certainly still the run's. It asks nobody.
	Valid() bool
}

// Do implements orchestrator.Doer. Nothing begins without the lock, except to put back what is ours: that is safe
// at any time, because it is done by compare-and-set on what bears our marker.
func (x *Executor) Do(ctx context.Context, step rollout.Step) rollout.Event {
	if x.Lease != nil && step.Kind != rollout.StepRepool && !x.Lease.Valid() {
		// The run is about to be told that the lock is lost. Until then it would only start this again.
		select {
		case <-time.After(lostPause):
		case <-ctx.Done():
		}
		return failure(rollout.Stopped, pooling.ErrLockLost)
	}
	effect := x.effect(step.Kind)
	if effect == nil {
		return failure(rollout.Permanent, fmt.Errorf("internal: no step of kind %q", step.Kind))
	}
	return effect(ctx, step)
}

// lostPause is how long a step that must not begin waits before it says so.
const lostPause = time.Second

// effect returns what carries out steps of a kind. Of a kind that it does not know the linter says so here, and a test.
func (x *Executor) effect(kind rollout.StepKind) func(context.Context, rollout.Step) rollout.Event {
	switch kind {
	case rollout.StepSync:
		return x.sync
	case rollout.StepRecheck:
		return x.recheck
	case rollout.StepRollback:
		return x.rollback
	case rollout.StepQuarantine:
		return x.quarantine
	case rollout.StepRelease:
		return x.release
	case rollout.StepHook:
		return x.runHooks
	case rollout.StepPost:
		return x.post
	case rollout.StepOnFailure:
		return x.onFailure
	case rollout.StepCheck:
		return x.check
	case rollout.StepObserve:
		return x.observe
	case rollout.StepDepool:
		return x.depool
	case rollout.StepRepool:
		return x.repool
	}
	return nil
}

// planned returns a host as the plan has it.
func (x *Executor) planned(name string) (rollout.Host, bool) {
	x.once.Do(func() {
		x.byName = make(map[string]rollout.Host, len(x.Plan.Hosts))
		for _, host := range x.Plan.Hosts {
			x.byName[host.Name] = host
		}
	})
	host, ok := x.byName[name]
	return host, ok
}
