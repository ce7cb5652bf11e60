package execute

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/pooling/balancer"
	"github.com/fleetsync/fleetsync/transport"
)

func failure(class rollout.Class, err error) rollout.Event {
	return rollout.Event{Kind: rollout.StepFailed, Class: class, Error: err.Error()}
}

// stopped says whether an effect ended because the run told it to.
func stopped(ctx context.Context) bool {
	return ctx.Err() != nil && !errors.Is(context.Cause(ctx), errAttemptTimeout)
}

var errAttemptTimeout = errors.New("the attempt took too long")

// treeEnded says how a change of a host's tree ended: ctx is the step's context, and attempt the one that ends after limit.
func treeEnded(ctx, attempt context.Context, limit time.Duration, err error, done rollout.Event) rollout.Event {
	if err == nil {
		return done
	}
	if attempt.Err() != nil && !stopped(attempt) {
		e := failure(rollout.Transient, fmt.Errorf("gave up after %s: %w", limit, errAttemptTimeout))
		e.Blame = true
		return e
	}
	e := failure(rollout.Transient, err)
	var wrong *transport.Error
	if errors.As(err, &wrong) {
		e.Class, e.Blame = class(wrong.Class), wrong.Source
	}
	if stopped(ctx) {
		e.Class, e.Blame = rollout.Stopped, false
	}
	return e
}

func class(c transport.Class) rollout.Class {
	switch c {
	case transport.ClassBusy:
		return rollout.Busy
	case transport.ClassTransient:
		return rollout.Transient
	case transport.ClassStopped:
		// Not by us: the caller knows when it was. Somebody ended rsync on the host; it may be tried again.
		return rollout.Transient
	case transport.ClassPermanent, transport.ClassMissing:
		return rollout.Permanent
	default:
		return rollout.Permanent
	}
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
