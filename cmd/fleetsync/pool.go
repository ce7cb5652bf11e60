package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report"
	"github.com/fleetsync/fleetsync/orchestrator/session"
	"github.com/fleetsync/fleetsync/pooling"
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
		a.poolSetCommand("depool", "Take hosts out of their pools",
			`Take hosts out of their pools: each of their objects that says yes is set to no.
A pool is never taken below its threshold.`, (*session.Config).Depool),
		a.poolSetCommand("repool", "Put hosts back into their pools",
			`Put hosts back into their pools. What a run took out and, because it died or its
health check said no, did not put back, is put back exactly as it was; what is
out for another reason is set to yes.`, (*session.Config).Repool))
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
			on, hosts, err := a.byHand(args)
			if err != nil {
				return err
			}
			snapshot, err := on.Pools.Pools(c.Context())
			if err != nil {
				return &session.PoolsError{Err: err}
			}
			var objects []pooling.Object
			for _, name := range hosts {
				objects = append(objects, snapshot.Hosts[name]...)
			}
			return a.printPools(objects)
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

// byHand loads what pool commands need, and the hosts that are selected: all of them if none is.
func (a *app) byHand(selection []string) (*session.Config, []string, error) {
	s, err := a.load()
	if err != nil {
		return nil, nil, err
	}
	var hosts []string
	if len(selection) == 0 {
		for _, host := range s.fleet.Hosts {
			hosts = append(hosts, host.Name)
		}
	} else if hosts, err = s.fleet.Select(strings.Join(selection, ",")); err != nil {
		return nil, nil, usage(err, "fleetsync help pool get")
	}
	c, err := a.session(s)
	if err == nil && c.Pools == nil {
		err = session.ErrNoPools
	}
	return c, hosts, err
}

// setPools changes by hand what is in the pools.
type setPools func(c *session.Config, ctx context.Context, hosts []string) ([]pooling.Object, error)

func (a *app) poolSetCommand(name, short, long string, set setPools) *cobra.Command {
	return &cobra.Command{
		Use:     name + " SELECTION...",
		Short:   short,
		Long:    long + "\n\n" + exitCodes,
		Example: fmt.Sprintf("  fleetsync pool %s mw1033.eqiad.wmnet", name),
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			on, hosts, err := a.byHand(args)
			if err != nil {
				return err
			}
			changed, err := set(on, c.Context(), hosts)
			return cmp.Or(a.printPools(changed), err)
		},
	}
}

// printPools shows pool objects as they are now.
func (a *app) printPools(objects []pooling.Object) error {
	var rows []report.PoolRow
	var views []poolView
	for _, o := range objects {
		rows, views = append(rows, row(o)), append(views, poolView(row(o)))
	}
	if a.json {
		return printJSON(a.stdout, views...)
	}
	report.Pools(a.stdout, rows)
	return nil
}
