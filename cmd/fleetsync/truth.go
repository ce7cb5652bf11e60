package main

import (
	"fmt"
	"slices"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// maxTold is how many runs are read to find out what is last known of every host: one that none of them touched
// counts as never seen.
const maxTold = 200

// trees returns what is last known of the tree of every host, by the journals of this machine: those of the
// newest runs, as many as it takes. It also returns the newest plan that was to bring a whole tree to the fleet, but one
// that no host holds any more, because all were rolled back, gives way to an older one. It is nil if there is none.
func (a *app) trees(s *setup) (trees *rollout.Trees, newest *rollout.Plan, err error) {
	var names []string
	for _, h := range s.fleet.Hosts {
		if !s.isMaster(h.Name) {
			names = append(names, h.Name)
		}
	}
	trees = rollout.NewTrees(names)
	runs, err := s.store.Runs()
	if err != nil {
		return nil, nil, fail(exitJournal, err, "")
	}
	var plans []*rollout.Plan
	for _, run := range runs[:min(len(runs), maxTold)] {
		if trees.Complete() && plans != nil {
			break
		}
		r, err := a.read(s, run)
		if err != nil {
			// It may have changed any host, so what older runs tell is not the truth any more.
			return nil, nil, fmt.Errorf("what the hosts hold cannot be told: %w", err)
		}
		trees.Add(r.State)
		if p := r.State.Plan; p.Tree != nil && len(p.Paths) == 0 && p.Mode != inventory.ModeCanary && p.Mode != rollout.ModeMasters {
			plans = append(plans, p)
		}
	}
	if len(plans) == 0 {
		return trees, nil, nil
	}
	held := slices.IndexFunc(plans, func(p *rollout.Plan) bool {
		return slices.ContainsFunc(names, func(name string) bool { return trees.Of(name).Has(p.Tree.Fingerprint) })
	})
	return trees, plans[max(held, 0)], nil
}

func (s *setup) isMaster(name string) bool {
	_, ok := s.fleet.Master(name)
	return ok
}
