package pooling

import (
	"context"
	"fmt"
)

// Set is a change by hand: it writes "yes" or "no" at the index at which the object was observed and removes any marker, so that
// whoever held the object finds that it is no longer theirs. An object that says so already is not written.
// It returns the object as it is then. Errors are those of Depool.
func (c *Client) Set(ctx context.Context, o Object, pooled Pooled, t Threshold) (Object, error) {
	if pooled != PooledYes && pooled != PooledNo {
		return Object{}, fmt.Errorf("cannot write %q: want %q or %q", Clean(string(pooled)), PooledYes, PooledNo)
	}
	f, err := o.Fields()
	if err != nil {
		return Object{}, err
	}
	if err := o.writable(); err != nil {
		return Object{}, err
	}
	text, err := without(o.Value)
	if err == nil {
		text, err = with(text, memberPooled, string(pooled))
	}
	if err != nil {
		return Object{}, err
	}
	parent := ctx
	ctx, cancel := deadline(ctx, c.timeout)
	defer cancel()
	if f.Pooled == pooled && f.Marker == "" {
		now, err := c.read(ctx, o.Key)
		if err == nil && now.Index != o.Index {
			err = fmt.Errorf("%s: %w", Clean(o.Key), ErrConflict)
		}
		return now, err
	}
	out := f.Pooled == PooledYes && pooled == PooledNo
	if out {
		if _, _, err := c.admit(ctx, "", []Object{o}, t); err != nil {
			return Object{}, err
		}
	}
	now, err := c.swap(ctx, o, text)
	if err != nil || !out {
		return now, err
	}
	if err := c.recount(ctx, o.Pool(), t); err != nil {
		ctx, cancel := deadline(context.WithoutCancel(parent), c.timeout)
		defer cancel()
		back, undoErr := c.swap(ctx, now, o.Value)
		if undoErr != nil {
			return now, fmt.Errorf("%w; and it could not be put back: %w", err, undoErr)
		}
		return back, err
	}
	return now, nil
}
