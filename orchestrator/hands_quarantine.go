package orchestrator

import (
	"context"
	"errors"
	"slices"

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
	step.Objects = objects
	began := slices.ContainsFunc(objects, func(o rollout.Object) bool { return o.Held })
	if !began { // else the receipt is there already, and says what the objects were
		if err := h.record(ctx, step.Host, pooling.Quarantine, objects); err != nil {
			return poolFailure(ctx, err)
		}
	}
	e := h.depool(ctx, step)
	if e.Kind != rollout.StepDone && len(e.Objects) == 0 && !began && h.Receipts != nil {
		// Nothing is out, so there is nothing to put back. A receipt that stays does no harm.
		_ = h.Receipts.DropReceipt(ctx, h.Plan.Run, step.Host)
	}
	return e
}
