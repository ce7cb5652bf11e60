package orchestrator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
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

var (
	deaths  = flag.Int("deaths", forLong(20, 40), "how many simulated runs die several times")
	exhaust = flag.Bool("exhaust", false, "bring a run to its end in each way after each death, not in one; crash in each way at each append")
)

// forLong is how often something is tried that finds, each time, what the seed leads to: more often
// where the time is not short, which the environment says.
func forLong(short, long int) int {
	if os.Getenv("FLEETSYNC_LONG") == "" {
		return short
	}
	return long
}

// mortal counts the effects of one process: what it makes durable, in its journal or in the store. At
// one of them it dies: nothing that it does afterwards has any effect.
type mortal struct {
	dieAt int // from 1; 0: it lives
	how   manner

	mu    sync.Mutex
	kinds []string // of its effects
	dead  bool
	die   func() // set before the first effect
	late  func() // the effect that is had too late, if there is one
}

// manner is when exactly a process dies.
type manner string

const (
	justBefore manner = "before" // the effect
	justAfter  manner = "after"  // it, without knowing that it was had
	amid       manner = "amid"   // it: half of what was to be appended is durable
	justLate   manner = "late"   // it, which is had all the same when the next process has ended
)

func (m *mortal) effect(kind string, do func(amid bool)) (alive bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return false
	}
	m.kinds = append(m.kinds, kind)
	if len(m.kinds) != m.dieAt {
		do(false)
		return true
	}
	switch m.how {
	case justBefore:
	case justAfter, amid:
		do(m.how == amid)
	case justLate:
		// Of all that may come late, only the write of a pool object would matter: a receipt that nothing
		// belongs to is found by the next run, which names recover.
		if writesPool(kind) {
			m.late = func() { do(false) }
		}
	}
	m.dead = true
	m.die()
	return false
}

// writesPool says whether an effect is a write of a pool object, and not of a receipt or of the lock.
func writesPool(kind string) bool {
	name, put := strings.CutPrefix(kind, "PUT ")
	return put && name != "lock" && !strings.Contains(name, ",")
}

func (m *mortal) gone() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dead
}

// tale is what kind of run dies: whose hosts fail for good, and who was in quarantine before.
type tale struct {
	name  string
	limit int // threshold, in basis points
	cast  bool
	prior []string // hosts that run r0 took into quarantine
	bad   []string // hosts that cannot be synced; those that are in pools are to be taken into quarantine
}

// tales are runs whose threshold lets both proxies out, or one of them; and such as take hosts into quarantine, a proxy that was to serve
// and a host that was not, beside what serves or only after, and put hosts back that have a good tree again, or some of them.
var tales = []tale{
	{name: "both serve", limit: 6000},
	{name: "one serves", limit: 8000},
	{name: "quarantine", limit: 5000, cast: true, bad: []string{"p2", "h1"}},
	{name: "quarantine later", limit: 6000, cast: true, bad: []string{"p2", "h1"}},
	{name: "quarantine of one", limit: 8000, cast: true, bad: []string{"h1", "h2"}},
	{name: "release", limit: 5000, cast: true, prior: []string{"p2", "h1"}},
	{name: "release of one", limit: 5000, cast: true, prior: []string{"p2", "h1"}, bad: []string{"h1", "h3"}},
	{name: "release and quarantine", limit: 5000, cast: true, prior: []string{"h1"}, bad: []string{"p1"}},
}

// saga is a run with all processes that had a part in it, on both masters.
type saga struct {
	tale
	t       *testing.T
	fleet   *inventory.Fleet
	plan    *rollout.Plan
	etcd    *etcd
	limit   pooling.Threshold
	journal []rollout.Event // on the first master
	late    func()
	tardy   bool // a write came late
	story   []string
	wrong   []string
}

const sharedPrefix = "/fleetsync/v1/test"

func newSaga(t *testing.T, a tale) *saga {
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
	w := &saga{tale: a, t: t, fleet: f, etcd: newEtcd(t, f, 3, state), limit: pooling.Threshold{Default: a.limit}}
	for _, service := range []string{"apache2", "nginx"} {
		key := "a/appserver/" + service + "/h1"
		w.etcd.before[key] = `{"pooled": "yes",   "weight": 7, "x": "<&>"}`
		if err := w.etcd.store.Put(poolsPrefix+"/"+key, w.etcd.before[key]); err != nil {
			t.Fatal(err)
		}
	}
	r := rollout.Request{Run: "r1", Mode: inventory.ModeSync, Pools: true, Drain: 10 * time.Second, Quarantined: map[string]string{}}
	if a.cast {
		r.Quarantine = inventory.QuarantineAll
	}
	for _, host := range a.prior {
		w.banish(host)
		r.Quarantined[host] = "r0"
	}
	var err error
	if w.plan, err = rollout.NewPlan(f, s, r); err != nil {
		t.Fatal(err)
	}
	w.etcd.wrote = w.watch
	return w
}

// banish has run r0 take a host into quarantine.
func (w *saga) banish(host string) {
	p := w.etcd.connect(w.t)
	defer p.close()
	objects, err := p.pools.Observe(w.t.Context(), host)
	if err == nil {
		err = p.shared.PutReceipt(w.t.Context(), pooling.Receipt{Run: "r0", Host: host, Purpose: pooling.Quarantine, Since: time.Now(), Objects: objects})
	}
	if err == nil {
		_, err = p.pools.Depool(w.t.Context(), "r0", objects, pooling.Threshold{})
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *saga) complain(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(w.wrong, text) {
		w.wrong = append(w.wrong, text)
	}
}

// watch holds every moment against the promises: a pool is never below its threshold, and what bears a
// mark has a receipt in the store that tells what it was. It is called with the store's lock.
func (w *saga) watch() {
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
			return e.Kind == rollout.StepStarted && (e.Step == rollout.StepID("depool/"+hostOf(key)) || e.Step == rollout.StepID("quarantine/"+hostOf(key)))
		}) {
			w.complain("%s bears the mark, and the journal does not know", key)
		}
		if !slices.ContainsFunc(w.receipt(run, hostOf(key)).Objects, func(o pooling.Object) bool { return o.Key == key && o.Value == was }) {
			w.complain("%s bears the mark of %s, and no receipt tells what it was", key, run)
		}
	}
	for pool, n := range total {
		if out := n - in[pool]; out*10_000 > n*(10_000-w.limit.Default) {
			w.complain("%s: %d of %d are out", pool, out, n)
		}
	}
}

// serving sees that no proxy serves while users are on it.
func (w *saga) serving(source string, _ time.Time) {
	w.etcd.mu.Lock()
	defer w.etcd.mu.Unlock()
	for key := range w.etcd.before {
		if hostOf(key) == source && fields(w.t, w.etcd.value(key))["pooled"] == "yes" {
			w.complain("%s serves, and is in the pool of %s", source, key)
		}
	}
}

func (w *saga) receipt(run, host string) pooling.Receipt {
	value, _, ok := w.etcd.store.Get(sharedPrefix + "/receipts/" + run + "," + host)
	var r pooling.Receipt
	if ok && json.Unmarshal([]byte(value), &r) != nil {
		w.complain("the receipt of %s is no receipt: %s", host, value)
	}
	return r
}

// part is what a process does: what its command is.
type part string

const (
	begin   part = "sync"
	resume  part = "resume"
	abandon part = "recover"                        // where the journal is
	rescue  part = "recover from the other machine" // by the receipts alone
)

// play lets one process do its part, and returns it when it has ended or died.
func (w *saga) play(what part, m *mortal, disturb func(effects int)) (outcome rollout.Outcome) {
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	m.die = cancel
	if late := w.late; late != nil {
		w.tardy = true
		defer late()
	}
	defer func() { w.late = m.late }()
	p := w.etcd.connect(w.t)
	defer p.close()
	p.faults.Next = &gate{mortal: m, next: w.etcd, disturb: disturb}
	defer func() {
		w.story = append(w.story, fmt.Sprintf("%s: %d effects, dies %s %d: %v", what, len(m.kinds), m.how, m.dieAt, m.gone()))
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
	if what != rescue {
		outcome, err = w.drive(ctx, what, m, p, doer, watcher, world)
	}
	leave()
	others.Wait()
	if err == nil && len(outcome.Out) == 0 {
		w.settle(ctx, p, doer)
	}
	_ = lease.Release(ctx) // it runs out
	return outcome
}

const lockTTL = 30 * time.Second

// lock waits for the lock, as recover does for that of a dead run.
func (w *saga) lock(ctx context.Context, p *process) (*pooling.Lease, error) {
	for end := time.Now().Add(2 * lockTTL); ; {
		lease, err := p.shared.Acquire(ctx, pooling.Holder{Owner: "o", Host: "m", Run: "r1"}, lockTTL)
		if err == nil || ctx.Err() != nil {
			return lease, err
		}
		if !errors.Is(err, pooling.ErrHeld) || time.Now().After(end) {
			w.complain("the lock of a dead run cannot be had: %v", err)
			return nil, err
		}
		<-time.After(5 * time.Second)
	}
}

func (w *saga) drive(ctx context.Context, what part, m *mortal, p *process, doer *someTransfers, watcher *monitor.Pools, world chan rollout.Event) (rollout.Outcome, error) {
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
	if what == abandon && state.Seq == 0 {
		return rollout.Outcome{}, nil
	}
	run := orchestrator.Run{State: state, Journal: &mortalJournal{w, m}, Doer: spoiled{doer, w.bad}, Observers: []orchestrator.Observer{watcher}, World: world}
	if what == abandon {
		outcasts, _, err := inQuarantine(ctx, p)
		if err != nil {
			return rollout.Outcome{}, err
		}
		run.Doer = doer.Executor
		session.GiveUp(&run, w.journal, outcasts, "given up by recover")
	}
	outcome, err := run.Do(ctx)
	if err != nil && !m.gone() {
		w.complain("%s: %v", what, err)
	}
	if err == nil {
		w.told(what, outcome)
	}
	if err == nil && what == abandon && outcome.Result != rollout.ResultAborted {
		w.complain("%s comes to %+v", what, outcome)
	}
	return outcome, err
}

// told sees that a run that has ended names who is in quarantine, and no other; and that nothing but that is out because of it.
func (w *saga) told(what part, outcome rollout.Outcome) {
	w.etcd.mu.Lock()
	defer w.etcd.mu.Unlock()
	out, in := map[string]bool{}, map[string]bool{}
	for key := range w.etcd.before {
		host, is := hostOf(key), fields(w.t, w.etcd.value(key))
		in[host] = in[host] || is["pooled"] == "yes"
		if run, ok := is["fleetsync"].(string); ok {
			out[host] = true
			if w.receipt(run, host).Purpose != pooling.Quarantine {
				w.complain("%s bears the mark after %s", key, what)
			}
		}
	}
	for host := range out {
		if !in[host] && !named(outcome.Quarantined, host) {
			w.complain("%s is in quarantine after %s, which names %+v", host, what, outcome.Quarantined)
		}
	}
	for _, n := range outcome.Quarantined {
		if !out[n.Host] { // it may be half in, when a run died as it put it back
			w.complain("%s is not in quarantine after %s, which says it is: %s", n.Host, what, n.Detail)
		}
	}
	for _, n := range outcome.Mixed {
		if out[n.Host] && !in[n.Host] {
			w.complain("%s is out after %s, which says it is not: %s", n.Host, what, n.Detail)
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

func inQuarantine(ctx context.Context, p *process) (outcasts []pooling.Quarantined, over []pooling.Receipt, err error) {
	receipts, err := pooling.QuarantineReceipts(p.shared.Receipts(ctx))
	if err != nil {
		return nil, nil, err
	}
	snapshot, err := p.pools.Pools(ctx)
	if err != nil {
		return nil, nil, err
	}
	outcasts, over = snapshot.Quarantined(receipts)
	return outcasts, over, nil
}

// settle puts back what the receipts tell of: it is all that recover has where the journal is not,
// and what is left of a run that observed hosts and did not take them out.
func (w *saga) settle(ctx context.Context, p *process, doer *someTransfers) {
	receipts, err := p.shared.Receipts(ctx)
	if err != nil && ctx.Err() == nil {
		w.complain("the receipts cannot be read: %v", err)
	}
	_, over, err := inQuarantine(ctx, p)
	if err != nil && ctx.Err() == nil {
		w.complain("who is in quarantine cannot be read: %v", err)
	}
	for _, r := range session.ToPutBack("r1", receipts, over) {
		if e := doer.PutBack(ctx, r.Run, r.Host, r.Objects, false); e.Kind != rollout.StepDone && ctx.Err() == nil {
			w.complain("%s is not put back: %s", r.Host, e.Error)
		}
	}
}

// over sees that nothing is left of the run but who is in quarantine, where it belongs: every object is as it was, or out, with the mark
// of a run and its receipt of a quarantine, which tells what it was.
func (w *saga) over() {
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
			w.complain("%s is %s at the end, was %s; the receipt is %+v", key, is, was, r)
		case run == "r0" && !slices.Contains(w.prior, host), run == "r1" && !slices.Contains(w.bad, host):
			w.complain("%s is in quarantine for no reason: %s", host, is)
		}
		delete(left, sharedPrefix+"/receipts/"+run+","+host)
	}
	for key, value := range left {
		var r pooling.Receipt
		if w.tardy && strings.Contains(key, "/receipts/") && json.Unmarshal([]byte(value), &r) == nil && r.Purpose == pooling.Quarantine {
			continue // what came late put the host back, after all others; the next run settles that
		}
		w.complain("%s is left: %s", key, value)
	}
	for _, text := range w.wrong {
		w.t.Error(text)
	}
	if w.t.Failed() {
		w.t.Fatal(w.name + "\n" + strings.Join(w.story, "\n"))
	}
}

// mortalJournal is the run's journal as a process has it.
type mortalJournal struct {
	*saga
	mortal *mortal
}

func (j *mortalJournal) Append(events []rollout.Event) error {
	if !j.mortal.effect("append", func(amid bool) {
		if amid {
			events = events[:len(events)/2]
		}
		j.journal = append(j.journal, events...)
	}) {
		return errDied
	}
	return nil
}

// gate passes on what a process asks for while it lives. What it asks for afterwards is never answered.
type gate struct {
	mortal  *mortal
	next    http.Handler
	disturb func(effects int) // called before each effect
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm() // the server notices that a client has gone only once it has read the body
	if r.Method == http.MethodGet {
		if !g.mortal.gone() {
			g.next.ServeHTTP(w, r)
			return
		}
	} else {
		kind := r.Method + " " + r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
		answer := &reply{header: http.Header{}}
		if g.mortal.effect(kind, func(bool) {
			if g.disturb != nil {
				g.disturb(len(g.mortal.kinds))
			}
			g.next.ServeHTTP(answer, r)
		}) {
			answer.send(w)
			return
		}
	}
	<-r.Context().Done()
}

// reply keeps an answer until it is sent: one to a process that dies with it is never read.
type reply struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *reply) Header() http.Header         { return r.header }
func (r *reply) WriteHeader(status int)      { r.status = status }
func (r *reply) Write(b []byte) (int, error) { return r.body.Write(b) }

func (r *reply) send(w http.ResponseWriter) {
	maps.Copy(w.Header(), r.header)
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body.Bytes())
}

// ends are the ways in which a run that died can be brought to its end.
var ends = [][]part{{resume}, {abandon}, {rescue}, {rescue, resume}, {rescue, abandon}, {abandon, resume}}

// TestDeathBetweenEffects lets runs die before, after and amid each of their effects in turn: each append
// to the journal, each write of a pool object, of a receipt and of the lock; and lets such a write of a
// pool object come late, when the next process has ended. The run is brought to its end
// in each way that there is, and then all objects are byte for byte what they were, and no mark, receipt
// or lock is left, but of hosts that have no good tree: those are out with a receipt that says so, or as they were with none, and are
// named as what they are; at no moment was a pool below its threshold, or an object out without a receipt in the
// store. A run that is resumed ends as one that did not die. After every death another of the ways is tried, and but with the first of
// the tales each effect is died at in one manner, another for each; with -exhaust all are.
//
// Planted, one at a time, and seen to fail here or in TestDeathAgain: a depool without a receipt in the
// store; a receipt of our own mark; one dropped before its host is back, or never; what is only observed
// not settled; a recover that does the rest of the run; a resume that forgets what is held, or that takes
// for out what the other master has put back; a depool that comes late, after recover has looked. Of
// quarantines: none of these receipts, one for serving, or of what is held; a release that drops the receipt first, or looks for the
// mark of its own run; a recover that says nothing of how a quarantine or a release has ended, that puts back who is in one, or that leaves
// the receipts of such as are over.
func TestDeathBetweenEffects(t *testing.T) {
	t.Parallel()
	for _, a := range tales {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			var kinds []string
			var want rollout.Outcome
			synctest.Test(t, func(t *testing.T) {
				w, m := newSaga(t, a), &mortal{}
				if want = w.play(begin, m, nil); want.Result != rollout.ResultDone && len(a.bad) == 0 || want.Counts.Synced != 6-len(a.bad) {
					t.Errorf("undisturbed: %+v", want)
				}
				w.over()
				kinds = m.kinds
			})
			count := map[string]int{}
			died := 0
			for i, kind := range kinds {
				count[kind]++
				manners := []manner{justBefore, justAfter}
				switch {
				case kind == "append":
					manners = append(manners, amid)
				case writesPool(kind):
					manners = append(manners, justLate)
				}
				if a.name != tales[0].name && !*exhaust {
					manners = manners[i%len(manners):][:1]
				}
				for _, how := range manners {
					for n, end := range ends {
						if !*exhaust && n != died%len(ends) {
							continue
						}
						synctest.Test(t, func(t *testing.T) {
							w := newSaga(t, a)
							w.play(begin, &mortal{dieAt: i + 1, how: how}, nil)
							w.finish(end, want)
						})
					}
					died++
				}
			}
			t.Logf("%d effects, %d deaths: %v; %d in quarantine, %d mixed", len(kinds), died, count, len(want.Quarantined), len(want.Mixed))
		})
	}
}

// finish brings a run that died to its end: where it is resumed, to the one that it wanted.
func (w *saga) finish(end []part, want rollout.Outcome) {
	for _, what := range end {
		outcome := w.play(what, &mortal{}, nil)
		if what == resume && (outcome.Result != want.Result || outcome.Counts != want.Counts || len(outcome.Quarantined) != len(want.Quarantined)) {
			w.complain("%s comes to %+v, should come to %+v", what, outcome, want)
		}
	}
	w.over()
}

// TestDeathAgain lets what is to bring a run to its end die too, up to three times, on either machine.
// The seed of the first one is printed; -seed brings it back.
func TestDeathAgain(t *testing.T) {
	t.Parallel()
	first, n := firstSeed(t), *deaths
	died := map[string]int{}
	for i := range n {
		c := newChance(first + uint64(i))
		synctest.Test(t, func(t *testing.T) {
			w := newSaga(t, tales[c.below(len(tales))])
			what := begin
			for range 2 + c.below(3) {
				m := &mortal{dieAt: 1 + c.below(35), how: []manner{justBefore, justAfter, amid, justLate}[c.below(4)]}
				w.play(what, m, nil)
				died[fmt.Sprintf("%s died: %v", what, m.gone())]++
				what = []part{resume, abandon, rescue}[c.below(3)]
			}
			w.finish([]part{abandon, rescue}[c.below(2):], rollout.Outcome{})
		})
		if t.Failed() {
			t.Fatalf("to reproduce: -seed=%d -deaths=1", first+uint64(i))
		}
	}
	for _, what := range slices.Sorted(maps.Keys(died)) {
		t.Logf("%6d %s", died[what], what)
	}
}

// TestLockBroken lets somebody break the lock just before each effect of a run in turn. The run finds
// out, puts back what is out and ends, or was done before it could know.
func TestLockBroken(t *testing.T) {
	t.Parallel()
	results := map[rollout.Result]int{}
	for i := 1; ; i++ {
		over := false
		synctest.Test(t, func(t *testing.T) {
			w, m := newSaga(t, tales[i%2]), &mortal{}
			outcome := w.play(begin, m, func(effects int) {
				if effects == i {
					w.etcd.store.Delete(sharedPrefix + "/lock")
				}
			})
			over = len(m.kinds) < i
			results[outcome.Result]++
			if outcome.Result == rollout.ResultHalted && !strings.Contains(outcome.Why, "lock") || outcome.Result == rollout.ResultFailed {
				w.complain("outcome %+v", outcome)
			}
			w.over()
		})
		if t.Failed() {
			t.Fatalf("broken before effect %d", i)
		}
		if over {
			break
		}
	}
	t.Log(results)
}
