package execute

import (
	"context"
	"fmt"
	"time"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// recheckTimeout bounds one recheck of a master: a tree of 200,000 files takes less than a second.
const recheckTimeout = 2 * time.Minute

// recheck compares what a master holds with the run's tree.
func (x *Executor) recheck(ctx context.Context, step rollout.Step) rollout.Event {
	t, err := x.Hosts.Tree(step.Host)
	if err != nil {
		return failure(rollout.Permanent, err)
	}
	attempt, cancel := context.WithTimeoutCause(ctx, recheckTimeout, errAttemptTimeout)
	defer cancel()
	digest, err := t.Digest(attempt, x.Plan.Paths)
	switch {
	case stopped(ctx):
		return failure(rollout.Stopped, context.Cause(ctx))
	case err != nil:
		return failure(rollout.Transient, fmt.Errorf("cannot be looked at: %w", err))
	case digest != x.Plan.Tree.Digest:
		return failure(rollout.Changed, fmt.Errorf("the tree of %s is not the one that the run began with", step.Host))
	default:
		return rollout.Event{Kind: rollout.StepDone}
	}
}
