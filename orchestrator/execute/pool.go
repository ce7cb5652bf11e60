package execute

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
)

// observe reads the host's pool objects: the receipt of what they were.
func (x *Executor) observe(ctx context.Context, step rollout.Step) rollout.Event {
	found, err := x.Pools.Observe(ctx, step.Host)
	if err != nil {
		return poolFailure(ctx, err)
	}
	objects, err := x.mayTake(found)
	if err == nil {
		err = x.putReceipt(ctx, step, objects)
	}
	if err != nil {
		return poolFailure(ctx, err)
	}
	return rollout.Event{Kind: rollout.StepDone, Objects: objects}
}

// putReceipt makes the receipt durable where the other masters find it, before anything is taken out.
// Of an object that bears our marker already, it keeps what the older receipt says.
func (x *Executor) putReceipt(ctx context.Context, step rollout.Step, found []rollout.Object) error {
	receipts, err := rollout.Receipts(found, step.Objects)
	if err != nil {
		return nil // the state finds the same, and leaves the host alone
	}
	return x.record(ctx, step.Host, pooling.Serving, receipts)
}

// record puts a receipt into the shared store, if there is one.
func (x *Executor) record(ctx context.Context, host string, purpose pooling.Purpose, receipts []rollout.Object) error {
	if x.Receipts == nil {
		return nil
	}
	return x.Receipts.PutReceipt(ctx, pooling.Receipt{
		Run: x.Plan.Run, Host: host, Purpose: purpose,
		Owner: x.Owner, Machine: x.Machine, Since: time.Now().UTC(), Objects: poolObjects(receipts),
	})
}

// mayTake returns objects as events bear them, and an error if they are not such that this run may take them out.
func (x *Executor) mayTake(found []pooling.Object) ([]rollout.Object, error) {
	if len(found) == 0 {
		return nil, pooling.ErrNoObjects
	}
	objects := make([]rollout.Object, len(found))
	for i, o := range found {
		fields, err := o.Fields()
		if err != nil {
			return nil, err
		}
		if fields.Marker != "" && fields.Marker != x.Plan.Run {
			return nil, fmt.Errorf("%s: %w %s", o.Key, errForeign, fields.Marker)
		}
		objects[i] = rollout.Object{Key: o.Key, Value: o.Value, Index: o.Index, Held: fields.Marker == x.Plan.Run}
	}
	return objects, nil
}

var errForeign = errors.New("is held by run")

// depool takes the host's objects out, as they were observed.
func (x *Executor) depool(ctx context.Context, step rollout.Step) rollout.Event {
	threshold, err := x.threshold(ctx, step.Host)
	if err != nil {
		return poolFailure(ctx, err)
	}
	if err := x.unseen(ctx, step); err != nil {
		return poolFailure(ctx, err)
	}
	held, err := x.Pools.Depool(ctx, x.Plan.Run, poolObjects(step.Objects), threshold)
	if err == nil {
		err = x.confirm(ctx, step.Host, held, false)
	}
	e := rollout.Event{Kind: rollout.StepDone}
	if err != nil {
		e = poolFailure(ctx, err)
	}
	e.Objects = objectsOf(held, true)
	return e
}

// unseen returns an error if the host is in a pool that it was not in when it was observed: Depool looks
// only at what was "yes" then, and nobody watches the host before this step.
func (x *Executor) unseen(ctx context.Context, step rollout.Step) error {
	found, err := x.Pools.Observe(ctx, step.Host)
	if err != nil {
		return err
	}
	for _, o := range found {
		seen := slices.ContainsFunc(step.Objects, func(r rollout.Object) bool { return r.Key == o.Key && r.Index == o.Index })
		if f, err := o.Fields(); !seen && (err != nil || f.Pooled == pooling.PooledYes) {
			return fmt.Errorf("%s: %w", o.Key, pooling.ErrConflict)
		}
	}
	return nil
}

// threshold returns what must stay in, knowing what the balancers find down at this moment.
func (x *Executor) threshold(ctx context.Context, host string) (pooling.Threshold, error) {
	if len(x.Balancers) == 0 {
		return x.Threshold, nil
	}
	snapshot, err := x.Pools.Pools(ctx)
	if err != nil {
		return x.Threshold, err
	}
	t := x.Threshold
	t.Down, err = snapshot.Down(ctx, x.Balancers.Down, []string{host})
	return t, err
}

// repool puts the host's objects back as its receipts say.
func (x *Executor) repool(ctx context.Context, step rollout.Step) rollout.Event {
	return x.PutBack(ctx, x.Plan.Run, step.Host, poolObjects(step.Objects), step.Attempt > 1)
}

// objectsOf returns pool objects as steps and events bear them; held says whether the run holds them.
func objectsOf(objects []pooling.Object, held bool) []rollout.Object {
	var out []rollout.Object
	for _, o := range objects {
		out = append(out, rollout.Object{Key: o.Key, Value: o.Value, Index: o.Index, Held: held})
	}
	return out
}

// poolObjects is the way back from objectsOf.
func poolObjects(objects []rollout.Object) []pooling.Object {
	out := make([]pooling.Object, len(objects))
	for i, o := range objects {
		out[i] = pooling.Object{Key: o.Key, Value: o.Value, Index: o.Index}
	}
	return out
}
