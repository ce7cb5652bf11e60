package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report"
	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/manifest"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/session"
	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/rsync"
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
	origin := s.firstServing()
	masters := make([]report.Master, len(s.fleet.Masters))
	manifests := make([]*manifest.Manifest, len(masters))
	a.each(ctx, s.masterNames(), func(i int, name string) error {
		masters[i] = report.Master{Host: name, Serve: s.fleet.Masters[i].Serve, Origin: name == origin}
		_, m, err := s.scan(ctx, name, full)
		if err != nil {
			masters[i].Error = err.Error()
			return nil // it is shown in its place
		}
		manifests[i] = m
		if found, err := s.leftHalfWay(ctx, name, m); err == nil && len(found) > 0 {
			masters[i].Error = found[0].Text
		}
		masters[i].Tree = treeOf(m, nil)
		return nil
	})
	if err := ctx.Err(); err != nil {
		return err
	}
	differ := false
	base := slices.Index(s.masterNames(), origin)
	for i := range masters {
		if masters[i].Error != "" {
			differ = true
			continue
		}
		if i == base || base < 0 || manifests[base] == nil {
			continue
		}
		for _, c := range manifest.NotLeft(manifest.Diff(manifests[base], manifests[i], nil)) {
			differ = true
			if masters[i].Drift == nil {
				masters[i].Drift = &report.MasterDrift{}
			}
			masters[i].Drift.Count++
			if len(masters[i].Drift.Paths) < maxDrift {
				masters[i].Drift.Paths = append(masters[i].Drift.Paths, report.Drift{Path: c.Path, Kind: string(c.Kind), What: string(c.What)})
			}
		}
	}
	if a.json {
		for _, m := range masters {
			if err := printJSON(a.stdout, m); err != nil {
				return err
			}
		}
	} else {
		report.Masters(a.stdout, masters, a.command())
	}
	if differ {
		return failuresError{errors.New("masters differ, or cannot be looked at")}
	}
	return nil
}

// maxDrift is how many paths are named in which a master differs.
const maxDrift = 20

func (s *setup) masterNames() []string {
	names := make([]string, len(s.fleet.Masters))
	for i, m := range s.fleet.Masters {
		names[i] = m.Host
	}
	return names
}

// firstServing returns the master that a run would take its tree from; empty if there is none.
func (s *setup) firstServing() string {
	for _, m := range s.fleet.Masters {
		if m.Serve {
			return m.Host
		}
	}
	return ""
}

// mayServe says why a host may not be synced from: it is no master, or one that says so.
func (s *setup) mayServe(name string) error {
	switch m, ok := s.fleet.Master(name); {
	case !ok:
		return fmt.Errorf("%s is not a master", name)
	case !m.Serve:
		return fmt.Errorf("master %s may not be synced from: it has serve: false", name)
	}
	return nil
}

type masterOptions struct {
	runOptions
	to       string
	fromHost string
	undo     string // the run whose changes are taken back; empty: the last one
	run      string // that this is
	yes      bool
}

func (a *app) mastersSyncCommand() *cobra.Command {
	o := masterOptions{}
	c := &cobra.Command{
		Use:   "sync --from A --to B",
		Short: "Put the tree of one master on another, and keep what that overwrites or deletes",
		Long: `Put the tree of master A on master B. A must have serve: true. What a sync would
create, change and delete on B is shown first. All that is overwritten or deleted
is kept on B, and masters undo puts it back.

` + exitCodes,
		Example: "  fleetsync masters sync --from mira.codfw.wmnet --to tin.eqiad.wmnet",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.changeMaster(c, o, a.mastersSync) },
	}
	c.Flags().StringVar(&o.from, "from", "", "the `master` that has the good tree")
	c.Flags().StringVar(&o.to, "to", "", "the `master` that gets it")
	_ = c.MarkFlagRequired("from") // fails only for a flag that does not exist
	_ = c.MarkFlagRequired("to")   // likewise
	o.masterFlags(c)
	o.guardFlags(c)
	o.confirmFlag(c)
	return c
}

func (o *masterOptions) masterFlags(c *cobra.Command) {
	c.Flags().BoolVar(&o.yes, "yes", false, "do not ask; deletions over the budget need their number all the same")
	o.waitFlag(c)
}

func (a *app) mastersUndoCommand() *cobra.Command {
	o := masterOptions{}
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
				o.undo = args[0]
			}
			return a.changeMaster(c, o, a.mastersUndo)
		},
	}
	c.Flags().StringVar(&o.to, "on", "", "the `master` whose tree is put back")
	_ = c.MarkFlagRequired("on") // fails only for a flag that does not exist
	o.masterFlags(c)
	return c
}

func (a *app) mastersRestoreCommand() *cobra.Command {
	o := masterOptions{}
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
		RunE:    func(c *cobra.Command, _ []string) error { return a.changeMaster(c, o, a.mastersRestore) },
	}
	c.Flags().StringVar(&o.fromHost, "from-host", "", "the `host` that still has the good tree")
	c.Flags().StringVar(&o.to, "to", "", "the `master` that lost it")
	_ = c.MarkFlagRequired("from-host") // fails only for a flag that does not exist
	_ = c.MarkFlagRequired("to")        // likewise
	o.masterFlags(c)
	o.guardFlags(c)
	o.confirmFlag(c)
	return c
}

// changeMaster is what the three commands have in common: under the fleet's lock they find out what to do, ask,
// and do it as a run.
func (a *app) changeMaster(c *cobra.Command, o masterOptions, prepare func(ctx context.Context, s *setup, o masterOptions) (*prepared, error)) error {
	if err := o.check(c); err != nil {
		return err
	}
	s, err := a.load()
	if err != nil {
		return err
	}
	if err := s.programs(); err != nil {
		return err
	}
	if !s.isMaster(o.to) {
		return usage(fmt.Errorf("%s is not a master", quoted(o.to)), "the inventory lists them under roles: masters")
	}
	ctx := c.Context()
	o.run = s.newRun()
	on, err := a.begin(ctx, s, session.Claim{Run: o.run, Reason: "masters " + c.Name(), Wait: o.wait})
	if err != nil {
		return err
	}
	defer on.Close(ctx)
	prep, stop := untilSignal(ctx)
	defer stop()
	p, err := prepare(prep, s, o)
	if err != nil {
		return err
	}
	if !o.yes && (p.plan.Delta == nil || !p.plan.Delta.Confirmed) {
		if err := a.ask("go on?", "--yes"); err != nil {
			return err
		}
	}
	defer a.pruneManifests(s)
	return a.start(ctx, stop, on, p.plan, p.manifest)
}

func (a *app) mastersSync(ctx context.Context, s *setup, o masterOptions) (*prepared, error) {
	if !s.isMaster(o.from) {
		return nil, usage(fmt.Errorf("--from: %s is not a master", quoted(o.from)), "masters restore --from-host takes a tree from any other host")
	}
	if err := s.mayServe(o.from); err != nil {
		return nil, fail(exitGuard, fmt.Errorf("%w: %w", errRefused, err), "only who edits "+s.policy.Inventory+" can say otherwise")
	}
	return a.fillMaster(ctx, s, o)
}

func (a *app) mastersRestore(ctx context.Context, s *setup, o masterOptions) (*prepared, error) {
	if _, ok := s.fleet.Host(o.fromHost); !ok || s.isMaster(o.fromHost) {
		return nil, usage(fmt.Errorf("--from-host: %s is no host that is synced to", quoted(o.fromHost)), "masters sync takes a tree from another master")
	}
	o.from = o.fromHost
	return a.fillMaster(ctx, s, o)
}

// fillMaster prepares to put a tree on a master: the guard agrees, and people have seen what it would do.
func (a *app) fillMaster(ctx context.Context, s *setup, o masterOptions) (*prepared, error) {
	if o.from == o.to {
		return nil, usage(fmt.Errorf("%s cannot be synced from itself", o.to), "")
	}
	m, err := a.inspect(ctx, s, o.from, o.runOptions)
	if err != nil {
		return nil, err
	}
	r := &request{settings: s.policy.For(inventory.ModeSync), Request: rollout.Request{
		Run: o.run, Made: time.Now().UTC(), Origin: o.from, Selection: []string{o.to}, Override: o.override, Tree: treeOf(m, nil),
	}}
	r.plan = func() (*rollout.Plan, error) { return rollout.NewMasterSync(s.fleet, r.settings, r.Request) }
	draft, err := s.planOf(r)
	if err != nil {
		return nil, err
	}
	p, err := a.measure(ctx, s, r, draft, o.runOptions)
	if err != nil {
		return nil, err
	}
	if len(p.plan.Delta.Hosts) == 0 {
		return nil, fail(exitGuard, fmt.Errorf("%w: %s did not say what a sync would do to it", errRefused, o.to), a.command()+" masters status")
	}
	p.manifest = m
	d := p.plan.Delta.Hosts[0]
	_, _ = fmt.Fprintf(a.stderr, "from %s to %s: create %d, change %d, delete %d\n", o.from, o.to, d.Create, d.Change, d.Delete)
	report.Delta(a.stderr, p.plan)
	return p, a.confirmDeletions(p)
}

func (a *app) mastersUndo(ctx context.Context, s *setup, o masterOptions) (*prepared, error) {
	asker := s.asker()
	keep, err := asker.Undoable(ctx, o.to, o.undo)
	if err != nil {
		return nil, fail(exitInvalid, fmt.Errorf("%s: %w", o.to, err), "")
	}
	preview, err := asker.PreviewUndo(ctx, o.to, keep, maxDrift)
	if err != nil {
		return nil, fail(exitInvalid, fmt.Errorf("%s: %w", o.to, err), "")
	}
	_, _ = fmt.Fprintf(a.stderr, "%s gets back the tree that it had before run %s: %s\n", o.to, transport.Neutral(keep), transport.Neutral(preview.String()))
	for _, path := range preview.Since {
		_, _ = fmt.Fprintf(a.stderr, "  made or changed since, and to be kept aside: %s\n", quoted(path))
	}
	switch {
	case preview.More > 0:
		_, _ = fmt.Fprintf(a.stderr, "  and %d more\n", preview.More)
	case preview.Unknown:
		_, _ = fmt.Fprintln(a.stderr, "  what that run left is not known, as it did not end well: what is replaced or removed is kept aside all the same")
	}
	plan, err := rollout.NewMasterUndo(s.fleet, s.policy.For(inventory.ModeSync), rollout.Request{
		Run: o.run, Made: time.Now().UTC(), Selection: []string{o.to}, Undoes: keep, MaxDelete: rsync.Unlimited,
	})
	if err != nil {
		return nil, fail(exitInvalid, err, "")
	}
	return &prepared{plan: plan}, nil
}
