package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report"
	"github.com/fleetsync/fleetsync/orchestrator/hosts"
	"github.com/fleetsync/fleetsync/orchestrator/manifest"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/rsync"
)

// prepared is a run that could begin: its plan, and what it puts on its hosts.
type prepared struct {
	plan     *rollout.Plan
	manifest *manifest.Manifest
	pools    string // digest of the pools when they were read
	over     bool   // more would be deleted than the budget allows, and nobody has confirmed it yet
}

// prepare finds out all that must be known before a run: what the pools can spare, what the origin holds and
// whether that may be synced from, and what a sync would do to the canaries. It changes nothing anywhere.
func (a *app) prepare(ctx context.Context, s *setup, pools *pooling.Client, run string, o runOptions) (*prepared, error) {
	r, err := s.request(ctx, pools, run, o)
	if err != nil {
		return nil, err
	}
	draft, err := s.planOf(r) // who plays which part does not depend on what the tree holds
	if err != nil {
		return nil, err
	}
	// Both may take seconds, and neither needs what the other finds.
	examine, stop := context.WithCancel(ctx)
	defer stop()
	var found *inspection
	var unread error
	var reading sync.WaitGroup
	origin := draft.Origin
	reading.Go(func() { found, unread = a.examine(examine, s, origin, o) })
	if draft, err = a.withoutDown(ctx, s, r, draft); err != nil {
		stop()
	}
	reading.Wait()
	if err = cmp.Or(err, unread); err != nil {
		return nil, err
	}
	m := found.manifest
	if err := a.judge(found, o); err != nil {
		return nil, err
	}
	a.warnOfPaths(s, m, draft)
	r.Tree = treeOf(m, draft.Paths)
	p, err := a.measure(ctx, s, r, draft, o)
	if err != nil {
		return nil, err
	}
	a.fallbacks(s)
	p.manifest, p.pools = m, r.pools
	return p, nil
}

// measure asks hosts what a sync would do to them, holds that against the budget, and makes the plan.
func (a *app) measure(ctx context.Context, s *setup, r *request, draft *rollout.Plan, o runOptions) (*prepared, error) {
	allowed := s.policy.Guard.MaxDelete.Of(r.Tree.Files)
	asker := s.asker()
	var space room
	var asking sync.WaitGroup
	asking.Go(func() { space = a.room(ctx, asker, draft) })
	r.Delta = a.delta(ctx, asker, draft)
	asking.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	refused, text := space.judge(s.policy.Guard.MinFree + largest(r.Delta))
	if refused {
		return nil, fail(exitGuard, fmt.Errorf("%w: %s", errRefused, text), "make room there; guard: min_free is part of what is needed")
	}
	if text != "" {
		a.say().Warn("%s", text)
	}
	r.Delta.Allowed, r.MaxDelete = allowed, allowed
	p := &prepared{over: most(r.Delta) > allowed}
	if o.confirm >= 0 {
		if n := most(r.Delta); n != o.confirm {
			return nil, fail(exitGuard, fmt.Errorf("%w: %d deletions were confirmed, and %d would be made", errRefused, o.confirm, n), "leave the number out to see what would go")
		}
		r.MaxDelete, r.Delta.Confirmed, p.over = max(allowed, o.confirm), p.over, false
	}
	var err error
	p.plan, err = s.planOf(r)
	return p, err
}

// most returns how many deletions a sync would make on the host on which it makes the most.
func most(d *rollout.Delta) int {
	n := 0
	for _, h := range d.Hosts {
		n = max(n, h.Delete)
	}
	return n
}

// Bounds of what is asked before a run.
const (
	maxGone   = 1000 // paths named of what would be deleted on one host
	askAtOnce = 32
)

// delta asks the canaries and the co-masters what a sync would do to them. One that does not answer is named; the
// gate will judge it.
func (a *app) delta(ctx context.Context, asker *hosts.Asker, draft *rollout.Plan) *rollout.Delta {
	var names []string
	for _, h := range draft.Hosts {
		if h.Down == "" && (h.Role == rollout.RoleCanary || h.Role == rollout.RoleMaster && h.Name != draft.Origin) {
			names = append(names, h.Name)
		}
	}
	deltas := make([]*rollout.HostDelta, len(names))
	a.each(ctx, names, func(i int, name string) error {
		d, err := asker.DryRun(ctx, name, draft.Origin, draft.Paths, maxGone)
		if err != nil {
			return fmt.Errorf("what a sync would do to %s is not known: %w", name, err)
		}
		deltas[i] = hostDelta(name, d)
		return nil
	})
	all := &rollout.Delta{}
	for _, d := range deltas {
		if d != nil {
			all.Hosts = append(all.Hosts, *d)
		}
	}
	return all
}

// hostDelta is what rsync said of a host as a plan bears it.
func hostDelta(name string, d rsync.Delta) *rollout.HostDelta {
	h := &rollout.HostDelta{Host: name, Create: d.Create, Change: d.Change, Delete: d.Delete, Bytes: d.Bytes}
	for _, top := range d.Top {
		h.Top = append(h.Top, rollout.TopDelta{Name: transport.Neutral(top.Name), Create: top.Create, Change: top.Change, Delete: top.Delete})
	}
	for _, path := range d.Deleted {
		h.Gone = append(h.Gone, transport.Neutral(path))
	}
	return h
}

// each does something for each host, bounded, and warns of what did not work, in order.
func (a *app) each(ctx context.Context, names []string, do func(i int, name string) error) {
	var group errgroup.Group
	group.SetLimit(askAtOnce)
	errs := make([]error, len(names))
	for i, name := range names {
		group.Go(func() error {
			errs[i] = do(i, name)
			return nil
		})
	}
	_ = group.Wait() // the errors are in errs
	if ctx.Err() != nil {
		return
	}
	for _, err := range errs {
		if err != nil {
			a.say().Warn("%v", err)
		}
	}
}

// confirmDeletions shows what would be deleted and goes on only with its exact number. Nothing answers that
// for a person, --yes least of all.
func (a *app) confirmDeletions(p *prepared) error {
	if !p.over {
		return nil
	}
	n, allowed := most(p.plan.Delta), p.plan.Delta.Allowed
	report.Deletions(a.stderr, p.plan)
	if a.json {
		if err := printJSON(a.stdout, refusal{Refused: "deletions", Master: p.plan.Origin, Delta: p.plan.Delta, Confirm: n}); err != nil {
			return err
		}
	}
	refused := fail(exitGuard, fmt.Errorf("%w: %d entries would be deleted on a host, and the budget is %d", errRefused, n, allowed),
		fmt.Sprintf("if that is what you want: --confirm-deletions %d", n))
	_, _ = fmt.Fprint(a.stderr, "type the number of deletions to go on: ")
	answer, err := bufio.NewReader(a.stdin).ReadString('\n')
	typed, wrong := strconv.Atoi(strings.TrimSpace(answer))
	if err != nil && answer == "" || wrong != nil || typed != n {
		_, _ = fmt.Fprintln(a.stderr)
		return refused
	}
	p.plan.Limits.MaxDelete, p.plan.Delta.Confirmed, p.over = n, true, false
	return nil
}

// warnOfPaths tells of paths that the origin does not have. That is no error, since a path that has vanished there is
// to vanish from the hosts; but it is how a typing error looks too.
func (a *app) warnOfPaths(s *setup, m *manifest.Manifest, plan *rollout.Plan) {
	excluded := manifest.Excluded(s.fleet.Tree.Exclude)
	for _, p := range plan.Paths {
		if p = path.Clean(p); m.Find(p) == nil && !excluded(p, false) && !excluded(p, true) {
			a.say().Warn("%s has no %s: hosts that have it will lose it", plan.Origin, quoted(p))
		}
	}
}

// errChanged is that what a plan was made from is not so any more.
var errChanged = errors.New("has changed since the plan was made")
