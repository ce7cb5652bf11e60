package main

import (
	"context"
	"fmt"

	"github.com/fleetsync/fleetsync/inventory"
)

// behind narrows a run to the hosts that are not known to hold what the origin holds now, or are in quarantine. It says whether there is
// any, and tells people if there is none.
func (a *app) behind(ctx context.Context, s *setup, o *runOptions) (bool, error) {
	draft, err := s.plan(ctx, nil, s.newRun(), *o)
	if err != nil {
		return false, err
	}
	_, m, err := s.scan(ctx, draft.Origin, o.full)
	if err != nil {
		return false, fail(exitGuard, fmt.Errorf("the tree of %s cannot be read: %w", draft.Origin, err), a.command()+" masters status")
	}
	fingerprint := m.Fingerprint()
	trees, _, err := a.trees(s)
	if err != nil {
		return false, err
	}
	quarantined, err := s.quarantined(ctx)
	if err != nil {
		return false, err
	}
	var names []string
	for _, h := range draft.Hosts {
		if !s.isMaster(h.Name) && (quarantined[h.Name] != "" || !trees.Of(h.Name).Has(fingerprint)) {
			names = append(names, h.Name)
		}
	}
	if len(names) == 0 {
		_, err := fmt.Fprintf(a.stderr, "no host is behind: all hold what %s holds, as far as this machine knows\n", draft.Origin)
		return false, err
	}
	o.limit = inventory.FoldNames(names)
	return true, nil
}
