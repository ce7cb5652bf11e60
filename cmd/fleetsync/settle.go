package main

import (
	"context"
	"slices"

	"github.com/fleetsync/fleetsync/orchestrator"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
)

// settle puts back what the receipts of a run tell of beyond its journal, and so drops them: those of
// hosts that were observed but not taken out, because the depool was refused, or because the run died
// before its journal knew. A receipt that stayed would keep every other run out. So it does with receipts of quarantines that are
// over. It leaves alone the hosts that are named already, and returns those that it could not put back, and whether that is all.
func (j *job) settle(ctx context.Context, run string, named []rollout.Out) (out []rollout.Out, known bool) {
	if j.lock.shared == nil {
		return nil, true
	}
	ctx = context.WithoutCancel(ctx)
	receipts, err := j.lock.shared.Receipts(ctx)
	if err != nil {
		j.app.say().Warn("the receipts of run %s cannot be read: %v", run, err)
	}
	_, over, unknown := j.setup.inQuarantine(ctx, receipts, err)
	if unknown != nil {
		over = nil // a receipt of a quarantine that stays does no harm
	}
	left := slices.DeleteFunc(orchestrator.Unsettled(run, receipts, over), func(r pooling.Receipt) bool {
		return slices.ContainsFunc(named, func(o rollout.Out) bool { return o.Host == r.Host })
	})
	return j.restoreReceipts(ctx, left), err == nil
}
