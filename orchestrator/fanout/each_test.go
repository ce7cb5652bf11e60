package fanout_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetsync/fleetsync/orchestrator/fanout"
)

// Planted, and seen to fail: one slot more than the limit; no wait for what began; an item begun after the context was done; the
// index of another item.

func TestEachDoesAllWithinItsLimit(t *testing.T) {
	for _, test := range []struct{ items, limit, most, seconds int }{
		{items: 0, limit: 3, most: 0, seconds: 0},
		{items: 2, limit: 3, most: 2, seconds: 1},
		{items: 10, limit: 3, most: 3, seconds: 4},
		{items: 3, limit: 0, most: 1, seconds: 3},
		{items: 3, limit: -1, most: 1, seconds: 3},
	} {
		synctest.Test(t, func(t *testing.T) {
			items, results := make([]int, test.items), make([]int, test.items)
			for i := range items {
				items[i] = 100 + i
			}
			var now, most atomic.Int32
			start := time.Now()
			fanout.Each(t.Context(), test.limit, items, func(_ context.Context, i, item int) {
				n := now.Add(1)
				defer now.Add(-1)
				for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
				}
				<-time.After(time.Second)
				results[i] = item
			})
			if !slices.Equal(results, items) {
				t.Errorf("%+v: results %v, expected %v", test, results, items)
			}
			if int(most.Load()) != test.most {
				t.Errorf("%+v: %d at once", test, most.Load())
			}
			if took := time.Since(start); took != time.Duration(test.seconds)*time.Second {
				t.Errorf("%+v: took %v", test, took)
			}
		})
	}
}

func TestEachBeginsNothingAfterTheEndOfItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		var begun, ended atomic.Int32
		start := time.Now()
		fanout.Each(ctx, 2, make([]string, 10), func(ctx context.Context, _ int, _ string) {
			begun.Add(1)
			defer ended.Add(1)
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				<-time.After(time.Second) // what must be put back takes its time
			}
		})
		if begun.Load() != 4 || ended.Load() != 4 {
			t.Errorf("%d began and %d ended, expected 4 of each: two in each second that the context lasted", begun.Load(), ended.Load())
		}
		if took := time.Since(start); took != 2500*time.Millisecond {
			t.Errorf("took %v: it must wait for what began", took)
		}
	})
}

func TestEachBeginsNothingWithAContextThatIsDone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 { // with a free slot and a done context, select takes either
		fanout.Each(ctx, 5, []int{1, 2, 3}, func(context.Context, int, int) { t.Error("something began") })
	}
}
