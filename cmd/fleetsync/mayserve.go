package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/fleetsync/fleetsync/orchestrator/hosts"
	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/rsync"
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
				return errors.Join(err, a.printServes(name, errors.New("whether this master may be synced from cannot be told: its policy or its inventory cannot be read")))
			}
			if name == "" {
				name = s.machine()
			}
			reason := s.servesNow(c.Context(), name)
			if err := a.printServes(name, reason); err != nil {
				return err
			}
			if reason != nil {
				return fail(exitGuard, fmt.Errorf("%w: %w", errRefused, reason), "")
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

// servesNow says why the master that this machine is may not be synced from just now.
func (s *setup) servesNow(ctx context.Context, name string) error {
	if err := s.mayServe(name); err != nil {
		return err
	}
	if marker := s.policy.Guard.Provisioned; marker != "" {
		if _, err := os.Stat(marker); err != nil {
			return fmt.Errorf("master %s is not provisioned: %w", name, err)
		}
	}
	host, _ := s.fleet.Host(name) // it is a master
	switch last, err := hosts.TreeOf(s.fleet, host, transport.Local{}).Record(ctx); {
	case err != nil:
		return fmt.Errorf("it cannot be told whether the tree of %s is whole: %w", name, err)
	case last != nil && last.Partial:
		return fmt.Errorf("run %s has changed the tree of %s and did not end well", transport.Neutral(last.Run), name)
	}
	file, err := os.Open(rsync.Lock(host.Scratch, host.Source))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing has ever been synced to it
	}
	if err != nil {
		return fmt.Errorf("it cannot be told whether the tree of %s is being written: %w", name, err)
	}
	defer func() { _ = file.Close() }() // only read
	if err := unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		return fmt.Errorf("the tree of %s is being written by a sync", name)
	}
	return nil
}
