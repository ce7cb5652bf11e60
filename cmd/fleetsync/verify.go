package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report"
	"github.com/fleetsync/fleetsync/orchestrator/hosts"
	"github.com/fleetsync/fleetsync/orchestrator/manifest"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/transport"
)

func (a *app) verifyCommand() *cobra.Command {
	o := verifyOptions{most: 20}
	c := &cobra.Command{
		Use:     "verify",
		GroupID: groupSee,
		Short:   "See whether every host still holds what its last run left there",
		Long: `Ask every host for the metadata digest of its tree (paths, types, sizes, mtimes in
nanoseconds, modes, link targets) and compare it with what its last run left
there; with --content the content of every file too. Of a host that differs, the
paths that drifted are named. Nothing is changed, and no source is asked.

Ends 3 if a host has drifted, cannot be asked, or is not known to hold a tree.

` + exitCodes,
		Example: `  fleetsync verify
  fleetsync verify --limit role:proxies --content`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if flag := c.Flags().Lookup("limit"); flag.Changed && o.limit == "" {
				return usage(errors.New("--limit is empty"), "leave it out to mean all")
			}
			if o.most < 0 {
				return usage(errors.New("--most must not be negative"), "")
			}
			return a.verify(c.Context(), o)
		},
	}
	limitFlag(c, &o.limit)
	c.Flags().BoolVar(&o.content, "content", false, "read every file, and compare contents too")
	c.Flags().IntVar(&o.most, "most", o.most, "name at most this many `paths` of a host")
	return c
}

type verifyOptions struct {
	limit   string
	content bool
	most    int
}

// verifyAtOnce is how many hosts are asked at once: a digest is little work for a host, and none for us.
const verifyAtOnce = 64

func (a *app) verify(ctx context.Context, o verifyOptions) error {
	s, err := a.load()
	if err != nil {
		return err
	}
	if err := s.programs(); err != nil {
		return err
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	names, err := s.destinations(o.limit)
	if err != nil {
		return err
	}
	trees, _, err := a.trees(s)
	if err != nil {
		return err
	}
	v := verifier{setup: s, asker: s.asker(), verifyOptions: o, manifests: map[string]*manifest.Manifest{}}
	results := make([]report.Verified, len(names))
	var group errgroup.Group
	group.SetLimit(verifyAtOnce)
	for i, name := range names {
		last := trees.Of(name)
		if err := v.load(last); err != nil {
			a.say().Warn("%v", err)
		}
		group.Go(func() error {
			results[i] = v.host(ctx, last)
			return nil
		})
	}
	_ = group.Wait() // every host has a result
	if err := ctx.Err(); err != nil {
		return err
	}
	if a.json {
		for _, r := range results {
			if err := printJSON(a.stdout, r); err != nil {
				return err
			}
		}
	} else {
		report.Verify(a.stdout, results, a.command())
	}
	wrong := 0
	for _, r := range results {
		if r.Verdict != report.Same {
			wrong++
		}
	}
	if wrong > 0 {
		return failuresError{fmt.Errorf("of %d of %d hosts it cannot be said that they hold what their last run left there", wrong, len(results))}
	}
	return nil
}

// destinations returns the hosts that a run would sync and that are selected, in the fleet's order.
func (s *setup) destinations(limit string) ([]string, error) {
	selection, err := s.selection(limit)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, h := range s.fleet.Hosts {
		if !s.isMaster(h.Name) && (limit == "" || slices.Contains(selection, h.Name)) {
			names = append(names, h.Name)
		}
	}
	if len(names) == 0 {
		return nil, usage(errors.New("no host is selected but masters"), "fleetsync masters status")
	}
	return names, nil
}

// verifier compares hosts with what runs left on them.
type verifier struct {
	verifyOptions
	setup     *setup
	asker     *hosts.Asker
	manifests map[string]*manifest.Manifest // by run; complete before a host of the run is asked
}

// load reads the manifest of a host's last run, unless it has been.
func (v *verifier) load(last rollout.LastTree) error {
	if last.Tree == nil {
		return nil
	}
	if _, tried := v.manifests[last.Run]; tried {
		return nil
	}
	m, err := manifest.Load(v.setup.store.ManifestPath(last.Run))
	if err != nil {
		v.manifests[last.Run] = nil
		return fmt.Errorf("the manifest of run %s is not here, so that drifted paths cannot be named: %w", last.Run, err)
	}
	v.manifests[last.Run] = m
	return nil
}

// host compares one host with what its last run left there, as far as this machine knows. What the host itself has
// recorded counts where that is of a later run: another master may have synced it.
func (v *verifier) host(ctx context.Context, last rollout.LastTree) report.Verified {
	r := report.Verified{Host: last.Host, Run: last.Run}
	known := last.Tree != nil && (last.Standing == rollout.Synced || last.Standing == rollout.Partial)
	if known {
		digest, err := v.asker.Digest(ctx, last.Host, last.Paths)
		switch {
		case err != nil:
			r.Verdict, r.Error = report.NotKnown, err.Error()
			return r
		case digest == last.Tree.Digest && !v.content:
			r.Verdict = report.Same
			return r
		case digest == last.Tree.Digest:
			v.differences(ctx, last, &r, digest)
			return r
		}
	}
	record, err := v.asker.Record(ctx, last.Host)
	switch {
	case err != nil:
		r.Verdict, r.Error = report.NotKnown, err.Error()
	case record != nil && record.Run > last.Run && record.Digest != "" && !record.Partial:
		v.recorded(ctx, &r, record.Run, record.Digest, record.Paths)
	case known:
		v.differences(ctx, last, &r, "")
	case last.Standing == "":
		r.Verdict, r.Error = report.NotKnown, "no run is known that synced it"
	default:
		r.Verdict, r.Error = report.NotKnown, "its last run, "+last.Run+", left it "+leftAs(last.Standing)
	}
	return r
}

// leftAs says in words how a run has left a host.
func leftAs(s rollout.Standing) string {
	switch s {
	case rollout.Syncing:
		return "in flight, when it died"
	case rollout.Failed, rollout.Waiting:
		return "failed: its tree may be mixed"
	case rollout.Synced, rollout.Partial, rollout.RolledBack, rollout.Untouched:
		return string(s) + ", with a tree that its journal does not name"
	default:
		return string(s)
	}
}

// recorded compares a host with its own record.
func (v *verifier) recorded(ctx context.Context, r *report.Verified, run, want string, paths []string) {
	r.Run = transport.Neutral(run)
	digest, err := v.asker.Digest(ctx, r.Host, paths)
	switch {
	case err != nil:
		r.Verdict, r.Error = report.NotKnown, err.Error()
	case digest != want:
		r.Verdict = report.Drifted // from a run whose manifest is on another master
	case v.content:
		r.Verdict, r.Error = report.NotKnown, "the manifest of its run is on another master, so that contents cannot be compared"
	default:
		r.Verdict = report.Same
	}
}

// differences names what drifted on a host.
func (v *verifier) differences(ctx context.Context, last rollout.LastTree, r *report.Verified, digest string) {
	r.Verdict = report.Drifted
	want := v.manifests[last.Run]
	if want == nil {
		if digest == last.Tree.Digest { // and contents were to be compared
			r.Verdict, r.Error = report.NotKnown, "the manifest of its run is not here any more, so that contents cannot be compared"
		}
		return
	}
	is, err := v.asker.Manifest(ctx, last.Host, v.content)
	if err != nil {
		r.Verdict, r.Error = report.NotKnown, err.Error()
		return
	}
	changes := manifest.Diff(want, is, last.Paths)
	if len(manifest.NotLeft(changes)) == 0 { // what the sync had to leave is no drift
		if len(changes) > 0 || digest == last.Tree.Digest {
			r.Verdict = report.Same
		} else {
			r.Verdict, r.Error = report.NotKnown, "its tree changed while it was looked at"
		}
		return
	}
	r.Count = len(changes)
	for _, c := range changes[:min(len(changes), v.most)] {
		r.Paths = append(r.Paths, report.Drift{Path: c.Path, Kind: string(c.Kind), What: string(c.What)})
	}
}
