package main

import (
	"context"
	"fmt"
	"time"

	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/transport"
)

// outcast is a host that is out of pools because it had no good tree, as --json shows it.
type outcast struct {
	Host    string    `json:"host"`
	Run     string    `json:"run"` // that took it out
	Machine string    `json:"machine,omitempty"`
	Since   time.Time `json:"since"`
	Out     []string  `json:"out"`          // its objects that the run took out
	In      []string  `json:"in,omitempty"` // those that serve: somebody has put them back, or the run died before it was through

	objects []pooling.Object // those that are out
}

// inQuarantine returns the hosts that are in quarantine, sorted by run and host: those of which there is a receipt that says so, and of
// these the ones that the pools bear out, because somebody may have put a host back. One that two runs took out is there twice.
func (s *setup) inQuarantine(ctx context.Context, shared *pooling.Shared) ([]outcast, error) {
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
	var all []outcast
	for _, r := range receipts {
		q := outcast{Host: r.Host, Run: r.Run, Machine: r.Machine, Since: r.Since}
		for _, o := range snapshot.Hosts[r.Host] {
			f, err := o.Fields()
			switch {
			case r.Out(o):
				q.Out, q.objects = append(q.Out, o.Key), append(q.objects, o)
			case err == nil && f.Pooled == pooling.PooledYes:
				q.In = append(q.In, o.Key)
			}
		}
		if len(q.Out) > 0 {
			all = append(all, q)
		}
	}
	return all, nil
}

// quarantined returns the hosts that are in quarantine, and the runs that took them out.
func (s *setup) quarantined(ctx context.Context) (map[string]string, error) {
	shared, err := s.shared()
	if err != nil || shared == nil {
		return nil, err
	}
	defer shared.Close()
	all, err := s.inQuarantine(ctx, shared)
	if err != nil {
		return nil, fail(exitInvalid, fmt.Errorf("it cannot be read which hosts are in quarantine: %w", err), "nothing was touched")
	}
	hosts := map[string]string{}
	for _, q := range all {
		hosts[q.Host] = transport.Neutral(q.Run)
	}
	return hosts, nil
}
