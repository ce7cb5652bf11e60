package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/transport"
)

func (a *app) poolCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "pool",
		GroupID: groupHand,
		Short:   "See and change by hand what is in the pools",
		Long:    "See and change by hand what is in the pools. The thresholds of the policy hold\nhere too.\n\n" + exitCodes,
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.poolGetCommand(),
		a.poolSetCommand("depool", pooling.PooledNo, "Take hosts out of their pools",
			"Take hosts out of their pools: each of their objects that says yes is set to no.\nA pool is never taken below its threshold."),
		a.poolSetCommand("repool", pooling.PooledYes, "Put hosts back into their pools",
			"Put hosts back into their pools. What a run took out and, because it died or its\nhealth check said no, did not put back, is put back exactly as it was; what is\nout for another reason is set to yes."))
	return c
}

func (a *app) poolGetCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "get [SELECTION]",
		Short:   "Show the pool objects of hosts",
		Long:    "Show the pool objects of the selected hosts of the fleet, or of all of them.\n\n" + exitCodes,
		Example: "  fleetsync pool get\n  fleetsync pool get role:proxies\n  fleetsync pool get 'mw[1017-1020].eqiad.wmnet' --json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			h, err := a.byHand(args)
			if err != nil {
				return err
			}
			defer h.pools.Close()
			snapshot, err := h.pools.Pools(c.Context())
			if err != nil {
				return fail(exitInvalid, fmt.Errorf("the pools cannot be read: %w", err), "check pooling.endpoints and pooling.prefix")
			}
			var rows []report.PoolRow
			for _, name := range h.hosts {
				for _, o := range snapshot.Hosts[name] {
					rows = append(rows, row(o))
				}
			}
			if !a.json {
				report.Pools(a.stdout, rows)
				return nil
			}
			for _, r := range rows {
				if err := printJSON(a.stdout, poolView(r)); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// poolView is a pool object as --json shows it.
type poolView struct {
	Key    string `json:"key"`
	Pooled string `json:"pooled"`
	Weight string `json:"weight,omitempty"` // as the object writes it
	Marker string `json:"marker,omitempty"` // the run that holds it
}

func row(o pooling.Object) report.PoolRow {
	fields, err := o.Fields()
	if err != nil {
		return report.PoolRow{Key: o.Key, Pooled: "malformed"}
	}
	return report.PoolRow{Key: o.Key, Pooled: string(fields.Pooled), Weight: fields.Weight.String(), Marker: fields.Marker}
}

// byHand is what the commands that work by hand begin with.
type byHand struct {
	*setup
	app   *app
	pools *pooling.Client
	hosts []string
}

func (a *app) byHand(selection []string) (*byHand, error) {
	s, err := a.load()
	if err != nil {
		return nil, err
	}
	h := &byHand{setup: s, app: a}
	if len(selection) == 0 {
		for _, host := range s.fleet.Hosts {
			h.hosts = append(h.hosts, host.Name)
		}
	} else {
		h.hosts, err = s.fleet.Select(strings.Join(selection, ","))
		if err != nil {
			return nil, usage(err, "fleetsync help pool get")
		}
	}
	h.pools, err = s.pools()
	if err == nil && h.pools == nil {
		err = fail(exitInvalid, errors.New("the policy names no pools"), "add pooling: to "+a.config)
	}
	return h, err
}

func (a *app) poolSetCommand(name string, pooled pooling.Pooled, short, long string) *cobra.Command {
	return &cobra.Command{
		Use:     name + " SELECTION...",
		Short:   short,
		Long:    long + "\n\n" + exitCodes,
		Example: fmt.Sprintf("  fleetsync pool %s mw1033.eqiad.wmnet", name),
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			h, err := a.byHand(args)
			if err != nil {
				return err
			}
			defer h.pools.Close()
			changed, err := h.setAll(c.Context(), pooled)
			if a.json {
				for _, o := range changed {
					if err := printJSON(a.stdout, poolView(row(o))); err != nil {
						return err
					}
				}
			} else {
				var rows []report.PoolRow
				for _, o := range changed {
					rows = append(rows, row(o))
				}
				report.Pools(a.stdout, rows)
			}
			return err
		},
	}
}

// setAll sets the objects of the selected hosts, in the fleet's order, and returns what they are
// then. A host without objects is refused before anything is changed. To take hosts out it stops at
// the first that cannot be; to put them back it tries every one, because each that is back serves users.
func (h *byHand) setAll(ctx context.Context, pooled pooling.Pooled) ([]pooling.Object, error) {
	snapshot, err := h.pools.Pools(ctx)
	if err != nil {
		return nil, fail(h.code(pooled, nil), fmt.Errorf("the pools cannot be read: %w", err), "check pooling.endpoints and pooling.prefix")
	}
	for _, host := range h.hosts {
		if len(snapshot.Hosts[host]) == 0 {
			return nil, fail(exitInvalid, fmt.Errorf("%s: %w", host, pooling.ErrNoObjects), "check pooling.select and pooling.prefix")
		}
	}
	var changed []pooling.Object
	var failures []error
	for _, host := range h.hosts {
		now, err := h.setHost(ctx, host, pooled)
		changed = append(changed, now...)
		if err != nil {
			failures = append(failures, err)
			if pooled != pooling.PooledYes {
				break
			}
		}
	}
	if err := errors.Join(failures...); err != nil {
		return changed, fail(h.code(pooled, changed), err, h.app.command()+" pool get")
	}
	return changed, nil
}

// code is what a failure exits with: what is not back is not restored; a depool that was refused
// before anything was changed has not touched the fleet.
func (h *byHand) code(pooled pooling.Pooled, changed []pooling.Object) int {
	switch {
	case pooled == pooling.PooledYes:
		return exitNotRestored
	case len(changed) == 0:
		return exitInvalid
	default:
		return exitInternal
	}
}

// setHost sets the objects of one host, all that can be, and returns what they are then. Where a run
// has taken some of them out, to put the host back is to put back those and no others: what was out
// before the run stays out.
func (h *byHand) setHost(ctx context.Context, host string, pooled pooling.Pooled) ([]pooling.Object, error) {
	objects, err := h.pools.Observe(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", host, err)
	}
	held := slices.ContainsFunc(objects, func(o pooling.Object) bool { return marker(o) != "" })
	var changed []pooling.Object
	var failures []error
	for _, o := range objects {
		now, err := h.set(ctx, o, pooled, held)
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", o.Key, err))
			if pooled != pooling.PooledYes {
				break
			}
			continue
		}
		changed = append(changed, now)
	}
	if len(failures) == 0 && pooled == pooling.PooledYes {
		h.dropReceipts(ctx, host, objects)
	}
	return changed, errors.Join(failures...)
}

func marker(o pooling.Object) string {
	fields, err := o.Fields()
	if err != nil {
		return ""
	}
	return fields.Marker
}

// dropReceipts forgets what dead runs had taken out of a host that is back. What cannot be forgotten
// keeps new runs out until recover finds that there is nothing to do.
func (h *byHand) dropReceipts(ctx context.Context, host string, objects []pooling.Object) {
	shared, err := h.shared()
	if err != nil || shared == nil {
		return
	}
	defer shared.Close()
	for _, o := range objects {
		if run := marker(o); run != "" {
			err = errors.Join(err, shared.DropReceipt(ctx, run, host))
		}
	}
	if err != nil {
		h.app.say().Warn("%s is back, but its receipt stays: %v", host, err)
	}
}

// set sets one object. What a run holds is the run's while it lives; of a run that died, it is put
// back from the run's receipt.
func (h *byHand) set(ctx context.Context, o pooling.Object, pooled pooling.Pooled, held bool) (pooling.Object, error) {
	fields, err := o.Fields()
	switch {
	case err != nil:
		return o, err
	case fields.Marker == "" && pooled == pooling.PooledYes && held:
		return o, nil
	case fields.Marker == "" && pooled == pooling.PooledYes && fields.Pooled == pooling.PooledInactive:
		return o, errors.New("is inactive: somebody took it off the lists that are made from the pools, and must put it on them")
	case fields.Marker == "":
		return h.pools.Set(ctx, o, pooled, h.threshold())
	case h.store.Alive(fields.Marker):
		return o, fmt.Errorf("held by run %s, which is under way: it will put it back itself", transport.Neutral(fields.Marker))
	case pooled != pooling.PooledYes:
		return h.pools.Set(ctx, o, pooled, h.threshold())
	}
	receipt, ok := h.receipt(fields.Marker, o)
	if !ok {
		// Of another machine, or lost. A run takes out only what is yes, so that is what it was.
		return h.pools.Set(ctx, o, pooled, h.threshold())
	}
	restored, err := h.pools.Restore(ctx, fields.Marker, []pooling.Object{receipt})
	if err != nil {
		return o, err
	}
	return restored[0].Object, nil
}

// receipt returns what an object was before a run took it out.
func (h *byHand) receipt(run string, o pooling.Object) (pooling.Object, bool) {
	r, err := h.app.read(h.setup, run)
	if err != nil {
		return o, false
	}
	for _, was := range r.State.Receipts(o.Host()) {
		if was.Key == o.Key {
			return poolObject(was), true
		}
	}
	return o, false
}

func poolObject(o rollout.Object) pooling.Object {
	return pooling.Object{Key: o.Key, Value: o.Value, Index: o.Index}
}
