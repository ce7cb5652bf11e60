package execute

import (
	"context"
	"errors"
	"slices"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
)

// quarantine takes a host that has no good tree out of its pools, as far as they can spare it, and leaves it
// there: its receipt says so, and neither the end of the run nor recover puts it back.
func (x *Executor) quarantine(ctx context.Context, step rollout.Step) rollout.Event {
	if x.Pools == nil {
		return failure(rollout.Permanent, errors.New("the fleet has no pools"))
	}
	found, err := x.Pools.Observe(ctx, step.Host)
	if err != nil {
		return poolFailure(ctx, err)
	}
	out, rest, err := x.outAlready(ctx, step.Host, found)
	if err != nil {
		return poolFailure(ctx, err)
	}
	if len(out) > 0 && len(rest) == 0 {
		return rollout.Event{Kind: rollout.StepDone, Objects: objectsOf(out, false), Detail: "it was out already"}
	}
	objects, err := x.mayTake(rest)
	if errors.Is(err, pooling.ErrNoObjects) {
		return rollout.Event{Kind: rollout.StepDone, Detail: "it is in no pool"}
	}
	if err != nil {
		return poolFailure(ctx, err)
	}
	// Of a proxy that served, the plan's receipts say what it was; of what an earlier attempt took out, the store's do.
	receipts, unknown := rollout.Receipts(objects, step.Objects)
	if unknown == nil {
		if err := x.record(ctx, step.Host, pooling.Quarantine, receipts); err != nil {
			return poolFailure(ctx, err)
		}
	}
	served := step.Objects != nil
	step.Objects = objects
	e := x.depool(ctx, step)
	took := len(e.Objects) > 0
	if e.Kind == rollout.StepDone && !took {
		e.Detail = "it was out already"
	}
	e.Objects = append(e.Objects, objectsOf(out, false)...)
	switch {
	case unknown != nil || x.Receipts == nil || took && e.Kind == rollout.StepDone:
	case served:
		_ = x.record(ctx, step.Host, pooling.Serving, receipts) // it is put back when the run ends
	case !took:
		_ = x.Receipts.DropReceipt(ctx, x.Plan.Run, step.Host) // a receipt that stays does no harm
	}
	return e
}

// outAlready tells apart which of a host's objects earlier runs have taken out because it had no good tree: those that bear the
// marker of such a run, and not only its receipt. Somebody may have put others back meanwhile.
func (x *Executor) outAlready(ctx context.Context, host string, found []pooling.Object) (out, rest []pooling.Object, err error) {
	if x.Receipts == nil {
		return nil, found, nil
	}
	receipts, err := pooling.QuarantineReceipts(x.Receipts.Receipts(ctx))
	if err != nil {
		return nil, nil, err
	}
	for _, o := range found {
		if slices.ContainsFunc(receipts, func(r pooling.Receipt) bool { return r.Host == host && r.Run != x.Plan.Run && r.Out(o) }) {
			out = append(out, o)
		} else {
			rest = append(rest, o)
		}
	}
	return out, rest, nil
}

// release puts a host back into its pools that has a good tree again: as it was before it was taken out because it had none, by
// whichever run.
func (x *Executor) release(ctx context.Context, step rollout.Step) rollout.Event {
	if x.Pools == nil || x.Receipts == nil {
		return failure(rollout.Permanent, errors.New("nothing tells what it was before it was taken out of its pools"))
	}
	receipts, err := pooling.QuarantineReceipts(x.Receipts.Receipts(ctx))
	if err != nil {
		return poolFailure(ctx, err)
	}
	done := rollout.Event{Kind: rollout.StepDone, Detail: "somebody has put it back already"}
	for _, r := range receipts {
		if r.Host != step.Host {
			continue
		}
		if done = x.PutBack(ctx, r.Run, step.Host, r.Objects, step.Attempt > 1); done.Kind != rollout.StepDone {
			return done
		}
	}
	return done
}
