package orchestrator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator"
	"github.com/fleetsync/fleetsync/orchestrator/execute"
	"github.com/fleetsync/fleetsync/orchestrator/hosts"
	"github.com/fleetsync/fleetsync/orchestrator/monitor"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/session"
	"github.com/fleetsync/fleetsync/pooling"
)

// dyingRun is a run with all processes that work on it one after the other, on both masters, and what they work on.
type dyingRun struct {
	deathCase
	t         *testing.T
	fleet     *inventory.Fleet
	plan      *rollout.Plan
	etcd      *etcd
	limit     pooling.Threshold
	journal   []rollout.Event // on the first master
	late      func()
	cameLate  bool // a write came late
	processes []string
	wrong     []string
}

const sharedPrefix = "/fleetsync/v1/test"

func newDyingRun(t *testing.T, a deathCase) *dyingRun {
	f := &inventory.Fleet{Name: "test", Masters: []inventory.Master{{Host: "m1", Serve: true, Slots: 4}}, Canaries: []string{"c1"}}
	for _, name := range []string{"m1", "c1", "p1", "p2", "h1", "h2", "h3"} {
		f.Hosts = append(f.Hosts, inventory.Host{Name: name, Datacenter: "a"})
	}
	for _, name := range []string{"p1", "p2"} {
		f.Proxies = append(f.Proxies, inventory.Proxy{Host: name, Slots: 1, Pooled: true})
	}
	s := settings()
	s.Gate = inventory.Gate{}
	s.Batches.MaxFailures = inventory.Amount{Count: 9}
	n := 0
	state := func() string { // of p1 and p2 in the first pool, and in the second
		n++
		return []string{"yes", "yes", "yes", "inactive"}[n-1]
	}
	w := &dyingRun{deathCase: a, t: t, fleet: f, etcd: newEtcd(t, f, 3, state), limit: pooling.Threshold{Default: a.limit}}
	for _, service := range []string{"apache2", "nginx"} {
		key := "a/appserver/" + service + "/h1"
		w.etcd.before[key] = `{"pooled": "yes",   "weight": 7, "x": "<&>"}`
		if err := w.etcd.store.Put(poolsPrefix+"/"+key, w.etcd.before[key]); err != nil {
			t.Fatal(err)
		}
	}
	r := rollout.Request{Run: "r1", Mode: inventory.ModeSync, Pools: true, Drain: 10 * time.Second, Quarantined: map[string]string{}}
	if a.quarantine {
		r.Quarantine = inventory.QuarantineAll
	}
	for _, host := range a.prior {
		w.putInQuarantine(host)
		r.Quarantined[host] = "r0"
	}
	var err error
	if w.plan, err = rollout.NewPlan(f, s, r); err != nil {
		t.Fatal(err)
	}
	w.etcd.wrote = w.check
	return w
}

// putInQuarantine has run r0 take a host into quarantine.
func (w *dyingRun) putInQuarantine(host string) {
	p := w.etcd.connect(w.t)
	defer p.close()
	objects, err := p.pools.Observe(w.t.Context(), host)
	if err == nil {
		err = p.shared.PutReceipt(w.t.Context(), pooling.Receipt{Run: "r0", Host: host, Purpose: pooling.Quarantine, Since: time.Now(),
			Objects: objects})
	}
	if err == nil {
		_, err = p.pools.Depool(w.t.Context(), "r0", objects, pooling.Threshold{})
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *dyingRun) wrongf(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(w.wrong, text) {
		w.wrong = append(w.wrong, text)
	}
}

// check holds every moment against the promises: a pool is never below its threshold, and what bears a
// marker has a receipt in the store that tells what it was. It is called with the store's lock.
func (w *dyingRun) check() {
	total, in := map[string]int{}, map[string]int{}
	for key, was := range w.etcd.before {
		pool := key[:strings.LastIndexByte(key, '/')]
		is := fields(w.t, w.etcd.value(key))
		if is["pooled"] != "inactive" {
			total[pool]++
		}
		if is["pooled"] == "yes" {
			in[pool]++
		}
		run, _ := is["fleetsync"].(string)
		if run == "" {
			continue
		}
		if run == "r1" && !slices.ContainsFunc(w.journal, func(e rollout.Event) bool {
			return e.Kind == rollout.StepStarted && (e.Step == rollout.StepID("depool/"+hostOf(key)) ||
				e.Step == rollout.StepID("quarantine/"+hostOf(key)))
		}) {
			w.wrongf("%s bears the marker, and the journal does not know", key)
		}
		if !slices.ContainsFunc(w.receipt(run, hostOf(key)).Objects, func(o pooling.Object) bool { return o.Key == key && o.Value == was }) {
			w.wrongf("%s bears the marker of %s, and no receipt tells what it was", key, run)
		}
	}
	for pool, n := range total {
		if out := n - in[pool]; out*10_000 > n*(10_000-w.limit.Default) {
			w.wrongf("%s: %d of %d are out", pool, out, n)
		}
	}
}

// serving sees that no proxy serves while users are on it.
func (w *dyingRun) serving(source string, _ time.Time) {
	w.etcd.mu.Lock()
	defer w.etcd.mu.Unlock()
	for key := range w.etcd.before {
		if hostOf(key) == source && fields(w.t, w.etcd.value(key))["pooled"] == "yes" {
			w.wrongf("%s serves, and is in the pool of %s", source, key)
		}
	}
}

func (w *dyingRun) receipt(run, host string) pooling.Receipt {
	value, _, ok := w.etcd.store.Get(sharedPrefix + "/receipts/" + run + "," + host)
	var r pooling.Receipt
	if ok && json.Unmarshal([]byte(value), &r) != nil {
		w.wrongf("the receipt of %s is no receipt: %s", host, value)
	}
	return r
}

// command is what a process is started for.
type command string

const (
	begin            command = "sync"
	resume           command = "resume"
	recoverHere      command = "recover"                        // where the journal is
	recoverElsewhere command = "recover from the other machine" // by the receipts alone
)

// play lets one process carry out a command, and returns it when it has ended or died.
func (w *dyingRun) play(what command, m *killer, disturb func(effects int)) (outcome rollout.Outcome) {
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	m.die = cancel
	if late := w.late; late != nil {
		w.cameLate = true
		defer late()
	}
	defer func() { w.late = m.late }()
	p := w.etcd.connect(w.t)
	defer p.close()
	p.faults.Next = &untilDeath{killer: m, next: w.etcd, disturb: disturb}
	defer func() {
		w.processes = append(w.processes, fmt.Sprintf("%s: %d effects, dies %s %d: %v", what, len(m.kinds), m.how, m.dieAt, m.gone()))
	}()

	lease, err := w.lock(ctx, p)
	if err != nil {
		return outcome
	}
	world := make(chan rollout.Event, 1)
	watcher := &monitor.Pools{API: p.pools, Run: "r1", World: world}
	outside, leave := context.WithCancel(ctx)
	var others sync.WaitGroup
	others.Go(func() { watcher.Watch(outside) })
	others.Go(func() { monitor.KeepAlive(outside, lease, lockTTL, world) })
	doer := &someTransfers{
		Executor: &execute.Executor{
			Plan: w.plan, Restorer: execute.Restorer{Hosts: &hosts.Asker{Fleet: w.fleet}, Pools: p.pools, Receipts: p.shared},
			Threshold: w.limit, Lease: lease, Owner: "o", Machine: "m1",
		},
		takes: func() time.Duration { return 4 * time.Second },
		watch: w.serving,
	}
	if what != recoverElsewhere {
		outcome, err = w.drive(ctx, what, m, p, doer, watcher, world)
	}
	leave()
	others.Wait()
	if err == nil && len(outcome.Out) == 0 {
		w.finalize(ctx, p, doer)
	}
	_ = lease.Release(ctx) // it runs out
	return outcome
}

const lockTTL = 30 * time.Second

// lock waits for the lock, as recover does for that of a dead run.
func (w *dyingRun) lock(ctx context.Context, p *process) (*pooling.Lease, error) {
	for end := time.Now().Add(2 * lockTTL); ; {
		lease, err := p.shared.Acquire(ctx, pooling.Holder{Owner: "o", Host: "m", Run: "r1"}, lockTTL)
		if err == nil || ctx.Err() != nil {
			return lease, err
		}
		if !errors.Is(err, pooling.ErrHeld) || time.Now().After(end) {
			w.wrongf("the lock of a dead run cannot be had: %v", err)
			return nil, err
		}
		<-time.After(5 * time.Second)
	}
}

func (w *dyingRun) drive(ctx context.Context, what command, m *killer, p *process, doer *someTransfers, watcher *monitor.Pools,
	world chan rollout.Event) (rollout.Outcome, error) {
	state, err := rollout.NewState(w.plan)
	if len(w.journal) > 0 {
		state = (&memory{events: w.journal}).fold(w.t)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	if end := state.Finished(); end != nil && len(end.Out) == 0 && (what != resume || end.Result != rollout.ResultAborted) {
		return *end, nil
	}
	if what == recoverHere && state.Seq == 0 {
		return rollout.Outcome{}, nil
	}
	run := orchestrator.Run{State: state, Journal: &dyingJournal{w, m}, Doer: spoiled{doer, w.bad},
		Observers: []orchestrator.Observer{watcher}, World: world}
	if what == recoverHere {
		quarantined, _, err := quarantinedNow(ctx, p)
		if err != nil {
			return rollout.Outcome{}, err
		}
		run.Doer = doer.Executor
		session.GiveUp(&run, w.journal, quarantined, "given up by recover")
	}
	outcome, err := run.Do(ctx)
	if err != nil && !m.gone() {
		w.wrongf("%s: %v", what, err)
	}
	if err == nil {
		w.told(what, outcome)
	}
	if err == nil && what == recoverHere && outcome.Result != rollout.ResultAborted {
		w.wrongf("%s comes to %+v", what, outcome)
	}
	return outcome, err
}

// told sees that a run that has ended names who is in quarantine, and no other; and that nothing but that is out because of it.
func (w *dyingRun) told(what command, outcome rollout.Outcome) {
	w.etcd.mu.Lock()
	defer w.etcd.mu.Unlock()
	out, in := map[string]bool{}, map[string]bool{}
	for key := range w.etcd.before {
		host, is := hostOf(key), fields(w.t, w.etcd.value(key))
		in[host] = in[host] || is["pooled"] == "yes"
		if run, ok := is["fleetsync"].(string); ok {
			out[host] = true
			if w.receipt(run, host).Purpose != pooling.Quarantine {
				w.wrongf("%s bears the marker after %s", key, what)
			}
		}
	}
	for host := range out {
		if !in[host] && !named(outcome.Quarantined, host) {
			w.wrongf("%s is in quarantine after %s, which names %+v", host, what, outcome.Quarantined)
		}
	}
	for _, n := range outcome.Quarantined {
		if !out[n.Host] { // it may be half in, when a run died as it put it back
			w.wrongf("%s is not in quarantine after %s, which says it is: %s", n.Host, what, n.Detail)
		}
	}
	for _, n := range outcome.Mixed {
		if out[n.Host] && !in[n.Host] {
			w.wrongf("%s is out after %s, which says it is not: %s", n.Host, what, n.Detail)
		}
	}
}

func named(all []rollout.Named, host string) bool {
	return slices.ContainsFunc(all, func(n rollout.Named) bool { return n.Host == host })
}

// spoiled does what someTransfers does, but the syncs of some hosts fail for good.
type spoiled struct {
	*someTransfers
	bad []string
}

func (d spoiled) Do(ctx context.Context, step rollout.Step) rollout.Event {
	e := d.someTransfers.Do(ctx, step)
	if step.Kind == rollout.StepSync && e.Kind == rollout.StepDone && slices.Contains(d.bad, step.Host) {
		return failed(rollout.Permanent)
	}
	return e
}

func quarantinedNow(ctx context.Context, p *process) (quarantined []pooling.Quarantined, over []pooling.Receipt, err error) {
	receipts, err := pooling.QuarantineReceipts(p.shared.Receipts(ctx))
	if err != nil {
		return nil, nil, err
	}
	snapshot, err := p.pools.Pools(ctx)
	if err != nil {
		return nil, nil, err
	}
	quarantined, over = snapshot.Quarantined(receipts)
	return quarantined, over, nil
}

// finalize puts back what the receipts tell of: it is all that recover has where the journal is not,
// and what is left of a run that observed hosts and did not take them out.
func (w *dyingRun) finalize(ctx context.Context, p *process, doer *someTransfers) {
	receipts, err := p.shared.Receipts(ctx)
	if err != nil && ctx.Err() == nil {
		w.wrongf("the receipts cannot be read: %v", err)
	}
	_, over, err := quarantinedNow(ctx, p)
	if err != nil && ctx.Err() == nil {
		w.wrongf("who is in quarantine cannot be read: %v", err)
	}
	for _, r := range session.ToPutBack("r1", receipts, over) {
		if e := doer.PutBack(ctx, r.Run, r.Host, r.Objects, false); e.Kind != rollout.StepDone && ctx.Err() == nil {
			w.wrongf("%s is not put back: %s", r.Host, e.Error)
		}
	}
}

// over sees that nothing is left of the run but who is in quarantine, where it belongs: every object is as it was, or out, with the marker
// of a run and its receipt of a quarantine, which tells what it was.
func (w *dyingRun) over() {
	left := w.etcd.store.Values(sharedPrefix)
	for key, was := range w.etcd.before {
		is, host := w.etcd.value(key), hostOf(key)
		if is == was {
			continue
		}
		f := fields(w.t, is)
		run, _ := f["fleetsync"].(string)
		r := w.receipt(run, host)
		switch {
		case f["pooled"] != "no" || r.Purpose != pooling.Quarantine ||
			!slices.ContainsFunc(r.Objects, func(o pooling.Object) bool { return o.Key == key && o.Value == was }):
			w.wrongf("%s is %s at the end, was %s; the receipt is %+v", key, is, was, r)
		case run == "r0" && !slices.Contains(w.prior, host), run == "r1" && !slices.Contains(w.bad, host):
			w.wrongf("%s is in quarantine for no reason: %s", host, is)
		}
		delete(left, sharedPrefix+"/receipts/"+run+","+host)
	}
	for key, value := range left {
		var r pooling.Receipt
		if w.cameLate && strings.Contains(key, "/receipts/") && json.Unmarshal([]byte(value), &r) == nil && r.Purpose == pooling.Quarantine {
			continue // what came late put the host back, after all others; the next run finalizes that
		}
		w.wrongf("%s is left: %s", key, value)
	}
	for _, text := range w.wrong {
		w.t.Error(text)
	}
	if w.t.Failed() {
		w.t.Fatal(w.name + "\n" + strings.Join(w.processes, "\n"))
	}
}
