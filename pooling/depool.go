package pooling

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Depool takes out of their pools those of objects that are "yes": each by one write, at the index at
// which it was observed, of "no" and the marker. It touches no other object; one that is "no" and has the
// marker counts as taken, so that Depool can be repeated.
//
// It returns what is "no" and has the marker when it ends, also with an error; Restore puts that back. The error is
//
//   - ErrCapacity if a pool would fall below its threshold, or has because somebody else took out another at the same moment. What this
//     call had taken is put back then, as it is if a pool cannot be counted.
//   - ErrConflict or ErrNotFound if an object is no longer what was observed. What was taken before stays taken.
//   - ErrMalformed, before anything is written, if an object is not what conftool writes.
func (c *Client) Depool(ctx context.Context, marker string, objects []Object, t Threshold) (held []Object, err error) {
	if err := checkMarker(marker); err != nil {
		return nil, err
	}
	var take []Object
	for _, o := range objects {
		f, err := o.Fields()
		if err != nil {
			return nil, err
		}
		switch {
		case f.Pooled == PooledYes:
			if err := o.writable(); err != nil {
				return nil, err
			}
			take = append(take, o)
		case f.Pooled == PooledNo && f.Marker == marker:
			held = append(held, o)
		}
	}
	parent := ctx
	ctx, cancel := deadline(ctx, c.timeout)
	defer cancel()
	take, ours, err := c.admit(ctx, marker, take, t)
	held = append(held, ours...)
	if err != nil {
		return held, err
	}
	before := len(held)
	for i, o := range take {
		text, err := with(o.Value, memberPooled, string(PooledNo))
		if err == nil {
			text, err = with(text, memberMarker, marker)
		}
		if err != nil {
			return held, err
		}
		now, err := c.swap(ctx, o, text)
		if f, _ := now.Fields(); errors.Is(err, ErrConflict) && f.Pooled == PooledNo && f.Marker == marker {
			err = nil // our own write, and then somebody changed another field
		}
		if err != nil {
			return held, err
		}
		held = append(held, now)
		if err := c.recount(ctx, o.Pool(), t); err != nil {
			return append(held[:before:before], c.undo(parent, marker, take[:i+1], &err)...), err
		}
	}
	return held, nil
}

// undo puts back what a call has just taken, also after its context ended, and returns what it could not.
func (c *Client) undo(ctx context.Context, marker string, taken []Object, reason *error) (held []Object) {
	restored, err := c.Restore(context.WithoutCancel(ctx), marker, taken)
	if err != nil {
		*reason = fmt.Errorf("%w; and not all that was taken could be put back: %w", *reason, err)
	}
	for _, r := range restored {
		if r.Err != nil {
			held = append(held, r.Object)
		}
	}
	return held
}

// admit counts the pools of objects and returns ErrCapacity unless all of objects may go out, and ErrConflict or ErrNotFound
// if one is not what was observed. It returns apart those that have the marker by now, from a call like this one before.
func (c *Client) admit(ctx context.Context, marker string, objects []Object, t Threshold) (take, ours []Object, err error) {
	pools := map[string][]Object{}
	more := map[string]int{}
	for _, o := range objects {
		pool := o.Pool()
		if pools[pool] == nil {
			s, err := c.tree(ctx, c.prefix+"/"+pool, Selection{})
			if err != nil {
				return nil, ours, err
			}
			pools[pool] = s.Pools[pool]
		}
		i := slices.IndexFunc(pools[pool], func(now Object) bool { return now.Key == o.Key })
		if i < 0 {
			return nil, ours, fmt.Errorf("%s: %w", Clean(o.Key), ErrNotFound)
		}
		now := pools[pool][i]
		switch f, err := now.Fields(); {
		case err == nil && f.Pooled == PooledNo && f.Marker == marker && marker != "":
			ours = append(ours, now)
		case now.Index != o.Index:
			return nil, ours, fmt.Errorf("%s: %w", Clean(o.Key), ErrConflict)
		default:
			take = append(take, o)
			more[pool] += t.costs(now)
		}
	}
	for _, o := range take {
		if pool := o.Pool(); err == nil {
			err = t.check(pool, t.count(pools[pool]), more[pool])
		}
	}
	return take, ours, err
}

// recount counts a pool again after a write and returns ErrCapacity if it is below its threshold.
func (c *Client) recount(ctx context.Context, pool string, t Threshold) error {
	s, err := c.tree(ctx, c.prefix+"/"+pool, Selection{})
	if err != nil {
		return err
	}
	n := t.count(s.Pools[pool])
	if most := t.allowed(pool, n.total); n.out > most {
		return fmt.Errorf("%w: %s: somebody else was quicker: %d of %d were out, and %d may be",
			ErrCapacity, Clean(pool), n.out, n.total, most)
	}
	return nil
}

func checkMarker(marker string) error {
	if marker == "" || Clean(marker) != marker {
		return fmt.Errorf("marker %q: %w: want a short text without control characters", Clean(marker), ErrMalformed)
	}
	return nil
}
