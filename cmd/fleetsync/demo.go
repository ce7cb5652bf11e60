package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/demo"
	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/demo/incident"
	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/transport"
)

func (a *app) demoCommand() *cobra.Command {
	o, incident := demo.Defaults(), false
	c := &cobra.Command{
		Use:     "demo",
		GroupID: groupRun,
		Short:   "Make a fleet on this machine and sync it",
		Long: `Make a fleet in a temporary folder and run a full sync on it: hosts that are
folders, masters and proxies with a real rsync daemon each, a pool API, a web
server for the gate. Nothing is left running; the folder stays, so that you can
look at it.

With --incident it replays the day this program was written for: a reimaged
master is synced over the good one, and from there over the fleet. Everything
refuses; then it is forced through, and taken back to the last byte. It ends 0 if
every act ends as it must.

` + exitCodes,
		Example: `  fleetsync demo
  fleetsync demo --incident
  fleetsync demo --hosts 60 --proxies 6
  fleetsync demo --tree "$(go env GOROOT)/src"
  fleetsync demo up --dir /tmp/fleet`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if !incident {
				return a.demo(c.Context(), o)
			}
			// It makes a dozen runs: what nobody has asked for is smaller.
			for name, set := range map[string]func(){
				"hosts": func() { o.Hosts = 8 }, "files": func() { o.Files = 150 },
				"soak": func() { o.Soak = 500 * time.Millisecond }, "drain": func() { o.Drain = 100 * time.Millisecond },
			} {
				if !c.Flags().Changed(name) {
					set()
				}
			}
			return a.incident(c.Context(), o)
		},
	}
	demoFlags(c, &o)
	c.Flags().BoolVar(&incident, "incident", false, "replay the incident of 2 February 2016 on it")
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
	s, err := a.load()
	if err != nil {
		return err
	}
	runErr := a.carryOut(ctx, s, newRunFlags(inventory.ModeSync), "demo", a.confirmDeletions)
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
`, o.Dir, fleet.Inventory, fleet.Config, filepath.Join(o.Dir, "hosts"), transport.Word(folder), program)
	return runErr
}

// incident makes a fleet and replays the incident on it.
func (a *app) incident(ctx context.Context, o demo.Options) (err error) {
	switch {
	case o.Tree != "":
		return usage(errors.New("--incident and --tree contradict each other: the story is about a tree of its own"), "")
	case o.Proxies < 1:
		return usage(errors.New("--incident takes a proxy, from which a lost tree is rebuilt"), "")
	case o.Files < incident.MinFiles:
		return usage(fmt.Errorf("--incident takes at least %d files, so that there is something to lose", incident.MinFiles), "")
	}
	folder, err := os.MkdirTemp("", "fleetsync-demo-")
	if err != nil {
		return err
	}
	o.Dir = filepath.Join(folder, "fleet")
	// The masters' daemons ask the program, which must be found from anywhere.
	if o.Program, err = exec.LookPath(a.name); err == nil {
		o.Program, err = filepath.Abs(o.Program)
	}
	if err != nil {
		return notFoundError{fmt.Errorf("this program cannot be found, so that no rsync daemon can ask it: %w", err)}
	}
	o.KeepAll = true
	fleet, err := a.up(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fleet.Close()) }()
	_, _ = fmt.Fprintf(a.stderr, "a fleet of %d hosts and %d masters is up in %s\n", o.Hosts, o.Masters, o.Dir)
	r, err := incident.New(a.again, fleet, a.stderr)
	if err != nil {
		return err
	}
	began := time.Now()
	count := 0
	err = r.Play(ctx, func(title string, code int, failed error) error {
		count++
		if !a.json {
			return nil
		}
		return printJSON(a.stdout, map[string]any{"act": count, "title": title, "code": code, "as_promised": failed == nil})
	})
	if err == nil {
		_, err = fmt.Fprintf(a.stderr, "\nall %d acts ended as they must, in %s\n", count, time.Since(began).Round(time.Second))
	}
	_, _ = fmt.Fprintf(a.stderr, "the fleet is in %s\nits daemons have ended; remove it with\n  rm -r %s\n", o.Dir, transport.Word(folder))
	return err
}

// again runs another command line of this program, without the terminal's input.
func (a *app) again(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	child := *a
	child.stdin, child.stdout, child.stderr, child.json = strings.NewReader(""), stdout, stderr, false
	return child.run(ctx, args)
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
		_, err = fmt.Fprintf(a.stdout, "ready: %s --config %s sync\n", program, transport.Word(fleet.Config))
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
