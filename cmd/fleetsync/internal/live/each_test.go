package live

import "github.com/fleetsync/fleetsync/orchestrator/rollout"

// each observes the events of a turn one by one.
func each(f func(rollout.Event, view)) func([]rollout.Event, *rollout.Snapshot) {
	return func(turn []rollout.Event, now *rollout.Snapshot) {
		for _, e := range turn {
			f(e, view{now})
		}
	}
}
