package fanout

import (
	"context"
	"sync"
)

// Each calls do for each item with its index, for at most limit items at once (a limit below 1 is 1), and returns when every call
// that began has returned. Items begin in order. After ctx is done no further one begins: whoever must know whether all did asks
// ctx.Err() afterwards.
func Each[T any](ctx context.Context, limit int, items []T, do func(ctx context.Context, i int, item T)) {
	slots := make(chan struct{}, max(limit, 1))
	var begun sync.WaitGroup
	defer begun.Wait()
	for i, item := range items {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil { // where both are ready, select may have taken the slot
			return
		}
		begun.Go(func() {
			defer func() { <-slots }()
			do(ctx, i, item)
		})
	}
}
