package orchestrator

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

// Watcher tells a run what others do to the pool objects that it holds. As an Observer it learns what
// is held. confctl, which people use at the same time, writes objects from stale copies and can undo
// a depool without anybody knowing (measured); hence objects are watched for as long as they are held.
type Watcher struct {
	Pools PoolWatch
	Run   string // the marker of what is ours
	World chan<- rollout.Event

	held atomic.Pointer[map[string]bool]
}

// PoolWatch is what a Watcher needs of the pool API.
type PoolWatch interface {
	Pools(ctx context.Context) (pooling.Snapshot, error)
	Wait(ctx context.Context, after uint64) (pooling.Change, error)
}

// Observe implements Observer. From the moment its repool starts, a host is no longer watched: then
// we write ourselves, and Restore finds out what others did.
func (w *Watcher) Observe(_ []rollout.Event, now *rollout.Snapshot) {
	held := map[string]bool{}
	for _, p := range now.Pools {
		if p.Held {
			held[p.Host] = p.State != rollout.PoolRepooling
		}
	}
	w.held.Store(&held)
}

// watchPause is how long to wait before asking again an API that does not answer.
const watchPause = time.Second

// Watch watches until ctx ends. It begins with a look at all pools, and looks at them again whenever
// it may have missed something.
func (w *Watcher) Watch(ctx context.Context) {
	index, known := uint64(0), false
	for ctx.Err() == nil {
		if !known {
			snapshot, err := w.Pools.Pools(ctx)
			if err != nil {
				pause(ctx, watchPause)
				continue
			}
			w.look(ctx, snapshot)
			index, known = snapshot.Index, true
		}
		change, err := w.Pools.Wait(ctx, index)
		switch {
		case err == nil:
			index = change.Object.Index
			w.tell(ctx, change)
		case errors.Is(err, pooling.ErrIndexCleared):
			known = false
		default:
			pause(ctx, watchPause)
		}
	}
}

// look tells of every held object that is not as we left it.
func (w *Watcher) look(ctx context.Context, snapshot pooling.Snapshot) {
	held := w.held.Load()
	if held == nil {
		return
	}
	for _, host := range slices.Sorted(maps.Keys(*held)) {
		for _, o := range snapshot.Hosts[host] {
			w.tell(ctx, pooling.Change{Object: o})
		}
	}
}

// tell sends what a change means, if it is one to an object that we hold. One that is still out and
// bears our mark needs nothing done, whoever wrote it: what else they changed is kept, and named when
// it is put back.
func (w *Watcher) tell(ctx context.Context, c pooling.Change) {
	held := w.held.Load()
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
	case fields.Pooled == pooling.PooledNo && fields.Marker == w.Run:
		return
	default:
		e.Edit, e.Detail = rollout.EditOut, fmt.Sprintf("was set to %s by somebody else, and stays so", fields.Pooled)
	}
	e.Detail = c.Object.Key + " " + e.Detail
	send(ctx, w.World, e)
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
