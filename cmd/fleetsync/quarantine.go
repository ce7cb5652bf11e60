package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/transport"
)

// inQuarantine returns the receipts of the hosts that are out of their pools because they had no good tree: of all receipts that
// say so those that the pools bear out, because somebody may have put a host back.
func (s *setup) inQuarantine(ctx context.Context, shared *pooling.Shared) ([]pooling.Receipt, error) {
	receipts, err := pooling.Quarantines(shared.Receipts(ctx))
	if err != nil || len(receipts) == 0 {
		return nil, err
	}
	pools, err := s.pools()
	if err != nil || pools == nil {
		return nil, err
	}
	defer pools.Close()
	snapshot, err := pools.Pools(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(receipts, func(r pooling.Receipt) bool { return !slices.ContainsFunc(snapshot.Hosts[r.Host], r.Out) }), nil
}

// quarantined returns the hosts that are in quarantine, and the runs that took them out.
func (s *setup) quarantined(ctx context.Context) (map[string]string, error) {
	shared, err := s.shared()
	if err != nil || shared == nil {
		return nil, err
	}
	defer shared.Close()
	receipts, err := s.inQuarantine(ctx, shared)
	if err != nil {
		return nil, fail(exitInvalid, fmt.Errorf("it cannot be read which hosts are in quarantine: %w", err), "nothing was touched")
	}
	hosts := map[string]string{}
	for _, r := range receipts {
		hosts[r.Host] = transport.Neutral(r.Run)
	}
	return hosts, nil
}
