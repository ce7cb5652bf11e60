package execute

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/checks"
	"github.com/fleetsync/fleetsync/orchestrator/hosts"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/pooling/balancer"
)

// Restorer puts hosts back into their pools as receipts say that they were. Of the run that took them out it needs to know nothing but
// the name: that run may have died, on whichever machine. Its fields must not change after the first use. It is safe for concurrent use.
type Restorer struct {
	Hosts     *hosts.Asker
	Pools     Pools                // nil: the fleet has none
	Health    *inventory.HTTPCheck // asked before a host is put back; nil is none
	Balancers balancer.Groups      // who must confirm that a host is out, or in again
	Receipts  Receipts             // nil: there is no shared store
}

// Pools is what is needed of the pool API.
type Pools interface {
	Pools(ctx context.Context) (pooling.Snapshot, error)
	Observe(ctx context.Context, host string) ([]pooling.Object, error)
	Depool(ctx context.Context, marker string, objects []pooling.Object, t pooling.Threshold) ([]pooling.Object, error)
	Restore(ctx context.Context, marker string, receipts []pooling.Object) ([]pooling.Restored, error)
}

// Receipts is what is needed of the shared store.
type Receipts interface {
	PutReceipt(ctx context.Context, r pooling.Receipt) error
	DropReceipt(ctx context.Context, run, host string) error
	Receipts(ctx context.Context) ([]pooling.Receipt, error)
}

// PutBack puts back what of a host's objects bears the marker of a run, as they were, and drops the run's receipt of the host; it
// returns how that ended, as a step would. If it failed, the event has the objects that are not out because of the run any more all the
// same. A host that is not healthy stays out, unless the run holds nothing of it: then nothing changes. Again says that an attempt
// before may have put objects back without living to see it confirmed.
func (r *Restorer) PutBack(ctx context.Context, run, host string, were []pooling.Object, again bool) rollout.Event {
	if r.Health != nil {
		found, err := r.Pools.Observe(ctx, host)
		if err != nil {
			return restoreFailure(ctx, err)
		}
		if slices.ContainsFunc(found, func(o pooling.Object) bool { return bears(o, run) }) {
			if e, healthy := r.healthy(ctx, host); !healthy {
				return e
			}
		}
	}
	restored, err := r.Pools.Restore(ctx, run, were)
	e := rollout.Event{Kind: rollout.StepDone, Detail: strings.Join(changedByOthers(restored, were), "; ")}
	if err != nil {
		e = restoreFailure(ctx, err)
	} else if err := r.confirm(ctx, host, back(restored, again), true); err != nil {
		e = failure(rollout.Unhealthy, err)
	} else if r.Receipts != nil {
		if err := r.Receipts.DropReceipt(ctx, run, host); err != nil {
			e = restoreFailure(ctx, err)
		}
	}
	if e.Kind == rollout.StepFailed {
		e.Objects = objectsOf(notOut(restored), false)
	}
	return e
}

// notOut returns the objects that are not out because of the run any more: it may be that others have taken them out.
func notOut(restored []pooling.Restored) []pooling.Object {
	var objects []pooling.Object
	for _, r := range restored {
		if r.Outcome != pooling.Unknown {
			objects = append(objects, r.Object)
		}
	}
	return objects
}

// bears says whether an object bears a run's marker.
func bears(o pooling.Object, run string) bool {
	fields, err := o.Fields()
	return err == nil && fields.Marker == run
}

func (r *Restorer) healthy(ctx context.Context, name string) (rollout.Event, bool) {
	host, err := r.Hosts.Host(name)
	if err != nil {
		return failure(rollout.Permanent, err), false
	}
	p, err := httpProbe(*r.Health, host)
	if err != nil {
		return failure(rollout.Permanent, err), false
	}
	result := p.Probe(ctx)
	if result.Verdict == checks.Pass {
		return rollout.Event{}, true
	}
	return failure(rollout.Unhealthy, fmt.Errorf("its health check says %s: %s", result.Verdict, result.Detail)), false
}

// confirm waits until the balancers of each object's datacenter say that it is out, or in again.
func (r *Restorer) confirm(ctx context.Context, host string, changed []pooling.Object, pooled bool) error {
	services := map[string][]string{}
	for _, o := range changed {
		services[o.Datacenter()] = append(services[o.Datacenter()], o.Service())
	}
	for _, datacenter := range slices.Sorted(maps.Keys(services)) {
		if b, ok := r.Balancers[datacenter]; ok {
			if err := b.Confirm(ctx, host, services[datacenter], pooled); err != nil {
				return err
			}
		}
	}
	return nil
}

// back returns the objects that are in their pools again, by us. One that is as it was may have been put
// back by an attempt before, which was not confirmed or did not live to hear it.
func back(restored []pooling.Restored, again bool) []pooling.Object {
	var objects []pooling.Object
	for _, r := range restored {
		if r.Outcome != pooling.Back && (r.Outcome != pooling.Unchanged || !again) {
			continue
		}
		if fields, err := r.Object.Fields(); err == nil && fields.Pooled == pooling.PooledYes {
			objects = append(objects, r.Object)
		}
	}
	return objects
}

// changedByOthers says what others did to the objects while they were held, and what became of it.
func changedByOthers(restored []pooling.Restored, were []pooling.Object) []string {
	var lines []string
	for i, r := range restored {
		switch r.Outcome {
		case pooling.Back:
			if r.Object.Value != were[i].Value {
				lines = append(lines, r.Object.Key+" is back; what somebody else changed in it meanwhile was kept")
			}
		case pooling.Foreign:
			lines = append(lines, r.Object.Key+" was changed by somebody else, and left as it is")
		case pooling.Deleted:
			lines = append(lines, r.Object.Key+" was deleted by somebody else, and stays so")
		case pooling.Unchanged, pooling.Unknown:
		}
	}
	return lines
}
