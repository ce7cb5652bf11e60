package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report"
	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/ui"
	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator"
	"github.com/fleetsync/fleetsync/orchestrator/journal"
	"github.com/fleetsync/fleetsync/orchestrator/manifest"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/transport"
)

// job is one run on its way: what it holds of the world until it ends.
type job struct {
	app     *app
	setup   *setup
	lock    *fleetLock
	pools   *pooling.Client  // nil: the fleet has none
	state   *rollout.State   // set before drive
	journal *journal.Journal // likewise; closed by drive
	changed string           // see orchestrator.Run
}

// begin takes the fleet's lock for a run and opens what the run needs. Who calls it must end it.
func (a *app) begin(ctx context.Context, s *setup, run, reason string, wait bool) (*job, error) {
	pools, err := s.pools()
	if err != nil {
		return nil, err
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	lock, err := a.lock(ctx, s, run, reason, wait)
	if err != nil {
		return nil, err
	}
	return &job{app: a, setup: s, lock: lock, pools: pools}, nil
}

// end gives up what begin took.
func (j *job) end(ctx context.Context) {
	j.lock.release(ctx)
	if j.pools != nil {
		j.pools.Close()
	}
}

// untilSignal bounds what comes before a run begins: a signal ends it at once.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
}

// refuseOthers refuses to begin while another run has hosts out of their pools that it has not put
// back, and warns of what else the shared store tells.
func (j *job) refuseOthers(ctx context.Context, run string) error {
	if j.lock.shared == nil {
		return nil
	}
	receipts, err := j.lock.shared.Receipts(ctx)
	if err != nil {
		return fail(exitInvalid, fmt.Errorf("the receipts of other runs cannot be read: %w", err), "nothing was touched")
	}
	for _, r := range receipts {
		if r.Run != run && r.Purpose == pooling.Serving {
			return fail(exitLocked, fmt.Errorf("run %s of %s on %s has not put back %s", transport.Neutral(r.Run), transport.Neutral(r.Owner), transport.Neutral(r.Machine), transport.Neutral(r.Host)),
				j.app.command()+" recover")
		}
	}
	last, err := j.lock.shared.Inventory(ctx)
	if err == nil && last.Digest != j.setup.fleet.Digest && last.Machine != j.setup.machine() {
		j.app.say().Warn("the last run, on %s, used another inventory than the one of this machine (%s)", last.Machine, j.setup.policy.Inventory)
	}
	return nil
}

// drive carries out a run to its end: it wires the loop to the world and to people.
func (j *job) drive(ctx context.Context) (err error) {
	a, s, plan := j.app, j.setup, j.state.Plan
	defer func() { err = errors.Join(err, j.journal.Close()) }()
	log, err := newRunLog(s.store.LogPath(plan.Run), plan.Run)
	if err != nil {
		return fail(exitJournal, fmt.Errorf("the log cannot be made: %w", err), "")
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	canaries := s.dialer
	if s.policy.SSH.Client == inventory.SSHOpenSSH {
		canaries = s.newDialer(true)
		defer func() { _ = canaries.Close() }() // its connections are of no use any more
	}

	screen := ui.New(a.stderr, a.terminal(), plan)
	hands := j.hands(plan)
	hands.Canaries, hands.Log = canaries, log.Host
	if screen.Live() {
		hands.Progress = screen.Progress
	}
	held := &heldHosts{}
	observers := []orchestrator.Observer{log, held, screen}
	var events *jsonEvents
	if a.json {
		events = newJSONEvents(a.stdout)
		observers = append(observers, events)
	}
	run := orchestrator.Run{State: j.state, Journal: j.journal, Hands: hands, Changed: j.changed, World: j.lock.world}

	outside, leave := context.WithCancel(ctx)
	var others sync.WaitGroup
	if j.pools != nil {
		watcher := &orchestrator.Watcher{Pools: j.pools, Run: plan.Run, World: j.lock.world}
		observers = append(observers, watcher)
		others.Go(func() { watcher.Watch(outside) })
	}
	pulse := &orchestrator.Pulse{Greets: s.greets, World: j.lock.world}
	for _, h := range plan.Hosts {
		if h.Slots > 0 {
			pulse.Sources = append(pulse.Sources, h.Name)
		}
	}
	observers = append(observers, pulse)
	others.Go(func() { pulse.Watch(outside) })
	run.Observers = observers
	signals := a.watchSignals(j.lock.world, held)
	j.record(ctx)
	outcome, runErr := run.Do(ctx)
	leave()
	terminated := signals.stop()
	others.Wait()
	// From here on a signal ends the process: all is put back that will be, and who reads may not.
	screen.Close()
	if events != nil {
		events.Close()
	}
	if runErr == nil && len(outcome.Out) == 0 {
		if left, known := j.settle(ctx, plan.Run, nil); known && len(left) == 0 {
			j.forget(ctx)
		}
	}

	report.Run(a.stderr, report.RunReport{
		State: j.state, Journal: s.store.JournalPath(plan.Run), Log: s.store.LogPath(plan.Run), Command: a.command(),
	})
	code := codeOf(outcome, terminated)
	if runErr != nil {
		if code != exitNotRestored {
			code = exitInternal
		}
		return fail(code, runErr, a.command()+" show "+plan.Run)
	}
	if code != exitDone {
		return ended(code)
	}
	return nil
}

// hands returns what turns the steps of a plan into effects.
func (j *job) hands(plan *rollout.Plan) *orchestrator.Hands {
	s := j.setup
	h := &orchestrator.Hands{
		Plan: plan, Fleet: s.fleet, Rsync: s.policy.Rsync, Keep: s.policy.Keep, Checks: s.policy.For(plan.Mode).Gate.Checks,
		Hooks:  s.policy.Hooks,
		Dialer: s.dialer, Threshold: s.threshold(), Balancers: s.balancers(), Owner: s.owner, Machine: s.machine(),
	}
	if plan.Tree != nil {
		h.Want = sync.OnceValues(func() (*manifest.Manifest, error) { return manifest.Load(s.store.ManifestPath(plan.Run)) })
	}
	if j.pools != nil {
		h.Pools, h.Health = j.pools, s.policy.Pooling.Health
	}
	if j.lock.lease != nil {
		h.Receipts, h.Lease = j.lock.shared, j.lock.lease
	}
	return h
}

// record tells the other masters of the run, so that they can name it if it dies. That they may not
// be told is no reason not to run: what matters, receipts and lock, they find by themselves.
func (j *job) record(ctx context.Context) {
	if j.lock.shared == nil {
		return
	}
	plan := j.state.Plan
	now := time.Now().UTC()
	err := errors.Join(j.lock.shared.PutInventory(ctx, pooling.InventoryRecord{
		Digest: j.setup.fleet.Digest, Machine: j.setup.machine(), Since: now,
	}), j.lock.shared.PutRun(ctx, pooling.RunRecord{
		Run: plan.Run, Mode: string(plan.Mode), Owner: j.setup.owner, Machine: j.setup.machine(), Since: now,
		Inventory: plan.Inventory, State: j.setup.store.JournalPath(plan.Run),
	}))
	if err != nil {
		j.app.say().Warn("other masters cannot be told of this run: %v", err)
	}
}

// forget takes the record back: the run left nothing to do.
func (j *job) forget(ctx context.Context) {
	if j.lock.shared == nil {
		return
	}
	if err := j.lock.shared.DropRun(context.WithoutCancel(ctx), j.state.Plan.Run); err != nil {
		j.app.say().Warn("other masters still list this run as unfinished: %v", err)
	}
}

// missing returns the hosts of a plan that the inventory does not name any more.
func missing(plan *rollout.Plan, fleet *inventory.Fleet) string {
	var names []string
	for _, h := range plan.Hosts {
		if _, ok := fleet.Host(h.Name); !ok {
			names = append(names, h.Name)
		}
	}
	return strings.Join(names[:min(len(names), 5)], ", ")
}
