package monitor

import (
	"context"
	"time"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// send tells a run something, unless ctx ends first: then nobody listens any more.
func send(ctx context.Context, world chan<- rollout.Event, e rollout.Event) {
	select {
	case world <- e:
	case <-ctx.Done():
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
