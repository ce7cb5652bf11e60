package main

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
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
	errs := make([]error, len(draft.Hosts))
	var group errgroup.Group
	group.SetLimit(knockAtOnce)
	for i, h := range draft.Hosts {
		host, known := s.fleet.Host(h.Name)
		if !known || h.Name == draft.Origin { // which the guard reads
			continue
		}
		group.Go(func() error {
			errs[i] = s.dialer.Answers(ctx, orchestrator.Reach(host))
			return nil
		})
	}
	_ = group.Wait() // the errors are in errs
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r.Down = map[string]string{}
	var names []string
	for i, err := range errs {
		if err != nil {
			name := draft.Hosts[i].Name
			r.Down[name] = transport.Neutral(err.Error())
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return draft, nil
	}
	_, _ = fmt.Fprintf(a.stderr, "warning: not there, and not tried: %s\n", inventory.FoldNames(names))
	return s.planOf(r)
}

// greets asks whether the rsync daemon of a source answers.
func (s *setup) greets(ctx context.Context, source string) error {
	host, ok := s.fleet.Host(source)
	if !ok {
		return fmt.Errorf("%s is not in the inventory any more", source)
	}
	return transport.Greets(ctx, host.Endpoint)
}

// quarantined returns the hosts that are out of their pools because they had no good tree, and the runs that took them out.
func (s *setup) quarantined(ctx context.Context) (map[string]string, error) {
	shared, err := s.shared()
	if err != nil || shared == nil {
		return nil, err
	}
	defer shared.Close()
	receipts, err := shared.Receipts(ctx)
	if err != nil && !errors.Is(err, pooling.ErrMalformed) { // which comes with all that can be read
		return nil, fail(exitInvalid, fmt.Errorf("it cannot be read which hosts are in quarantine: %w", err), "nothing was touched")
	}
	hosts := map[string]string{}
	for _, r := range receipts {
		if r.Purpose == pooling.Quarantine {
			hosts[r.Host] = transport.Neutral(r.Run)
		}
	}
	return hosts, nil
}
