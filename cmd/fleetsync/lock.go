package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/orchestrator/session"
	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/transport"
)

func (a *app) lockCommand() *cobra.Command {
	reason := ""
	c := &cobra.Command{
		Use:     "lock --reason TEXT",
		GroupID: groupHand,
		Short:   "Keep everybody from running anything on the fleet, until unlock",
		Long: `Keep everybody from running anything on the fleet, on every master, until unlock:
a maintenance freeze. It does not run out.

` + exitCodes,
		Example: `  fleetsync lock --reason "row C is being recabled, T1234"`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if reason == "" {
				return usage(errors.New("--reason must not be empty"), `fleetsync lock --reason "row C is being recabled"`)
			}
			on, err := a.loadSession()
			if err != nil {
				return err
			}
			holder, err := on.Freeze(c.Context(), reason)
			if err != nil {
				return err
			}
			return a.printLock(holder, "locked")
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for those who find it locked")
	_ = c.MarkFlagRequired("reason") // fails only for a flag that does not exist
	return c
}

func (a *app) unlockCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "unlock",
		GroupID: groupHand,
		Short:   "End what lock began",
		Long:    "End what lock began. The lock of a run is not ended: see recover.\n\n" + exitCodes,
		Example: "  fleetsync unlock",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			on, err := a.loadSession()
			if err != nil {
				return err
			}
			holder, frozen, err := on.Unfreeze(c.Context())
			switch {
			case err != nil:
				return err
			case !frozen:
				return a.printLock(holder, "not locked")
			}
			return a.printLock(holder, "unlocked")
		},
	}
}

// loadSession loads what commands need that work by hand.
func (a *app) loadSession() (*session.Config, error) {
	s, err := a.load()
	if err != nil {
		return nil, err
	}
	return a.session(s)
}

func (a *app) printLock(h pooling.Holder, what string) error {
	if a.json {
		return printJSON(a.stdout, struct {
			Lock   string         `json:"lock"`
			Holder pooling.Holder `json:"holder"`
		}{what, h})
	}
	line := what
	if h.Owner != "" {
		line += fmt.Sprintf(": %s on %s since %s: %s", h.Owner, h.Host, h.Since.UTC().Format(time.DateTime)+"Z", h.Reason)
	}
	_, err := fmt.Fprintln(a.stdout, transport.Neutral(line))
	return err
}
