package session

import (
	"context"
	"errors"

	"github.com/fleetsync/fleetsync/pooling"
)

// Freeze locks the fleet for everybody on every master until Unfreeze. The errors are those of Open, or ErrNoShared.
func (c *Config) Freeze(ctx context.Context, reason string) (pooling.Holder, error) {
	if c.Shared == nil {
		return pooling.Holder{}, ErrNoShared
	}
	lease, err := c.Shared.Acquire(ctx, c.holder("", reason), 0)
	if err != nil {
		return pooling.Holder{}, c.lockError(err)
	}
	return lease.Holder, nil
}

// Unfreeze ends what Freeze began and returns who began it; frozen is false if nobody did. The error is a NotFrozenError if the lock is
// held for something else, and otherwise one of Open's or ErrNoShared.
func (c *Config) Unfreeze(ctx context.Context) (holder pooling.Holder, frozen bool, err error) {
	if c.Shared == nil {
		return holder, false, ErrNoShared
	}
	holder, ttl, err := c.Shared.Holder(ctx)
	switch {
	case errors.Is(err, pooling.ErrNotFound):
		return pooling.Holder{}, false, nil
	case err != nil:
		return holder, false, c.lockError(err)
	case holder.Run != "" || ttl > 0:
		return holder, false, &NotFrozenError{holder}
	}
	if err := c.Shared.Break(ctx, holder); err != nil {
		return holder, false, c.lockError(err)
	}
	return holder, true, nil
}
