package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/orchestrator/preflight"
)

func (a *app) mayServeCommand() *cobra.Command {
	name := ""
	c := &cobra.Command{
		Use:   "may-serve",
		Short: "Say whether this master may be synced from: for rsyncd's pre-xfer exec",
		Long: `End 0 if this master may be synced from, else 14 with the reason. An rsync daemon
whose module asks this before every transfer refuses any client while the master
may not serve: also one that somebody has typed by hand. See configs/rsyncd.conf.

A master may not serve if the inventory says serve: false, if the policy's
provisioning marker is missing, or while its tree is being written by a sync.
Whatever keeps that from being known counts as no. The reason is printed on
stdout, which is what such a daemon shows to the client.

` + exitCodes,
		Example: "  fleetsync masters may-serve\n  fleetsync masters may-serve --host mira.codfw.wmnet",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := a.load()
			if err != nil {
				// What is wrong with the files is nobody's business but ours: clients may be anybody.
				reason := errors.New("whether this master may be synced from cannot be told: its policy or its inventory cannot be read")
				return errors.Join(err, a.printServes(name, reason))
			}
			if name == "" {
				name = s.machine()
			}
			reason := preflight.MayServeNow(c.Context(), s.fleet, s.policy, name)
			if err := a.printServes(name, reason); err != nil {
				return err
			}
			if reason != nil {
				return withHint(&preflight.Refusal{Kind: preflight.MayNotServe, Err: fmt.Errorf("refused by the guard: %w", reason)}, "")
			}
			return nil
		},
	}
	c.Flags().StringVar(&name, "host", "", "the `master` that this machine is, if its host name does not say so")
	return c
}

// printServes prints the answer on stdout: of a refusal rsyncd shows that to the client, and nothing else
// (rsyncd.conf(5), pre-xfer exec).
func (a *app) printServes(name string, reason error) error {
	why := ""
	if reason != nil {
		why = reason.Error()
	}
	if a.json {
		return printJSON(a.stdout, map[string]any{"host": name, "may_serve": reason == nil, "reason": why})
	}
	if reason == nil {
		return nil
	}
	_, err := fmt.Fprintf(a.stdout, "fleetsync refuses: %s\n", why)
	return err
}
