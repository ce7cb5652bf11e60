package preflight

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/transport"
)

// otherRuns refuses to begin while another run has hosts out of their pools that it has not put back, and warns of another inventory.
func (j *judgement) otherRuns() error {
	f := j.facts
	if !j.request.Begin || !f.Shared {
		return nil
	}
	var open []Question
	if f.Receipts == nil {
		open = append(open, Question{Topic: TopicReceipts})
	}
	if f.Inventory == nil {
		open = append(open, Question{Topic: TopicInventory})
	}
	if len(open) > 0 {
		return missing(open...)
	}
	if err := RefuseUnrestored(f.Receipts.Value, f.Receipts.Err, j.request.Run); err != nil {
		return err
	}
	if last := f.Inventory.Value; f.Inventory.Err == nil && last.Digest != f.Fleet.Digest && last.Machine != f.Machine {
		j.warn(WarnInventory, "the last run, on %s, used another inventory than the one of this machine (%s)",
			last.Machine, f.Policy.Inventory)
	}
	return nil
}

// RefuseUnrestored refuses to begin or resume the named run if another has hosts out of their pools that it has not put back, by all
// receipts in the shared store, or if they could not be read.
func RefuseUnrestored(receipts []pooling.Receipt, unread error, run string) error {
	if unread != nil {
		return refuse(ReceiptsUnread, "the receipts of other runs cannot be read: %w", unread)
	}
	for _, r := range receipts {
		if r.Run != run && r.Purpose == pooling.Serving {
			text := fmt.Sprintf("run %s of %s on %s has not put back %s", r.Run, r.Owner, r.Machine, r.Host)
			refusal := refuse(Unrestored, "%s", transport.Neutral(text))
			refusal.Run, refusal.Hosts = r.Run, []string{r.Host}
			return refusal
		}
	}
	return nil
}

// quarantine tells the plan which hosts are out of their pools because they had no good tree, by receipts and pools.
func (j *judgement) quarantine() error {
	f := j.facts
	if !f.Pooled || !f.Shared {
		return nil
	}
	if f.Receipts == nil {
		return missing(Question{Topic: TopicReceipts})
	}
	receipts, err := pooling.QuarantineReceipts(f.Receipts.Value, f.Receipts.Err)
	if err == nil && len(receipts) > 0 {
		if f.Pools == nil {
			return missing(Question{Topic: TopicPools})
		}
		err = f.Pools.Err
	}
	if err != nil {
		return refuse(QuarantineUnread, "it cannot be read which hosts are in quarantine: %w", err)
	}
	if len(receipts) == 0 {
		return nil
	}
	j.plan.Quarantined = map[string]string{}
	hosts, _ := f.Pools.Value.Quarantined(receipts)
	for _, h := range hosts {
		j.plan.Quarantined[h.Host] = transport.Neutral(h.Run)
	}
	return nil
}

// proxies tells the plan which of the fleet's proxies the pools cannot spare.
func (j *judgement) proxies() error {
	f := j.facts
	if !f.Pooled || j.request.Mode == inventory.ModeCanary {
		return nil
	}
	var proxies []string
	for _, p := range f.Fleet.Proxies {
		if p.Pooled && (j.plan.Selection == nil || slices.Contains(j.plan.Selection, p.Host)) {
			proxies = append(proxies, p.Host)
		}
	}
	if len(proxies) == 0 && !j.request.Draft {
		return nil
	}
	if f.Pools == nil {
		return missing(Question{Topic: TopicPools})
	}
	if err := f.Pools.Err; err != nil {
		return refuse(PoolsUnread, "the pools cannot be read: %w", err)
	}
	if f.NoTraffic == nil {
		return missing(Question{Topic: TopicNoTraffic, Hosts: proxies, Pools: f.Pools.Value})
	}
	if err := f.NoTraffic.Err; err != nil {
		return refuse(BalancersUnread, "the balancers cannot be asked what is down: %w", err)
	}
	j.Pools = digestOf(f.Pools.Value)
	threshold := Threshold(f.Policy)
	threshold.Down = f.NoTraffic.Value
	_, reasons := f.Pools.Value.Fit(proxies, threshold)
	for _, host := range proxies {
		reason, ok := reasons[host]
		switch {
		case !ok:
		case errors.Is(reason, pooling.ErrNoObjects):
			// A typing error in select or prefix would look the same, and would let every proxy serve
			// while its users are on it.
			r := refuse(NoPoolObjects, "proxy %s: %w", host, reason)
			r.Hosts = []string{host}
			return r
		default:
			j.plan.Left = append(j.plan.Left, rollout.Left{Host: host, Reason: reason.Error()})
		}
	}
	return nil
}

// Threshold returns the share of each pool that must stay in.
func Threshold(policy *inventory.Policy) pooling.Threshold {
	t := pooling.Threshold{Services: map[string]int{}}
	if p := policy.Pooling; p != nil {
		t.Default = p.Threshold.BasisPoints
		for service, amount := range p.Services {
			t.Services[service] = amount.BasisPoints
		}
	}
	return t
}

// digestOf returns a digest of what all pool objects say.
func digestOf(snapshot pooling.Snapshot) string {
	sum := sha256.New()
	for _, pool := range slices.Sorted(maps.Keys(snapshot.Pools)) {
		objects := slices.Clone(snapshot.Pools[pool])
		slices.SortFunc(objects, func(a, b pooling.Object) int { return strings.Compare(a.Key, b.Key) })
		for _, o := range objects {
			_, _ = fmt.Fprintf(sum, "%q %q\n", o.Key, o.Value) // a hash never fails
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}
