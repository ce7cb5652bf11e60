package execute

import (
	"context"
	"errors"
	"time"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/tree"
)

// rollback puts back the tree that a host had before the run, or before the run that this one undoes.
func (x *Executor) rollback(ctx context.Context, step rollout.Step) rollout.Event {
	return x.around(ctx, step.Host, func() rollout.Event { return x.undo(ctx, step) })
}

func (x *Executor) undo(ctx context.Context, step rollout.Step) rollout.Event {
	t, err := x.Hosts.Tree(step.Host)
	if err != nil {
		return failure(rollout.Permanent, err)
	}
	run := x.Plan.Undoes
	if run == "" {
		run = x.Plan.Run
	}
	limit := time.Duration(x.Plan.Limits.Timeout)
	attempt, cancel := context.WithTimeoutCause(ctx, limit, errAttemptTimeout)
	defer cancel()
	undone, err := t.Undo(attempt, run)
	if errors.Is(err, tree.ErrNoBackup) && x.Plan.Undoes == "" {
		// What is kept is kept before the tree's record says that the run begins to write.
		if last, lastErr := t.Record(attempt); lastErr == nil && (last == nil || last.Run != run) {
			return rollout.Event{Kind: rollout.StepDone} // nothing had been changed
		}
	}
	if err == nil && x.Log != nil {
		x.Log(step.Host, undone.String())
	}
	return treeEnded(ctx, attempt, limit, err, rollout.Event{Kind: rollout.StepDone})
}
