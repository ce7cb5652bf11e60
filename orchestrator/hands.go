package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/checks"
	"github.com/fleetsync/fleetsync/orchestrator/manifest"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/pooling/balancer"
	"github.com/fleetsync/fleetsync/transport"
)

// Hands is the Doer of real runs: it turns steps into rsyncs, changes of pool objects and checks.
// Its fields must not change after the first step. It is safe for concurrent use.
type Hands struct {
	Plan   *rollout.Plan
	Fleet  *inventory.Fleet
	Rsync  inventory.Rsync
	Keep   inventory.Keep // how much a host keeps of what syncs replace
	Checks []inventory.Check
	Hooks  inventory.Hooks
	Dialer *transport.Dialer

	// Want returns what is in the run's tree. It is asked only when a host's digest is another, and may be called by several
	// goroutines at once. Nil: nobody knows.
	Want func() (*manifest.Manifest, error)

	// Canaries connects to the hosts that the gate asks, again and again: its connections may be kept
	// open, which would cost too much for the whole fleet. Nil is Dialer.
	Canaries *transport.Dialer

	Pools     Pools // nil: the fleet has none
	Threshold pooling.Threshold
	Health    *inventory.HTTPCheck // asked before a repool; nil is none
	Balancers balancer.Groups      // who must confirm a depool and a repool
	Receipts  Receipts             // nil: there is no shared store
	Lease     Lease                // nil: the machine's own lock is all there is
	Owner     string               // who runs this, for receipts
	Machine   string               // where

	// Progress is shown how far a running transfer has come, and Log what a host's programs say. Both
	// are a side channel: they may drop what they are given, and must not block. Either may be nil.
	Progress func(host string, p transport.Progress)
	Log      func(host, line string)

	hooks  hooks
	once   sync.Once
	byName map[string]rollout.Host // the plan's
}

// Pools is what Hands need of the pool API.
type Pools interface {
	Pools(ctx context.Context) (pooling.Snapshot, error)
	Observe(ctx context.Context, host string) ([]pooling.Object, error)
	Depool(ctx context.Context, marker string, objects []pooling.Object, t pooling.Threshold) ([]pooling.Object, error)
	Restore(ctx context.Context, marker string, receipts []pooling.Object) ([]pooling.Restored, error)
}

// Receipts is what Hands need of the shared store.
type Receipts interface {
	PutReceipt(ctx context.Context, r pooling.Receipt) error
	DropReceipt(ctx context.Context, run, host string) error
	Receipts(ctx context.Context) ([]pooling.Receipt, error)
}

// Do implements Doer. Nothing begins without the lock, except to put back what is ours: that is safe
// at any time, because it is done by compare-and-set on what bears our mark.
func (h *Hands) Do(ctx context.Context, step rollout.Step) rollout.Event {
	if h.Lease != nil && step.Kind != rollout.StepRepool && !h.Lease.Valid() {
		// Keep is about to tell the run, which until then would only start this again.
		pause(ctx, lostPause)
		return failure(rollout.Stopped, pooling.ErrLockLost)
	}
	switch step.Kind {
	case rollout.StepSync:
		return h.sync(ctx, step)
	case rollout.StepRecheck:
		return h.look(ctx, step)
	case rollout.StepRollback:
		return h.rollback(ctx, step)
	case rollout.StepQuarantine:
		return h.quarantine(ctx, step)
	case rollout.StepRelease:
		return h.release(ctx, step)
	case rollout.StepHook:
		return h.moment(ctx, step)
	case rollout.StepPost, rollout.StepOnFailure:
		return h.after(ctx, step)
	case rollout.StepCheck:
		return h.check(ctx, step)
	case rollout.StepObserve:
		return h.observe(ctx, step)
	case rollout.StepDepool:
		return h.depool(ctx, step)
	case rollout.StepRepool:
		return h.repool(ctx, step)
	default:
		return failure(rollout.Permanent, fmt.Errorf("internal: no step of kind %q", step.Kind))
	}
}

// lostPause is how long a step that must not begin waits before it says so.
const lostPause = time.Second

func failure(class rollout.Class, err error) rollout.Event {
	return rollout.Event{Kind: rollout.StepFailed, Class: class, Error: err.Error()}
}

// conn returns the connection to a host.
func (h *Hands) conn(dialer *transport.Dialer, host inventory.Host) (transport.Conn, error) {
	return dialer.Dial(Reach(host))
}

// Reach returns how commands reach a host of the inventory.
func Reach(host inventory.Host) transport.Host {
	return transport.Host{
		Name: host.Name, Address: host.Address, Port: host.Port, User: host.User, Become: host.Become,
		Local: host.Connection == inventory.ConnectionLocal,
	}
}

// hosts returns the hosts of those names. A plan may be older than the inventory.
func (h *Hands) hosts(names ...string) ([]inventory.Host, error) {
	hosts := make([]inventory.Host, len(names))
	for i, name := range names {
		host, ok := h.Fleet.Host(name)
		if !ok {
			return nil, fmt.Errorf("%s is in the plan, but not in the inventory any more", name)
		}
		hosts[i] = host
	}
	return hosts, nil
}

// probe returns the probe of a configured HTTP check for one host.
func probe(c inventory.HTTPCheck, host inventory.Host) (checks.HTTP, error) {
	p := checks.HTTP{
		URL: checks.Expand(c.URL, host.Name, host.Destination), Headers: map[string]string{},
		Status: c.Status, Latency: c.Latency,
	}
	for name, value := range c.Headers {
		p.Headers[name] = checks.Expand(value, host.Name, host.Destination)
	}
	if c.Body != "" {
		body, err := regexp.Compile(c.Body)
		if err != nil {
			return p, fmt.Errorf("body pattern: %w", err)
		}
		p.Body = body
	}
	return p, nil
}

// stopped says whether an effect ended because its context did.
func stopped(ctx context.Context) bool {
	return ctx.Err() != nil && !errors.Is(context.Cause(ctx), errAttemptTimeout)
}

var errAttemptTimeout = errors.New("the attempt took too long")
