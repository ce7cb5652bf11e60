package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report"
	"github.com/fleetsync/fleetsync/orchestrator/preflight"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/session"
	"github.com/fleetsync/fleetsync/transport"
)

func (a *app) mastersCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "masters",
		GroupID: groupHand,
		Short:   "Compare masters, sync one from another, and take that back",
		Long: `Masters hold the authoritative tree. One with serve: true may be synced from; one
with serve: false is synced to, and never from.

` + exitCodes,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.mastersStatusCommand(), a.mastersSyncCommand(), a.mastersUndoCommand(), a.mastersRestoreCommand(), a.mayServeCommand())
	return c
}

func (a *app) mastersStatusCommand() *cobra.Command {
	full := false
	c := &cobra.Command{
		Use:   "status",
		Short: "Show what each master holds, whether it may be synced from, and how they differ",
		Long: `Look at the tree of every master: its fingerprint, whether it may be synced from,
and how it differs from the one that a run would take.

Ends 3 if masters differ, or one cannot be looked at.

` + exitCodes,
		Example: "  fleetsync masters status\n  fleetsync masters status --json",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.mastersStatus(c.Context(), full) },
	}
	c.Flags().BoolVar(&full, "full", false, "read every file, also those that look unchanged")
	return c
}

func (a *app) mastersStatus(ctx context.Context, full bool) error {
	s, err := a.load()
	if err != nil {
		return err
	}
	if err := s.programs(); err != nil {
		return err
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	masters := a.sources(s, nil).Masters(ctx, full)
	if ctx.Err() != nil {
		return session.ErrInterrupted
	}
	if !a.json {
		report.Masters(a.stdout, masters, a.command())
	} else if err := printJSON(a.stdout, masters...); err != nil {
		return err
	}
	if slices.ContainsFunc(masters, func(m preflight.Master) bool { return m.Error != "" || m.Drift != nil }) {
		return failuresError{errors.New("masters differ, or cannot be looked at")}
	}
	return nil
}

func (a *app) mastersSyncCommand() *cobra.Command {
	o := newRunFlags(rollout.ModeMasters)
	c := &cobra.Command{
		Use:   "sync --from A --to B",
		Short: "Put the tree of one master on another, and keep what that overwrites or deletes",
		Long: `Put the tree of master A on master B. A must have serve: true. What a sync would
create, change and delete on B is shown first. All that is overwritten or deleted
is kept on B, and masters undo puts it back.

` + exitCodes,
		Example: "  fleetsync masters sync --from mira.codfw.wmnet --to tin.eqiad.wmnet",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.changeMaster(c, o) },
	}
	c.Flags().StringVar(&o.From, "from", "", "the `master` that has the good tree")
	c.Flags().StringVar(&o.To, "to", "", "the `master` that gets it")
	_ = c.MarkFlagRequired("from") // fails only for a flag that does not exist
	_ = c.MarkFlagRequired("to")   // likewise
	o.masterFlags(c)
	o.guardFlags(c)
	o.confirmFlag(c)
	return c
}

func (o *runFlags) masterFlags(c *cobra.Command) {
	c.Flags().BoolVar(&o.yes, "yes", false, "do not ask; deletions over the budget need their number all the same")
	o.waitFlag(c)
}

func (a *app) mastersUndoCommand() *cobra.Command {
	o := newRunFlags(rollout.ModeMasters)
	c := &cobra.Command{
		Use:   "undo [RUN] --on B",
		Short: "Put back what the last sync overwrote or deleted on a master",
		Long: `Put back the tree that master B had before a run: before the last one that changed
it, or the one that is named if none has changed it since. It is made of what B
itself has kept, and compared with what was there.

` + exitCodes,
		Example: "  fleetsync masters undo --on tin.eqiad.wmnet",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.Undoes = args[0]
			}
			return a.changeMaster(c, o)
		},
	}
	c.Flags().StringVar(&o.To, "on", "", "the `master` whose tree is put back")
	_ = c.MarkFlagRequired("on") // fails only for a flag that does not exist
	o.masterFlags(c)
	return c
}

func (a *app) mastersRestoreCommand() *cobra.Command {
	o := newRunFlags(rollout.ModeMasters)
	o.FromHost = true
	c := &cobra.Command{
		Use:   "restore --from-host H --to B",
		Short: "Rebuild the lost tree of a master from what a host has",
		Long: `Rebuild the tree of master B from the destination of host H, which must run an
rsync daemon, as proxies do. What is excluded from syncs is not on the host, and
does not come back. What is overwritten or deleted on B is kept there, and masters
undo puts it back.

` + exitCodes,
		Example: "  fleetsync masters restore --from-host mw1033.eqiad.wmnet --to tin.eqiad.wmnet",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.changeMaster(c, o) },
	}
	c.Flags().StringVar(&o.From, "from-host", "", "the `host` that still has the good tree")
	c.Flags().StringVar(&o.To, "to", "", "the `master` that lost it")
	_ = c.MarkFlagRequired("from-host") // fails only for a flag that does not exist
	_ = c.MarkFlagRequired("to")        // likewise
	o.masterFlags(c)
	o.guardFlags(c)
	o.confirmFlag(c)
	return c
}

// changeMaster is what the three commands have in common: people see what would be done, and are asked.
func (a *app) changeMaster(c *cobra.Command, o runFlags) error {
	if err := o.check(c); err != nil {
		return err
	}
	s, err := a.load()
	if err != nil {
		return err
	}
	return a.carryOut(c.Context(), s, o, "masters "+c.Name(), func(v preflight.Verdict) (preflight.Verdict, error) {
		if v.Undo != nil {
			a.showUndo(o.To, v.Undo)
		} else {
			d := v.Plan.Delta.Hosts[0]
			_, _ = fmt.Fprintf(a.stderr, "from %s to %s: create %d, change %d, delete %d\n", o.From, o.To, d.Create, d.Change, d.Delete)
			report.Delta(a.stderr, v.Plan)
		}
		v, err := a.confirmDeletions(v)
		if err == nil && !o.yes && (v.Plan.Delta == nil || !v.Plan.Delta.Confirmed) {
			err = a.ask("go on?", "--yes")
		}
		return v, err
	})
}

// showUndo shows what putting back a master's tree would do.
func (a *app) showUndo(master string, u *preflight.Undo) {
	say := a.say().Say
	say("%s gets back the tree that it had before run %s: %s", master, u.Run, u.Preview.String())
	for _, path := range u.Preview.Since {
		say("  made or changed since, and to be kept aside: %s", transport.Quoted(path))
	}
	switch {
	case u.Preview.More > 0:
		say("  and %d more", u.Preview.More)
	case u.Preview.Unknown:
		say("  what that run left is not known, as it did not end well: what is replaced or removed is kept aside all the same")
	}
}
