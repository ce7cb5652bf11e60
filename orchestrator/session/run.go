package session

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator"
	"github.com/fleetsync/fleetsync/orchestrator/execute"
	"github.com/fleetsync/fleetsync/orchestrator/hosts"
	"github.com/fleetsync/fleetsync/orchestrator/journal"
	"github.com/fleetsync/fleetsync/orchestrator/manifest"
	"github.com/fleetsync/fleetsync/orchestrator/monitor"
	"github.com/fleetsync/fleetsync/orchestrator/preflight"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/transport/rsync"
	"github.com/fleetsync/fleetsync/transport/ssh"
)

// Run is a run on its way: begun by Start or Resume, carried out by Do, ended by Finish.
type Run struct {
	State *rollout.State

	session  *Session
	journal  *journal.Journal
	log      *runLog
	changed  string // see orchestrator.Run
	begun    bool   // here and now, not resumed
	restored bool   // it left nothing out of its pools, as far as it knows
}

// View is what shows a run while it is carried out.
type View struct {
	Observers []orchestrator.Observer
	Model     *orchestrator.Model // follows the run and how far its transfers have come; nil: nobody asks
}

// Start begins a run of a plan. The manifest is what its tree holds, or nil if it brings none. Who gets a Run must Finish it.
func (s *Session) Start(plan *rollout.Plan, m *manifest.Manifest) (*Run, error) {
	state, err := rollout.NewState(plan)
	if err != nil {
		return nil, err
	}
	j, err := s.Store.Create(plan.Run)
	if err != nil {
		return nil, &StateError{"no journal can be made", err}
	}
	if m != nil {
		if err := manifest.Save(s.Store.ManifestPath(plan.Run), m); err != nil {
			return nil, errors.Join(&StateError{"the manifest cannot be kept", err}, j.Close())
		}
	}
	r, err := s.newRun(state, j)
	if err == nil {
		r.begun = true
	}
	return r, err
}

// newRun returns a run with an open journal, which is closed if there can be no log.
func (s *Session) newRun(state *rollout.State, j *journal.Journal) (*Run, error) {
	log, err := newRunLog(s.Store.LogPath(state.Plan.Run), state.Plan.Run)
	if err != nil {
		return nil, errors.Join(&StateError{"the log cannot be made", err}, j.Close())
	}
	return &Run{State: state, session: s, journal: j, log: log}, nil
}

// close closes what a run has open. What was appended to its journal is durable already.
func (r *Run) close() error { return errors.Join(r.journal.Close(), r.log.Close()) }

// Do carries out a run to its end. See orchestrator.Run for what it returns.
func (r *Run) Do(ctx context.Context, view View) (rollout.Outcome, error) {
	s, plan := r.session, r.State.Plan
	executor := s.executor(plan)
	executor.Log = r.log.Host
	if s.Policy.SSH.Client == inventory.SSHOpenSSH {
		shared := s.Share()
		defer func() { _ = shared.Close() }() // its connections are of no use any more
		executor.Canaries = s.hosts(shared)
	}

	outside, leave := context.WithCancel(ctx)
	var monitors sync.WaitGroup
	observers := []orchestrator.Observer{r.log}
	if view.Model != nil {
		observers = append(observers, view.Model)
		executor.Progress = func(host string, p rsync.Progress) {
			view.Model.Progress(host, rollout.Transfer{Bytes: p.Bytes, Percent: p.Percent})
		}
	}
	observers = append(observers, view.Observers...)
	if s.Pools != nil {
		pools := &monitor.Pools{API: s.Pools, Run: plan.Run, World: s.world}
		observers = append(observers, pools)
		monitors.Go(func() { pools.Watch(outside) })
	}
	sources := &monitor.Sources{Probe: executor.Hosts.Serves, World: s.world}
	for _, h := range plan.Hosts {
		if h.Slots > 0 {
			sources.Names = append(sources.Names, h.Name)
		}
	}
	observers = append(observers, sources)
	monitors.Go(func() { sources.Watch(outside) })
	defer monitors.Wait()
	defer leave()

	r.tellMasters(ctx)
	run := orchestrator.Run{
		State: r.State, Journal: r.journal, Writer: writer(), Doer: executor, Observers: observers, Changed: r.changed, World: s.world,
	}
	outcome, err := run.Do(ctx)
	r.restored = err == nil && len(outcome.Out) == 0
	return outcome, err
}

// Finish closes what the run has open. Of one that left nothing out of its pools it drops the receipts, and the record that it is
// unfinished. Manifests of earlier runs that nobody needs any more are deleted.
func (r *Run) Finish(ctx context.Context) error {
	s, run := r.session, r.State.Plan.Run
	if r.restored && s.Shared != nil {
		if left, known := s.finalize(ctx, run, nil); known && len(left) == 0 {
			if err := s.Shared.DropRun(context.WithoutCancel(ctx), run); err != nil {
				s.Printer.Warn("other masters still list this run as unfinished: %v", err)
			}
		}
	}
	if r.begun {
		r.prune()
	}
	return r.close()
}

// prune deletes the manifests that nobody needs any more after the run.
func (r *Run) prune() {
	store := r.session.Store
	saved := func(run string) bool {
		_, err := os.Stat(store.ManifestPath(run))
		return err == nil
	}
	for _, run := range r.session.History().Obsolete(r.State, saved, r.session.Policy.Retention.Manifests) {
		if err := os.Remove(store.ManifestPath(run)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.session.Printer.Warn("an old manifest cannot be deleted: %v", err)
		}
	}
}

// executor returns what turns the steps of a plan into effects.
func (s *Session) executor(plan *rollout.Plan) *execute.Executor {
	x := &execute.Executor{
		Plan: plan, Retention: s.Policy.Retention, Checks: s.Policy.For(plan.Mode).Gate.Checks, Hooks: s.Policy.Hooks,
		Restorer: s.restorer(), Threshold: preflight.Threshold(s.Policy), Owner: s.Owner, Machine: s.Machine,
	}
	if plan.Tree != nil {
		x.Want = sync.OnceValues(func() (*manifest.Manifest, error) { return manifest.Load(s.Store.ManifestPath(plan.Run)) })
	}
	if s.lease != nil {
		x.Lease = s.lease
	}
	return x
}

// restorer returns what puts hosts back into their pools.
func (s *Session) restorer() execute.Restorer {
	r := execute.Restorer{Hosts: s.hosts(s.Dialer), Balancers: s.Balancers}
	if s.Pools != nil {
		r.Pools, r.Health = s.Pools, s.Policy.Pooling.Health
	}
	if s.lease != nil {
		r.Receipts = s.Shared
	}
	return r
}

// hosts returns what asks hosts over the connections of a dialer.
func (s *Session) hosts(dialer *ssh.Dialer) *hosts.Asker {
	return &hosts.Asker{Fleet: s.Fleet, Rsync: s.Policy.Rsync, Dialer: dialer}
}

// tellMasters tells the other masters of the run, so that they can name it if it dies. That they may not be told is no reason not to
// run: what matters, receipts and lock, they find by themselves.
func (r *Run) tellMasters(ctx context.Context) {
	s, plan := r.session, r.State.Plan
	if s.Shared == nil {
		return
	}
	now := time.Now().UTC()
	err := errors.Join(s.Shared.PutInventory(ctx, pooling.InventoryRecord{
		Digest: s.Fleet.Digest, Machine: s.Machine, Since: now,
	}), s.Shared.PutRun(ctx, pooling.RunRecord{
		Run: plan.Run, Mode: string(plan.Mode), Owner: s.Owner, Machine: s.Machine, Since: now,
		Inventory: plan.Inventory, State: s.Store.JournalPath(plan.Run),
	}))
	if err != nil {
		s.Printer.Warn("other masters cannot be told of this run: %v", err)
	}
}
