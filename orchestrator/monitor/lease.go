package monitor

import (
	"context"
	"errors"
	"time"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
)

// Lease is the lock of a fleet as a run holds it.
type Lease interface {
	// Valid says whether the lock is certainly still the run's. It asks nobody.
	Valid() bool
	// Refresh makes it last longer. pooling.ErrLockLost means that it is gone for good.
	Refresh(ctx context.Context) error
}

// KeepAlive refreshes a lease, about thrice in its time to live, until ctx ends or it is lost; then it
// tells the run so, once. The store may be away for a while: the lease is lost when it has run out,
// not when a refresh fails.
func KeepAlive(ctx context.Context, lease Lease, ttl time.Duration, world chan<- rollout.Event) {
	ticker := time.NewTicker(ttl / refreshes)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := refresh(ctx, lease, ttl/refreshes)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, pooling.ErrLockLost) || !lease.Valid() {
			if err == nil {
				err = pooling.ErrLockLost
			}
			send(ctx, world, rollout.Event{Kind: rollout.LockLost, Error: err.Error()})
			return
		}
	}
}

// refreshes is how many refreshes fit in a time to live: two may fail before the lease runs out.
const refreshes = 4

func refresh(ctx context.Context, lease Lease, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return lease.Refresh(ctx)
}
