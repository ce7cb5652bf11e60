package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fleetsync/fleetsync/orchestrator/checks"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/pooling/balancer"
)

// observe reads the host's pool objects: the receipt of what they were.
func (h *Hands) observe(ctx context.Context, step rollout.Step) rollout.Event {
	objects, err := h.found(ctx, step.Host)
	if err == nil {
		err = h.putReceipt(ctx, step, objects)
	}
	if err != nil {
		return poolFailure(ctx, err)
	}
	return rollout.Event{Kind: rollout.StepDone, Objects: objects}
}

// putReceipt makes the receipt durable where the other masters find it, before anything is taken out.
// Of an object that bears our mark already, it keeps what the older receipt says.
func (h *Hands) putReceipt(ctx context.Context, step rollout.Step, found []rollout.Object) error {
	receipts, err := rollout.Receipts(found, step.Objects)
	if err != nil {
		return nil // the state finds the same, and leaves the host alone
	}
	return h.record(ctx, step.Host, pooling.Serving, receipts)
}

// record puts a receipt into the shared store, if there is one.
func (h *Hands) record(ctx context.Context, host string, purpose pooling.Purpose, receipts []rollout.Object) error {
	if h.Receipts == nil {
		return nil
	}
	return h.Receipts.PutReceipt(ctx, pooling.Receipt{
		Run: h.Plan.Run, Host: host, Purpose: purpose,
		Owner: h.Owner, Machine: h.Machine, Since: time.Now().UTC(), Objects: objects(receipts),
	})
}

// found returns the host's objects, and an error if they are not such that this run may take them out.
func (h *Hands) found(ctx context.Context, host string) ([]rollout.Object, error) {
	found, err := h.Pools.Observe(ctx, host)
	if err != nil {
		return nil, err
	}
	return h.mayTake(found)
}

func (h *Hands) mayTake(found []pooling.Object) ([]rollout.Object, error) {
	if len(found) == 0 {
		return nil, pooling.ErrNoObjects
	}
	objects := make([]rollout.Object, len(found))
	for i, o := range found {
		fields, err := o.Fields()
		if err != nil {
			return nil, err
		}
		if fields.Marker != "" && fields.Marker != h.Plan.Run {
			return nil, fmt.Errorf("%s: %w %s", o.Key, errForeign, fields.Marker)
		}
		objects[i] = rollout.Object{Key: o.Key, Value: o.Value, Index: o.Index, Held: fields.Marker == h.Plan.Run}
	}
	return objects, nil
}

var errForeign = errors.New("is held by run")

// depool takes the host's objects out, as they were observed.
func (h *Hands) depool(ctx context.Context, step rollout.Step) rollout.Event {
	threshold, err := h.threshold(ctx, step.Host)
	if err != nil {
		return poolFailure(ctx, err)
	}
	if err := h.unseen(ctx, step); err != nil {
		return poolFailure(ctx, err)
	}
	held, err := h.Pools.Depool(ctx, h.Plan.Run, objects(step.Objects), threshold)
	if err == nil {
		err = h.confirm(ctx, step.Host, held, false)
	}
	e := rollout.Event{Kind: rollout.StepDone}
	if err != nil {
		e = poolFailure(ctx, err)
	}
	e.Objects = written(held)
	return e
}

// unseen returns an error if the host is in a pool that it was not in when it was observed: Depool looks
// only at what was "yes" then, and the watch of the host begins with this step.
func (h *Hands) unseen(ctx context.Context, step rollout.Step) error {
	found, err := h.Pools.Observe(ctx, step.Host)
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
func (h *Hands) threshold(ctx context.Context, host string) (pooling.Threshold, error) {
	if len(h.Balancers) == 0 {
		return h.Threshold, nil
	}
	snapshot, err := h.Pools.Pools(ctx)
	if err != nil {
		return h.Threshold, err
	}
	t := h.Threshold
	t.Down, err = snapshot.Down(ctx, h.Balancers.Down, []string{host})
	return t, err
}

// confirm waits until the balancers of each object's datacenter say that it is out, or in again.
func (h *Hands) confirm(ctx context.Context, host string, changed []pooling.Object, pooled bool) error {
	services := map[string][]string{}
	for _, o := range changed {
		services[o.Datacenter()] = append(services[o.Datacenter()], o.Service())
	}
	for _, datacenter := range slices.Sorted(maps.Keys(services)) {
		if b, ok := h.Balancers[datacenter]; ok {
			if err := b.Confirm(ctx, host, services[datacenter], pooled); err != nil {
				return err
			}
		}
	}
	return nil
}

func written(objects []pooling.Object) []rollout.Object {
	out := Observed(objects)
	for i := range out {
		out[i].Held = true
	}
	return out
}

// Observed returns pool objects as steps and events bear them.
func Observed(objects []pooling.Object) []rollout.Object {
	var out []rollout.Object
	for _, o := range objects {
		out = append(out, rollout.Object{Key: o.Key, Value: o.Value, Index: o.Index})
	}
	return out
}

// repool puts the host's objects back as its receipts say.
func (h *Hands) repool(ctx context.Context, step rollout.Step) rollout.Event {
	return h.putBack(ctx, h.Plan.Run, step)
}

// putBack puts back what of the step's objects bears the mark of a run, unless the host is not healthy. A host of which that run
// holds nothing needs no health: nothing will be changed.
func (h *Hands) putBack(ctx context.Context, run string, step rollout.Step) rollout.Event {
	if h.Health != nil {
		found, err := h.Pools.Observe(ctx, step.Host)
		if err != nil {
			return restoreFailure(ctx, err)
		}
		if slices.ContainsFunc(found, func(o pooling.Object) bool { return heldBy(o, run) }) {
			if e, healthy := h.healthy(ctx, step.Host); !healthy {
				return e
			}
		}
	}
	restored, err := h.Pools.Restore(ctx, run, objects(step.Objects))
	if err != nil {
		return restoreFailure(ctx, err)
	}
	if err := h.confirm(ctx, step.Host, back(restored, step.Attempt > 1), true); err != nil {
		return failure(rollout.Unhealthy, err)
	}
	if h.Receipts != nil {
		if err := h.Receipts.DropReceipt(ctx, run, step.Host); err != nil {
			return restoreFailure(ctx, err)
		}
	}
	return rollout.Event{Kind: rollout.StepDone, Detail: strings.Join(named(restored, step.Objects), "; ")}
}

func heldBy(o pooling.Object, run string) bool {
	fields, err := o.Fields()
	return err == nil && fields.Marker == run
}

func (h *Hands) healthy(ctx context.Context, name string) (rollout.Event, bool) {
	hosts, err := h.hosts(name)
	if err != nil {
		return failure(rollout.Permanent, err), false
	}
	p, err := probe(*h.Health, hosts[0])
	if err != nil {
		return failure(rollout.Permanent, err), false
	}
	result := p.Probe(ctx)
	if result.Verdict == checks.Pass {
		return rollout.Event{}, true
	}
	return failure(rollout.Unhealthy, fmt.Errorf("its health check says %s: %s", result.Verdict, result.Detail)), false
}

// back returns the objects that are in their pools again, by us. One that is as it was may have been put
// back by an attempt before, which was not confirmed or did not live to hear it.
func back(restored []pooling.Restored, again bool) []pooling.Object {
	var objects []pooling.Object
	for _, r := range restored {
		if r.Outcome != pooling.Back && (r.Outcome != pooling.Unchanged || !again) {
			continue
		}
		if fields, err := r.Object.Fields(); err == nil && fields.Pooled == pooling.PooledYes {
			objects = append(objects, r.Object)
		}
	}
	return objects
}

// named says what others did to the objects while they were held, and what became of it.
func named(restored []pooling.Restored, receipts []rollout.Object) []string {
	var lines []string
	for i, r := range restored {
		switch r.Outcome {
		case pooling.Back:
			if r.Object.Value != receipts[i].Value {
				lines = append(lines, r.Object.Key+" is back; what somebody else changed in it meanwhile was kept")
			}
		case pooling.Foreign:
			lines = append(lines, r.Object.Key+" was changed by somebody else, and left as it is")
		case pooling.Deleted:
			lines = append(lines, r.Object.Key+" was deleted by somebody else, and stays so")
		case pooling.Unchanged, pooling.Unknown:
		}
	}
	return lines
}

func objects(receipts []rollout.Object) []pooling.Object {
	objects := make([]pooling.Object, len(receipts))
	for i, r := range receipts {
		objects[i] = pooling.Object{Key: r.Key, Value: r.Value, Index: r.Index}
	}
	return objects
}

// poolFailure says what an error of the pool API means for a host that is to be taken out.
func poolFailure(ctx context.Context, err error) rollout.Event {
	switch {
	case stopped(ctx):
		return failure(rollout.Stopped, err)
	case errors.Is(err, pooling.ErrConflict), errors.Is(err, pooling.ErrNotFound):
		return failure(rollout.Conflict, err)
	case errors.Is(err, pooling.ErrCapacity):
		return failure(rollout.Capacity, err)
	case errors.Is(err, pooling.ErrNoObjects), errors.Is(err, pooling.ErrMalformed), errors.Is(err, errForeign),
		errors.Is(err, pooling.ErrUnauthorized), errors.Is(err, pooling.ErrReadOnly), errors.Is(err, balancer.ErrUnconfirmed):
		return failure(rollout.Permanent, err)
	default:
		return failure(rollout.Transient, err)
	}
}

// restoreFailure says what an error means for a host that is to be put back: whatever it is, it is
// tried again until the plan's time for that is up.
func restoreFailure(ctx context.Context, err error) rollout.Event {
	if stopped(ctx) {
		return failure(rollout.Stopped, err)
	}
	return failure(rollout.Transient, err)
}
