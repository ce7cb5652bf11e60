package main

import (
	"context"
	"fmt"

	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/transport"
)

// quarantined returns the hosts that are in quarantine, and the runs that took them out.
func (s *setup) quarantined(ctx context.Context) (map[string]string, error) {
	shared, err := s.shared()
	if err != nil || shared == nil {
		return nil, err
	}
	defer shared.Close()
	receipts, err := pooling.QuarantineReceipts(shared.Receipts(ctx))
	hosts := map[string]string{}
	if err == nil && len(receipts) > 0 {
		pools, perr := s.pools()
		if perr != nil || pools == nil {
			return hosts, perr
		}
		defer pools.Close()
		var snapshot pooling.Snapshot
		if snapshot, err = pools.Pools(ctx); err == nil {
			all, _ := snapshot.Quarantined(receipts)
			for _, c := range all {
				hosts[c.Host] = transport.Neutral(c.Run)
			}
		}
	}
	if err != nil {
		return nil, fail(exitInvalid, fmt.Errorf("it cannot be read which hosts are in quarantine: %w", err), "nothing was touched")
	}
	return hosts, nil
}
