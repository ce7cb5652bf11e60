package monitor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
)

// Pools tells a run what others do to the pool objects that it holds. As an orchestrator.Observer it learns what
// is held. confctl, which people use at the same time, writes objects from stale copies and can undo
// a depool without anybody knowing (measured); hence objects are watched for as long as they are held.
type Pools struct {
	API   PoolAPI
	Run   string // the marker of what is ours
	World chan<- rollout.Event

	held atomic.Pointer[map[string]bool]
}

// PoolAPI is what Pools need of the pool API.
type PoolAPI interface {
	Pools(ctx context.Context) (pooling.Snapshot, error)
	Wait(ctx context.Context, after uint64) (pooling.Change, error)
}

// Observe implements orchestrator.Observer. From the moment its repool starts, a host is no longer watched: then
// we write ourselves, and Restore finds out what others did.
func (p *Pools) Observe(_ []rollout.Event, now *rollout.Snapshot) {
	held := map[string]bool{}
	for _, pool := range now.Pools {
		if pool.Held {
			held[pool.Host] = pool.State != rollout.PoolRepooling
		}
	}
	p.held.Store(&held)
}

// watchPause is how long to wait before asking again an API that does not answer.
const watchPause = time.Second

// Watch watches until ctx ends. It begins with what all pools hold, and reads them again whenever
// it may have missed something.
func (p *Pools) Watch(ctx context.Context) {
	index, known := uint64(0), false
	for ctx.Err() == nil {
		if !known {
			snapshot, err := p.API.Pools(ctx)
			if err != nil {
				pause(ctx, watchPause)
				continue
			}
			p.compare(ctx, snapshot)
			index, known = snapshot.Index, true
		}
		change, err := p.API.Wait(ctx, index)
		switch {
		case err == nil:
			index = change.Object.Index
			p.tell(ctx, change)
		case errors.Is(err, pooling.ErrIndexCleared):
			known = false
		default:
			pause(ctx, watchPause)
		}
	}
}

// compare tells of every held object that is not as we left it.
func (p *Pools) compare(ctx context.Context, snapshot pooling.Snapshot) {
	held := p.held.Load()
	if held == nil {
		return
	}
	for _, host := range slices.Sorted(maps.Keys(*held)) {
		for _, o := range snapshot.Hosts[host] {
			p.tell(ctx, pooling.Change{Object: o})
		}
	}
}

// tell sends what a change means, if it is one to an object that we hold. One that is still out and
// bears our marker needs nothing done, whoever wrote it: what else they changed is kept, and named when
// it is put back.
func (p *Pools) tell(ctx context.Context, c pooling.Change) {
	held := p.held.Load()
	if held == nil || !(*held)[c.Object.Host()] {
		return
	}
	e := rollout.Event{
		Kind: rollout.PoolChanged, Host: c.Object.Host(),
		Objects: []rollout.Object{{Key: c.Object.Key, Value: c.Object.Value, Index: c.Object.Index}},
	}
	fields, err := c.Object.Fields()
	switch {
	case c.Deleted:
		e.Edit, e.Detail = rollout.EditOut, "was deleted by somebody else, and stays so"
	case err != nil:
		e.Edit, e.Detail = rollout.EditOut, "was made unreadable by somebody else, and left as it is"
	case fields.Pooled == pooling.PooledYes:
		e.Edit, e.Detail = rollout.EditIn, "was set to yes by somebody else"
	case fields.Pooled == pooling.PooledNo && fields.Marker == p.Run:
		return
	default:
		e.Edit, e.Detail = rollout.EditOut, fmt.Sprintf("was set to %s by somebody else, and stays so", fields.Pooled)
	}
	e.Detail = c.Object.Key + " " + e.Detail
	send(ctx, p.World, e)
}
