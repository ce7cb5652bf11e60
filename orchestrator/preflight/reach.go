package preflight

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/fanout"
	"github.com/fleetsync/fleetsync/orchestrator/tree"
)

// Reached is what became known of a host that was asked whether a run could sync it.
type Reached struct {
	Host    string        `json:"host"`
	Reached bool          `json:"reached"`
	Took    time.Duration `json:"took_ns"`         // until it had answered
	Rsync   string        `json:"rsync,omitempty"` // its version
	Free    int64         `json:"free"`            // bytes
	Skew    time.Duration `json:"skew_ns"`         // of its clock against ours
	Wrong   []string      `json:"wrong,omitempty"` // what keeps a run from it
}

// ReachHosts asks hosts whether they could be synced.
type ReachHosts interface {
	// Probe asks a host what syncs of its tree need.
	Probe(ctx context.Context, host string) (tree.Probe, error)
	// Serves asks the rsync daemon of a host whether it serves; nil is yes.
	Serves(ctx context.Context, host string) error
}

// Bounds of Reach.
const (
	reachAtOnce  = 128
	reachTimeout = 30 * time.Second // of one host: one that hangs costs this, and nobody waits for it twice
	maxSkew      = 5 * time.Second  // between a host's clock and ours: what keeps a run from nothing, but reads wrong in logs
)

// Reach asks hosts what a run needs of them, and says what is wrong, in their order. After ctx has ended the results mean nothing.
func Reach(ctx context.Context, ask ReachHosts, fleet *inventory.Fleet, policy *inventory.Policy, names []string) []Reached {
	serves := map[string]bool{}
	for _, m := range fleet.Masters {
		serves[m.Host] = m.Serve
	}
	for _, p := range fleet.Proxies {
		serves[p.Host] = true
	}
	results := make([]Reached, len(names))
	atOnce := min(reachAtOnce, policy.SSH.MaxConnections) // nobody's time is spent waiting for a connection
	fanout.Each(ctx, atOnce, names, func(ctx context.Context, i int, name string) {
		ctx, cancel := context.WithTimeoutCause(ctx, reachTimeout, errors.New("it does not answer within "+reachTimeout.String()))
		defer cancel()
		before := time.Now()
		p, err := ask.Probe(ctx, name)
		took := time.Since(before)
		if err != nil {
			results[i] = Reached{Host: name, Wrong: []string{err.Error()}}
			return
		}
		results[i] = reached(name, p, before, took, policy.Guard.MinFree)
		if serves[name] {
			if err := ask.Serves(ctx, name); err != nil {
				results[i].Wrong = append(results[i].Wrong, err.Error())
			}
		}
	})
	return results
}

// reached judges what a host has answered. The host read its clock somewhere between the question and the answer.
func reached(name string, p tree.Probe, asked time.Time, took time.Duration, minFree int64) Reached {
	r := Reached{Host: name, Reached: true, Took: took, Rsync: p.Rsync, Free: p.Free}
	r.Skew = p.Clock.Sub(asked.Add(took / 2)).Round(time.Millisecond)
	if off := r.Skew.Abs() - took/2; off > maxSkew {
		r.Wrong = append(r.Wrong, fmt.Sprintf("its clock is off by %v", r.Skew.Round(time.Second)))
	}
	r.Wrong = append(r.Wrong, p.Wrong()...)
	if p.Free < minFree {
		r.Wrong = append(r.Wrong, fmt.Sprintf("%d bytes are free, and guard: min_free wants %d", p.Free, minFree))
	}
	return r
}
