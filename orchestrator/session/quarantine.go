package session

import (
	"context"
	"time"

	"github.com/fleetsync/fleetsync/pooling"
)

// Quarantine is who is in quarantine now, whatever runs said when they ended.
type Quarantine struct {
	Hosts []QuarantinedHost `json:"hosts"`           // sorted by run and host; null: nobody can tell
	Error string            `json:"error,omitempty"` // why it cannot be told; empty: those are all

	// Asked is false where the shared store did not tell anything: then Others says why, for both.
	Asked bool `json:"-"`
}

// QuarantinedHost is a host that is out of pools because it had no good tree.
type QuarantinedHost struct {
	Host    string    `json:"host"`
	Run     string    `json:"run"` // that took it out
	Machine string    `json:"machine,omitempty"`
	Since   time.Time `json:"since"`
	Out     []string  `json:"out"`          // its objects that the run took out
	In      []string  `json:"in,omitempty"` // those that serve
}

func (c *Config) quarantine(ctx context.Context) *Quarantine {
	receipts, err := c.Shared.Receipts(ctx)
	hosts, _, err := c.quarantined(ctx, receipts, err)
	if err != nil {
		return &Quarantine{Error: err.Error(), Asked: true}
	}
	q := &Quarantine{Hosts: []QuarantinedHost{}, Asked: true}
	for _, h := range hosts {
		q.Hosts = append(q.Hosts, QuarantinedHost{Host: h.Host, Run: h.Run, Machine: h.Machine, Since: h.Since, Out: keys(h.Out), In: keys(h.In)})
	}
	return q
}

func keys(objects []pooling.Object) []string {
	var keys []string
	for _, o := range objects {
		keys = append(keys, o.Key)
	}
	return keys
}

// quarantined returns the hosts that are in quarantine now, by receipts and pools, sorted by run and host; and the receipts that say so
// of hosts that are not. All receipts are given, or what was the matter with them.
func (c *Config) quarantined(
	ctx context.Context, all []pooling.Receipt, unread error,
) (hosts []pooling.Quarantined, over []pooling.Receipt, err error) {
	receipts, err := pooling.QuarantineReceipts(all, unread)
	if err != nil || len(receipts) == 0 || c.Pools == nil {
		return nil, nil, err
	}
	snapshot, err := c.Pools.Pools(ctx)
	if err != nil {
		return nil, nil, err
	}
	hosts, over = snapshot.Quarantined(receipts)
	return hosts, over, nil
}
