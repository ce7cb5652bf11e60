package session

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fleetsync/fleetsync/orchestrator/preflight"
	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/transport"
)

// Depool takes hosts out of their pools by hand, in their order: each of their objects that says "yes" is set to "no", as far as the
// thresholds allow. It stops at the first that cannot be, and returns the objects as they are now that were seen to. A host without
// objects is refused before anything is changed (pooling.ErrNoObjects); any other error is a DepoolError.
func (c *Config) Depool(ctx context.Context, hosts []string) ([]pooling.Object, error) {
	if err := c.haveObjects(ctx, hosts); err != nil {
		return nil, err
	}
	var changed []pooling.Object
	for _, host := range hosts {
		now, err := c.depool(ctx, host)
		changed = append(changed, now...)
		if err != nil {
			return changed, &DepoolError{err, len(changed)}
		}
	}
	return changed, nil
}

func (c *Config) depool(ctx context.Context, host string) (changed []pooling.Object, err error) {
	objects, err := c.Pools.Observe(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", host, err)
	}
	for _, o := range objects {
		fields, err := o.Fields()
		if err == nil {
			err = c.free(fields.Marker)
		}
		if err == nil {
			o, err = c.Pools.Set(ctx, o, pooling.PooledNo, preflight.Threshold(c.Policy))
		}
		if err != nil {
			return changed, fmt.Errorf("%s: %w", o.Key, err)
		}
		changed = append(changed, o)
	}
	return changed, nil
}

// Repool puts hosts back into their pools by hand and returns their objects as they are now. Where a run that died has taken some of a
// host's objects out, those are put back as they were and no others: what was out before the run stays out. Of a host that no run
// holds all objects are set to "yes". Every host is tried, because each that is back serves users. A host without objects is refused
// before anything is changed (pooling.ErrNoObjects); any other error is a RepoolError.
func (c *Config) Repool(ctx context.Context, hosts []string) ([]pooling.Object, error) {
	if err := c.haveObjects(ctx, hosts); err != nil {
		if _, unread := errors.AsType[*PoolsError](err); unread {
			err = &RepoolError{err}
		}
		return nil, err
	}
	var changed []pooling.Object
	var failures []error
	for _, host := range hosts {
		now, err := c.repool(ctx, host)
		changed = append(changed, now...)
		failures = append(failures, err)
	}
	if err := errors.Join(failures...); err != nil {
		return changed, &RepoolError{err}
	}
	return changed, nil
}

func (c *Config) repool(ctx context.Context, host string) (changed []pooling.Object, err error) {
	objects, err := c.Pools.Observe(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", host, err)
	}
	held := slices.ContainsFunc(objects, func(o pooling.Object) bool { return marker(o) != "" })
	var failures []error
	for _, o := range objects {
		now, err := c.putBack(ctx, o, held)
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", o.Key, err))
			continue
		}
		changed = append(changed, now)
	}
	if len(failures) == 0 {
		c.dropReceipts(ctx, host, objects)
	}
	return changed, errors.Join(failures...)
}

// putBack puts one object back; held says whether a run holds any of its host.
func (c *Config) putBack(ctx context.Context, o pooling.Object, held bool) (pooling.Object, error) {
	fields, err := o.Fields()
	switch {
	case err != nil:
		return o, err
	case fields.Marker == "" && held:
		return o, nil // it was out before the run
	case fields.Marker == "" && fields.Pooled == pooling.PooledInactive:
		return o, errors.New("is inactive: somebody took it off the lists that are made from the pools, and must put it on them")
	case fields.Marker == "":
		return c.Pools.Set(ctx, o, pooling.PooledYes, preflight.Threshold(c.Policy))
	}
	if err := c.free(fields.Marker); err != nil {
		return o, err
	}
	receipt, ok := c.receipt(fields.Marker, o)
	if !ok {
		// Of another machine, or lost. A run takes out only what is yes, so that is what it was.
		return c.Pools.Set(ctx, o, pooling.PooledYes, preflight.Threshold(c.Policy))
	}
	restored, err := c.Pools.Restore(ctx, fields.Marker, []pooling.Object{receipt})
	if err != nil {
		return o, err
	}
	return restored[0].Object, nil
}

// free says that no run that lives holds what bears a marker.
func (c *Config) free(marker string) error {
	if marker == "" || !c.Store.Alive(marker) {
		return nil
	}
	return fmt.Errorf("held by run %s, which is under way: it will put it back itself", transport.Neutral(marker))
}

// receipt returns what an object was before a run took it out, by the journal of that run.
func (c *Config) receipt(run string, o pooling.Object) (pooling.Object, bool) {
	state, err := Journals{c.Store}.Read(run)
	if err != nil {
		return o, false
	}
	for _, was := range objects(state.Receipts(o.Host())) {
		if was.Key == o.Key {
			return was, true
		}
	}
	return o, false
}

// dropReceipts forgets what dead runs had taken out of a host that is back. What cannot be forgotten keeps new runs out until recover
// finds that there is nothing to do.
func (c *Config) dropReceipts(ctx context.Context, host string, objects []pooling.Object) {
	if c.Shared == nil {
		return
	}
	var err error
	for _, o := range objects {
		if run := marker(o); run != "" {
			err = errors.Join(err, c.Shared.DropReceipt(ctx, run, host))
		}
	}
	if err != nil {
		c.Printer.Warn("%s is back, but its receipt stays: %v", host, err)
	}
}

// haveObjects refuses hosts that have no pool objects.
func (c *Config) haveObjects(ctx context.Context, hosts []string) error {
	if c.Pools == nil {
		return ErrNoPools
	}
	snapshot, err := c.Pools.Pools(ctx)
	if err != nil {
		return &PoolsError{err}
	}
	for _, host := range hosts {
		if len(snapshot.Hosts[host]) == 0 {
			return fmt.Errorf("%s: %w", host, pooling.ErrNoObjects)
		}
	}
	return nil
}

func marker(o pooling.Object) string {
	fields, err := o.Fields()
	if err != nil {
		return ""
	}
	return fields.Marker
}
