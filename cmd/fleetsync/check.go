package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// checkResult is what check found, for --json.
type checkResult struct {
	Fleet    string `json:"fleet"`
	Hosts    int    `json:"hosts"`
	Masters  int    `json:"masters"`
	Canaries int    `json:"canaries"`
	Proxies  int    `json:"proxies"`
	Pools    int    `json:"pools"`   // pools with at least one object
	Serving  int    `json:"serving"` // proxies that a run could take out now

	Left []rollout.Left `json:"left,omitempty"` // the others, and why
}

func (a *app) checkCommand() *cobra.Command {
	offline, reach, limit := false, false, ""
	c := &cobra.Command{
		Use:     "check",
		GroupID: groupSee,
		Short:   "Check inventory, policy, programs and pools, and touch nothing",
		Long: `Check that a run could begin: the inventory and the policy (all mistakes at
once), the programs that this machine needs, and that the pools can be read and
spare proxies. Nothing is changed anywhere.

With --reach every host is connected to and asked for what a sync needs of it:
rsync and its version, the folders of the tree and of what is kept, free space, its
clock; and the rsync daemons of masters and proxies are greeted. Ends 3 if a run
could not sync one of them.

` + exitCodes,
		Example: `  fleetsync check
  fleetsync --config ./fleetsync.yaml check --offline
  fleetsync check --reach --limit role:proxies`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := a.load()
			if err != nil {
				return err
			}
			if err := s.programs(); err != nil {
				return err
			}
			r := checkResult{
				Fleet: s.fleet.Name, Hosts: len(s.fleet.Hosts), Masters: len(s.fleet.Masters),
				Canaries: len(s.fleet.Canaries), Proxies: len(s.fleet.Proxies),
			}
			pools, err := s.pools()
			if err != nil {
				return err
			}
			if pools != nil {
				defer pools.Close()
			}
			if reach {
				return a.reach(c.Context(), s, limit)
			}
			if offline {
				pools = nil
			}
			if pools != nil {
				snapshot, err := pools.Pools(c.Context())
				if err != nil {
					return fail(exitInvalid, fmt.Errorf("the pools cannot be read: %w", err), "check pooling.endpoints and pooling.prefix, or use --offline")
				}
				r.Pools = len(snapshot.Pools)
			}
			// The plan of a sync: what would keep it from beginning is an error here too.
			plan, err := s.plan(c.Context(), pools, s.newRun(), runOptions{mode: inventory.ModeSync})
			if err != nil {
				return err
			}
			r.Serving, r.Left = len(s.fleet.Proxies)-len(plan.Left), plan.Left
			if a.json {
				return printJSON(a.stdout, r)
			}
			return a.printCheck(r, pools != nil)
		},
	}
	c.Flags().BoolVar(&reach, "reach", false, "connect to every host and ask what a sync needs of it")
	c.Flags().StringVar(&limit, "limit", "", "with --reach, only these hosts: names, ranges, @group, role:, datacenter:, with and, or, not")
	c.Flags().BoolVar(&offline, "offline", false, "do not ask the pool API")
	c.MarkFlagsMutuallyExclusive("reach", "offline")
	return c
}

func (a *app) printCheck(r checkResult, asked bool) error {
	text := fmt.Sprintf("fleet %s: %d hosts, of which %d masters, %d canaries, %d proxies: good\n", r.Fleet, r.Hosts, r.Masters, r.Canaries, r.Proxies)
	if asked {
		text += fmt.Sprintf("pools: %d, of which proxies %d of %d can be taken out now\n", r.Pools, r.Serving, r.Proxies)
	}
	_, err := fmt.Fprint(a.stdout, text)
	return err
}
