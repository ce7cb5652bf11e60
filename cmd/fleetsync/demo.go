package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/demo"
	"github.com/fleetsync/fleetsync/inventory"
)

func (a *app) demoCommand() *cobra.Command {
	o := demo.Defaults()
	c := &cobra.Command{
		Use:     "demo",
		GroupID: groupRun,
		Short:   "Make a fleet on this machine and sync it",
		Long: `Make a fleet in a temporary folder and run a full sync on it: hosts that are
folders, masters and proxies with a real rsync daemon each, a pool API, a web
server for the gate. Nothing is left running; the folder stays, so that you can
look at it.

` + exitCodes,
		Example: `  fleetsync demo
  fleetsync demo --hosts 60 --proxies 6
  fleetsync demo --tree "$(go env GOROOT)/src"
  fleetsync demo up --dir /tmp/fleet`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.demo(c.Context(), o) },
	}
	demoFlags(c, &o)
	c.AddCommand(a.demoUpCommand())
	return c
}

func (a *app) demoUpCommand() *cobra.Command {
	o := demo.Defaults()
	c := &cobra.Command{
		Use:   "up --dir DIR",
		Short: "Make a fleet on this machine and serve it until interrupted",
		Long: `Make a fleet in DIR and serve it in the foreground until interrupted, so that
every command can be tried on it from a second terminal.

` + exitCodes,
		Example: `  fleetsync demo up --dir /tmp/fleet
  fleetsync --config /tmp/fleet/fleetsync.yaml sync`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.demoUp(c.Context(), o) },
	}
	demoFlags(c, &o)
	c.Flags().StringVar(&o.Dir, "dir", "", "make the fleet in this `folder`, which must be empty or not exist")
	c.Flags().StringVar(&o.PoolAPI, "pool-api", "", "make the pool objects in the etcd v2 at this `URL`; none that exists is changed")
	_ = c.MarkFlagRequired("dir") // fails only for a flag that does not exist
	return c
}

func demoFlags(c *cobra.Command, o *demo.Options) {
	c.Flags().IntVar(&o.Hosts, "hosts", o.Hosts, "how many hosts, canaries and proxies included")
	c.Flags().IntVar(&o.Proxies, "proxies", o.Proxies, "how many of them are proxies")
	c.Flags().IntVar(&o.Files, "files", o.Files, "how many files the tree has")
	c.Flags().DurationVar(&o.Soak, "soak", o.Soak, "how long the gate soaks")
	c.Flags().DurationVar(&o.Drain, "drain", o.Drain, "how long a proxy drains")
	c.Flags().StringVar(&o.Tree, "tree", "", "sync a copy of this `folder` instead of a generated tree")
}

// demo makes a fleet, syncs it and says where everything is.
func (a *app) demo(ctx context.Context, o demo.Options) (err error) {
	folder, err := os.MkdirTemp("", "fleetsync-demo-")
	if err != nil {
		return err
	}
	o.Dir = filepath.Join(folder, "fleet")
	fleet, err := a.up(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fleet.Close()) }()
	_, _ = fmt.Fprintf(a.stderr, "a fleet of %d hosts is up in %s\n\n", o.Hosts, o.Dir)
	program := a.command()
	a.config = fleet.Config
	runErr := a.execute(ctx, runOptions{mode: inventory.ModeSync, confirm: -1})
	_, _ = fmt.Fprintf(a.stderr, `
the fleet is in      %s
  its inventory      %s
  its policy         %s
  its hosts          %s
its daemons have ended; remove it with
  rm -r %s
to try every command on a fleet that stays up:
  %[6]s demo up --dir /tmp/fleet
and in a second terminal:
  %[6]s --config /tmp/fleet/fleetsync.yaml plan
  %[6]s --config /tmp/fleet/fleetsync.yaml sync
`, o.Dir, fleet.Inventory, fleet.Config, filepath.Join(o.Dir, "hosts"), shellWord(folder), program)
	return runErr
}

// demoUp makes a fleet and serves it until somebody ends it.
func (a *app) demoUp(ctx context.Context, o demo.Options) (err error) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	fleet, err := a.up(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fleet.Close()) }()
	program := a.command()
	if a.json {
		err = printJSON(a.stdout, map[string]any{
			"ready": true, "config": fleet.Config, "inventory": fleet.Inventory,
			"source": fleet.Source, "pool_api": fleet.PoolAPI, "web": fleet.Web,
		})
	} else {
		_, err = fmt.Fprintf(a.stdout, "ready: %s --config %s sync\n", program, shellWord(fleet.Config))
	}
	if err == nil {
		<-ctx.Done()
	}
	return err
}

func (a *app) up(ctx context.Context, o demo.Options) (*demo.Fleet, error) {
	if err := o.Validate(); err != nil {
		return nil, usage(err, "fleetsync help demo")
	}
	return demo.Up(ctx, o)
}
