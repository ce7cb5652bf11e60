package main

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/transport"
)

// knockAtOnce bounds how many hosts are asked at once whether they are there. Nobody logs in, so it is more than may be
// synced at once: the time of a host that hangs is that of all of them.
const knockAtOnce = 256

// withoutDown asks the hosts of a plan whether they are there, and returns a plan without those that are not: nobody waits for
// them one by one. A policy that says so has everyone tried instead.
func (a *app) withoutDown(ctx context.Context, s *setup, r *request, draft *rollout.Plan) (*rollout.Plan, error) {
	if r.settings.Batches.Down != inventory.DownSkip {
		return draft, nil
	}
	r.Down = map[string]string{}
	asked := map[string]bool{draft.Origin: true} // which the guard reads
	for {
		var hosts []inventory.Host
		for _, h := range draft.Hosts {
			if host, known := s.fleet.Host(h.Name); known && !asked[h.Name] {
				hosts = append(hosts, host)
			}
			asked[h.Name] = true
		}
		errs := s.knock(ctx, hosts)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var names []string
		for i, err := range errs {
			if err != nil {
				r.Down[hosts[i].Name] = transport.Neutral(err.Error())
				names = append(names, hosts[i].Name)
			}
		}
		if len(names) == 0 {
			return draft, nil
		}
		a.say().Warn("not there, and not tried: %s", inventory.FoldNames(names))
		var err error
		if draft, err = s.planOf(r); err != nil { // it may name hosts that stand in for those, and were not asked
			return nil, err
		}
	}
}

// knock asks hosts whether they are there; nil is yes.
func (s *setup) knock(ctx context.Context, hosts []inventory.Host) []error {
	errs := make([]error, len(hosts))
	var group errgroup.Group
	group.SetLimit(knockAtOnce)
	for i, host := range hosts {
		group.Go(func() error {
			errs[i] = s.asker().Answers(ctx, host.Name)
			return nil
		})
	}
	_ = group.Wait() // the errors are in errs
	return errs
}
