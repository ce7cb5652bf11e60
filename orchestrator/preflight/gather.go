package preflight

import (
	"context"
	"errors"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// Gather asks the sources for all that Judge must know of a request, those at once that it does not need one after the other, and
// returns when Judge has no question left. What is still being asked then is given up. The error is that of ctx, if it ended.
func Gather(ctx context.Context, s Sources, r Request) (*Facts, error) {
	f := &Facts{
		Fleet: s.Fleet, Policy: s.Policy, Machine: s.Machine, Shared: s.Shared != nil, Pooled: s.Pools != nil,
		Probed: map[string]error{}, DryRuns: map[string]Answer[rollout.HostDelta]{}, Free: map[string]Answer[int64]{},
	}
	asking, giveUp := context.WithCancel(ctx)
	answers := make(chan func(*Facts))
	asked := map[Topic]bool{} // that are not answered yet; nobody else touches the facts
	defer func() {
		giveUp()
		for range asked {
			<-answers
		}
	}()
	for {
		_, err := Judge(f, r)
		open, ok := errors.AsType[*Missing](err)
		if !ok {
			return f, nil
		}
		for _, q := range open.Questions {
			if asked[q.Topic] {
				continue
			}
			asked[q.Topic] = true
			go func() {
				put := s.ask(asking, r, q)
				answers <- func(f *Facts) {
					put(f)
					delete(asked, q.Topic)
				}
			}()
		}
		(<-answers)(f)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}
