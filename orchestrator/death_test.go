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
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
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
		if strings.HasPrefix(kind, "PUT p") {
			m.late = func() { do(false) }
		}
	}
	m.dead = true
	m.die()
	return false
}

func (m *mortal) gone() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dead
}

// saga is a run with all processes that had a part in it, on both masters.
type saga struct {
	t       *testing.T
	fleet   *inventory.Fleet
	plan    *rollout.Plan
	etcd    *etcd
	limit   pooling.Threshold
	journal []rollout.Event // on the first master
	late    func()
	story   []string
	wrong   []string
}

const sharedPrefix = "/fleetsync/v1/test"

// limits are thresholds of which the first lets both proxies out, and the second one of them.
var limits = []int{6000, 8000}

func newSaga(t *testing.T, limit int) *saga {
	f := &inventory.Fleet{Name: "test", Masters: []inventory.Master{{Host: "m1", Serve: true, Slots: 4}}, Canaries: []string{"c1"}}
	for _, name := range []string{"m1", "c1", "p1", "p2", "h1", "h2", "h3"} {
		f.Hosts = append(f.Hosts, inventory.Host{Name: name, Datacenter: "a"})
	}
	for _, name := range []string{"p1", "p2"} {
		f.Proxies = append(f.Proxies, inventory.Proxy{Host: name, Slots: 1, Pooled: true})
	}
	s := settings()
	s.Gate = inventory.Gate{}
	n := 0
	state := func() string { // of p1 and p2 in the first pool, and in the second
		n++
		return []string{"yes", "yes", "yes", "inactive"}[n-1]
	}
	w := &saga{t: t, fleet: f, plan: plan(t, f, s), etcd: newEtcd(t, f, 3, state), limit: pooling.Threshold{Default: limit}}
	w.etcd.wrote = w.watch
	return w
}

func (w *saga) complain(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(w.wrong, text) {
		w.wrong = append(w.wrong, text)
	}
}

// watch holds every moment against the promises: a pool is never below its threshold, and what bears
// the mark has a receipt in the store that tells what it was. It is called with the store's lock.
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
		if is["fleetsync"] == nil {
			continue
		}
		if !slices.ContainsFunc(w.journal, func(e rollout.Event) bool {
			return e.Kind == rollout.StepStarted && e.Step == rollout.StepID("depool/"+hostOf(key))
		}) {
			w.complain("%s bears the mark, and the journal does not know", key)
		}
		if !slices.ContainsFunc(w.receipts(hostOf(key)), func(o pooling.Object) bool { return o.Key == key && o.Value == was }) {
			w.complain("%s bears the mark, and no receipt tells what it was", key)
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

func (w *saga) receipts(host string) []pooling.Object {
	value, _, ok := w.etcd.store.Get(sharedPrefix + "/receipts/r1," + host)
	var r pooling.Receipt
	if ok && json.Unmarshal([]byte(value), &r) != nil {
		w.complain("the receipt of %s is no receipt: %s", host, value)
	}
	return r.Objects
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
	if w.late != nil {
		defer w.late()
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
	watcher := &orchestrator.Watcher{Pools: p.pools, Run: "r1", World: world}
	outside, leave := context.WithCancel(ctx)
	var others sync.WaitGroup
	others.Go(func() { watcher.Watch(outside) })
	others.Go(func() { orchestrator.Keep(outside, lease, lockTTL, world) })
	hands := &someTransfers{
		Hands: &orchestrator.Hands{
			Plan: w.plan, Fleet: w.fleet, Pools: p.pools, Threshold: w.limit, Receipts: p.shared, Lease: lease, Owner: "o", Machine: "m1",
		},
		takes: func() time.Duration { return 4 * time.Second },
		watch: w.serving,
	}
	if what != rescue {
		outcome, err = w.drive(ctx, what, m, hands, watcher, world)
	}
	leave()
	others.Wait()
	if err == nil && len(outcome.Out) == 0 {
		w.settle(ctx, p, hands)
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

func (w *saga) drive(ctx context.Context, what part, m *mortal, hands orchestrator.Doer, watcher *orchestrator.Watcher, world chan rollout.Event) (rollout.Outcome, error) {
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
	run := orchestrator.Run{State: state, Journal: &mortalJournal{w, m}, Hands: hands, Observers: []orchestrator.Observer{watcher}, World: world}
	if what == abandon {
		run.First = []rollout.Event{{Kind: rollout.AbortAsked, Level: rollout.AbortNow, Detail: "given up by recover"}}
	}
	outcome, err := run.Do(ctx)
	if err != nil && !m.gone() {
		w.complain("%s: %v", what, err)
	}
	if err == nil {
		w.etcd.mu.Lock()
		defer w.etcd.mu.Unlock()
		for key := range w.etcd.before {
			if fields(w.t, w.etcd.value(key))["fleetsync"] != nil {
				w.complain("%s bears the mark after %s", key, what)
			}
		}
	}
	if err == nil && what == abandon && outcome.Result != rollout.ResultAborted {
		w.complain("%s comes to %+v", what, outcome)
	}
	return outcome, err
}

// settle puts back what the receipts tell of: it is all that recover has where the journal is not,
// and what is left of a run that observed hosts and did not take them out.
func (w *saga) settle(ctx context.Context, p *process, hands orchestrator.Doer) {
	receipts, err := p.shared.Receipts(ctx)
	if err != nil && ctx.Err() == nil {
		w.complain("the receipts cannot be read: %v", err)
	}
	for _, r := range receipts {
		step := rollout.Step{Kind: rollout.StepRepool, Host: r.Host, Attempt: 1, Objects: orchestrator.Observed(r.Objects)}
		if e := hands.Do(ctx, step); e.Kind != rollout.StepDone && ctx.Err() == nil {
			w.complain("%s is not put back: %s", r.Host, e.Error)
		}
	}
}

// over sees that nothing is left of the run.
func (w *saga) over() {
	for key, was := range w.etcd.before {
		if is := w.etcd.value(key); is != was {
			w.complain("%s is %s at the end, was %s", key, is, was)
		}
	}
	for key, value := range w.etcd.store.Values(sharedPrefix) {
		w.complain("%s is left: %s", key, value)
	}
	for _, text := range w.wrong {
		w.t.Error(text)
	}
	if w.t.Failed() {
		w.t.Fatal(strings.Join(w.story, "\n"))
	}
}

// mortalJournal is the run's journal in the hands of a process.
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

// TestDeathBetweenEffects lets a run die before, after and amid each of its effects in turn: each append
// to the journal, each write of a pool object, of a receipt and of the lock; and lets such a write of a
// pool object come late, when the next process has ended. The run is brought to its end
// in each way that there is, and then all objects are byte for byte what they were, and no mark, receipt
// or lock is left; at no moment was a pool below its threshold, or an object out without a receipt in the
// store. After every death another of the ways is tried, and with the second of the limits each effect is
// died at in one manner, another for each; with -exhaust all are.
//
// Planted, one at a time, and seen to fail here or in TestDeathAgain: a depool without a receipt in the
// store; a receipt of our own mark; one dropped before its host is back, or never; what is only observed
// not settled; a recover that does the rest of the run; a resume that forgets what is held, or that takes
// for out what the other master has put back; a depool that comes late, after recover has looked.
func TestDeathBetweenEffects(t *testing.T) {
	t.Parallel()
	for _, limit := range limits {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			t.Parallel()
			var kinds []string
			synctest.Test(t, func(t *testing.T) {
				w, m := newSaga(t, limit), &mortal{}
				if outcome := w.play(begin, m, nil); outcome.Result != rollout.ResultDone {
					t.Errorf("undisturbed: %+v", outcome)
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
				case strings.HasPrefix(kind, "PUT p"):
					manners = append(manners, justLate)
				}
				if limit != limits[0] && !*exhaust {
					manners = manners[i%len(manners):][:1]
				}
				for _, how := range manners {
					for n, end := range ends {
						if !*exhaust && n != died%len(ends) {
							continue
						}
						synctest.Test(t, func(t *testing.T) {
							w := newSaga(t, limit)
							w.play(begin, &mortal{dieAt: i + 1, how: how}, nil)
							w.finish(end)
						})
					}
					died++
				}
			}
			t.Logf("%d effects, %d deaths: %v", len(kinds), died, count)
		})
	}
}

// finish brings a run that died to its end.
func (w *saga) finish(end []part) {
	for _, what := range end {
		outcome := w.play(what, &mortal{}, nil)
		if what == resume && (outcome.Result != rollout.ResultDone || outcome.Counts.Synced != 6) {
			w.complain("%s comes to %+v", what, outcome)
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
			w := newSaga(t, limits[c.below(2)])
			what := begin
			for range 2 + c.below(3) {
				m := &mortal{dieAt: 1 + c.below(35), how: []manner{justBefore, justAfter, amid, justLate}[c.below(4)]}
				w.play(what, m, nil)
				died[fmt.Sprintf("%s died: %v", what, m.gone())]++
				what = []part{resume, abandon, rescue}[c.below(3)]
			}
			w.finish([]part{abandon, rescue}[c.below(2):])
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
			w, m := newSaga(t, limits[i%2]), &mortal{}
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
