//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/cmd/fleetlab/lab"
)

func (a *app) upCommand() *cobra.Command {
	o := lab.Defaults()
	c := &cobra.Command{
		Use:   "up",
		Short: "Bring a lab up, and stay until Ctrl-C or fleetlab down",
		Long: `Brings a lab up, says that it is ready, and stays in the foreground. With the end of
this program everything of the lab ends, and its files are deleted (see --keep).`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o.Dir = a.dir
			if err := o.Validate(); err != nil {
				return errUsage{err}
			}
			dir := ""
			if c.Flags().Changed("dir") {
				dir = " --dir " + a.dir
			}
			return a.up(c.Context(), o, dir)
		},
	}
	f := c.Flags()
	f.IntVar(&o.Hosts, "hosts", o.Hosts, "`number` of hosts, canaries and proxies included, masters not")
	f.IntVar(&o.Masters, "masters", o.Masters, "`number` of masters; the first may serve")
	f.IntVar(&o.Proxies, "proxies", o.Proxies, "`number` of proxies")
	f.StringVar(&o.Rate, "rate", o.Rate, "bound every host's link, each way, to a `rate`: 10mbit")
	f.StringVar(&o.SrvSize, "srv-size", o.SrvSize, "`size` of every host's /srv, in memory: 512M; without it, a folder of the lab's")
	f.IntVar(&o.Files, "files", o.Files, "`number` of files in the tree")
	f.IntVar(&o.BytesPerFile, "bytes-per-file", o.BytesPerFile, "`number` of bytes in each; 0 for the sizes of a grown tree")
	f.StringVar(&o.Tree, "tree", o.Tree, "sync a copy of this `directory` instead of a generated tree")
	f.DurationVar(&o.Soak, "soak", o.Soak, "of the gate, in the lab's fleetsync.yaml")
	f.DurationVar(&o.Drain, "drain", o.Drain, "of a depooled proxy, likewise")
	f.BoolVar(&o.Keep, "keep", o.Keep, "keep the files at the end; fleetlab down deletes them")
	return c
}

// up brings a lab up and stays until it is to end. dir is how other commands find it.
func (a *app) up(ctx context.Context, o lab.Options, dir string) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	began := time.Now()
	l, err := lab.Up(ctx, o)
	if err != nil {
		return err
	}
	master, canary := l.Named(lab.RoleMaster)[0], l.Named(lab.RoleCanary)[0]
	_, _ = fmt.Fprintf(a.stdout, `ready: %d hosts and %d masters in %s, up in %.1f s
  a shell on a master:  fleetlab exec%s %s -- sh
  a run from it:        fleetlab exec%s %s -- fleetsync sync
  ssh as it does:       fleetlab exec%s %s -- ssh %s hostname
  a power cut:          fleetlab kill%s %s
  the end:              Ctrl-C, or fleetlab down%s
`, o.Hosts, o.Masters, l.Dir, time.Since(began).Seconds(), dir, master, dir, master, dir, master, canary, dir, canary, dir)
	select {
	case <-ctx.Done():
		stop() // a second Ctrl-C need not wait for the files; the processes end in any case
	case <-l.Ended():
	}
	asked := ctx.Err() != nil || !l.Failed()
	if err := l.Close(); err != nil {
		return err
	}
	if !asked {
		return errors.New("the lab has ended by itself")
	}
	return nil
}
