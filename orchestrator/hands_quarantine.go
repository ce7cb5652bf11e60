package orchestrator

import (
	"context"
	"errors"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
)

// quarantine takes a host that has no good tree out of its pools, as far as they can spare it, and leaves it
// there: its receipt says so, and neither the end of the run nor recover puts it back.
func (h *Hands) quarantine(ctx context.Context, step rollout.Step) rollout.Event {
	if h.Pools == nil {
		return failure(rollout.Permanent, errors.New("the fleet has no pools"))
	}
	objects, err := h.found(ctx, step.Host)
	if errors.Is(err, pooling.ErrNoObjects) {
		return rollout.Event{Kind: rollout.StepDone, Detail: "it is in no pool"}
	}
	if err != nil {
		return poolFailure(ctx, err)
	}
	// Of a proxy that served, the plan's receipts say what it was; of what an earlier attempt took out, the store's do.
	receipts, unknown := rollout.Receipts(objects, step.Objects)
	if unknown == nil {
		if err := h.record(ctx, step.Host, pooling.Quarantine, receipts); err != nil {
			return poolFailure(ctx, err)
		}
	}
	served := step.Objects != nil
	step.Objects = objects
	e := h.depool(ctx, step)
	out := len(e.Objects) > 0
	if e.Kind == rollout.StepDone && !out {
		e.Detail = "it was out already"
	}
	switch {
	case unknown != nil || h.Receipts == nil || out && e.Kind == rollout.StepDone:
	case served:
		_ = h.record(ctx, step.Host, pooling.Serving, receipts) // it is put back when the run ends
	case !out:
		_ = h.Receipts.DropReceipt(ctx, h.Plan.Run, step.Host) // a receipt that stays does no harm
	}
	return e
}

// release puts a host back into its pools that has a good tree again: as it was before it was taken out because it had none, by
// whichever run.
func (h *Hands) release(ctx context.Context, step rollout.Step) rollout.Event {
	if h.Pools == nil || h.Receipts == nil {
		return failure(rollout.Permanent, errors.New("nothing tells what it was before it was taken out of its pools"))
	}
	all, err := h.Receipts.Receipts(ctx)
	if err != nil && !errors.Is(err, pooling.ErrMalformed) { // which comes with all that can be read
		return poolFailure(ctx, err)
	}
	done := rollout.Event{Kind: rollout.StepDone, Detail: "somebody has put it back already"}
	for _, r := range all {
		if r.Host != step.Host || r.Purpose != pooling.Quarantine {
			continue
		}
		step.Objects = nil
		for _, o := range r.Objects {
			step.Objects = append(step.Objects, rollout.Object{Key: o.Key, Value: o.Value, Index: o.Index})
		}
		if done = h.putBack(ctx, r.Run, step); done.Kind != rollout.StepDone {
			return done
		}
	}
	return done
}
