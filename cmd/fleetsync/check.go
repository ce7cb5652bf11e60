package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/preflight"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/session"
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
			config, err := a.session(s)
			if err != nil {
				return err
			}
			if reach {
				return a.reach(c.Context(), s, limit)
			}
			if offline {
				config.Pools = nil
			}
			return a.check(c.Context(), s, config)
		},
	}
	c.Flags().BoolVar(&reach, "reach", false, "connect to every host and ask what a sync needs of it")
	c.Flags().StringVar(&limit, "limit", "", "with --reach, only these hosts: names, ranges, @group, role:, datacenter:, with and, or, not")
	c.Flags().BoolVar(&offline, "offline", false, "do not ask the pool API")
	c.MarkFlagsMutuallyExclusive("reach", "offline")
	return c
}

// check sees whether a sync could be planned: what would keep it from beginning is an error here too.
func (a *app) check(ctx context.Context, s *setup, c *session.Config) error {
	r := preflight.Request{Run: s.newRun(), Made: time.Now().UTC(), Mode: inventory.ModeSync, Confirmed: -1, Draft: true}
	facts, err := preflight.Gather(ctx, a.sources(s, c), r)
	if err != nil {
		return session.ErrInterrupted
	}
	v, err := preflight.Judge(facts, r)
	if refusal, ok := errors.AsType[*preflight.Refusal](err); ok && refusal.Kind == preflight.PoolsUnread {
		return withHint(err, "check pooling.endpoints and pooling.prefix, or use --offline")
	}
	if err != nil {
		return err
	}
	found := checkResult{
		Fleet: s.fleet.Name, Hosts: len(s.fleet.Hosts), Masters: len(s.fleet.Masters),
		Canaries: len(s.fleet.Canaries), Proxies: len(s.fleet.Proxies), Serving: len(s.fleet.Proxies) - len(v.Plan.Left), Left: v.Plan.Left,
	}
	if facts.Pools != nil {
		found.Pools = len(facts.Pools.Value.Pools)
	}
	if a.json {
		return printJSON(a.stdout, found)
	}
	return a.printCheck(found, facts.Pools != nil)
}

func (a *app) printCheck(r checkResult, asked bool) error {
	text := fmt.Sprintf("fleet %s: %d hosts, of which %d masters, %d canaries, %d proxies: good\n",
		r.Fleet, r.Hosts, r.Masters, r.Canaries, r.Proxies)
	if asked {
		text += fmt.Sprintf("pools: %d, of which proxies %d of %d can be taken out now\n", r.Pools, r.Serving, r.Proxies)
	}
	_, err := fmt.Fprint(a.stdout, text)
	return err
}
