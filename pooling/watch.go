package pooling

import (
	"context"
	"fmt"
)

// Change is a change to a selected object.
type Change struct {
	Object  Object // as the change left it; its Index is what to wait after next
	Deleted bool   // then the object has no value
}

// Wait waits for the first change to a selected object after an index: that of a Snapshot, or of the change
// before. It waits as long as ctx allows, our own changes included. The error is ErrIndexCleared if the store no longer
// knows all changes since: read the pools again. It is ErrUnavailable if the store does not answer; wait a little, then call again.
func (c *Client) Wait(ctx context.Context, after uint64) (Change, error) {
	for {
		e, err := c.store.Wait(ctx, c.prefix, after)
		if err != nil {
			return Change{}, fmt.Errorf("cannot watch %s: %w", Clean(c.prefix), err)
		}
		after = max(after+1, e.Entry.Index)
		if o, ok := c.object(e.Entry); ok && c.selection.has(o) {
			return Change{Object: o, Deleted: e.Deleted}, nil
		}
	}
}
