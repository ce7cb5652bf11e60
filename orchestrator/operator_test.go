package orchestrator_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"reflect"
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
	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/pooling/poolingtest"
)

var (
	seed     = flag.Uint64("seed", 0, "of the first simulated run that operators disturb, and of the first that dies twice; 0: another one each time")
	operated = flag.Int("operated", forLong(60, 200), "how many simulated runs operators disturb")
)

// firstSeed returns the seed of the first of many simulated runs, and prints it. Goroutines make what
// follows from a seed only nearly the same each time.
func firstSeed(t *testing.T) uint64 {
	t.Helper()
	first := *seed
	if first == 0 {
		first = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed=%d", first)
	return first
}

// someTransfers does what a real Executor does, except that transfers and checks are only waited for. Of a
// source it looks every now and then whether users are on it.
type someTransfers struct {
	*execute.Executor
	takes func() time.Duration
	watch func(source string, until time.Time)
}

func (d *someTransfers) Do(ctx context.Context, step rollout.Step) rollout.Event {
	if step.Kind != rollout.StepSync && step.Kind != rollout.StepCheck || d.Lease != nil && !d.Lease.Valid() {
		return d.Executor.Do(ctx, step)
	}
	const look = 100 * time.Millisecond
	for end := time.Now().Add(d.takes()); time.Now().Before(end); {
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return failed(rollout.Stopped)
		}
		if d.watch != nil && step.Kind == rollout.StepSync {
			d.watch(step.Source, time.Now())
		}
	}
	if step.Kind == rollout.StepCheck {
		return rollout.Event{Kind: rollout.StepDone, Verdict: rollout.Pass}
	}
	return rollout.Event{Kind: rollout.StepDone, Stats: &rollout.Stats{Bytes: 1}}
}

// operator is somebody who edits pool objects as confctl does, and knows what they want.
type operator struct {
	t      *testing.T
	etcd   *etcd
	chance *chance
	run    string

	want  map[string]map[string]any // by key: the object as they last wanted it; nil: deleted
	edits []edit
	yes   map[string]time.Time // by host: since when users are on it because of an edit, to be seen yet
	worst time.Duration        // that a host served while users were on it
}

// edit is one edit of an object that bore the run's marker.
type edit struct {
	what, key string
	at        time.Time
	visible   bool // it differs from what would have been put back
}

func newOperator(t *testing.T, e *etcd, c *chance) *operator {
	o := &operator{t: t, etcd: e, chance: c, run: "r1", want: map[string]map[string]any{}, yes: map[string]time.Time{}}
	for key, value := range e.before {
		o.want[key] = fields(t, value)
	}
	e.wrote = o.wrote
	return o
}

func fields(t *testing.T, value string) map[string]any {
	t.Helper()
	var f map[string]any
	if err := json.Unmarshal([]byte(value), &f); err != nil {
		t.Errorf("the object is no JSON any more: %s", value)
	}
	return f
}

// edit edits a random object of a proxy. It is called with the store's lock.
func (o *operator) edit(proxies []string) {
	host := proxies[o.chance.below(len(proxies))]
	key := "a/appserver/" + []string{"apache2", "nginx"}[o.chance.below(2)] + "/" + host
	value := o.etcd.value(key)
	if value == "" {
		return
	}
	is, want := fields(o.t, value), maps.Clone(o.want[key])
	held := is["fleetsync"] == o.run
	if o.chance.below(2) == 0 {
		// They write the object without what they do not know.
		is = map[string]any{"weight": is["weight"], "pooled": is["pooled"]}
		want = map[string]any{"weight": want["weight"], "pooled": want["pooled"]}
	}
	what := []string{"weight", "inactive", "no", "yes", "stale", "delete"}[o.chance.below(6)]
	switch what {
	case "weight":
		if o.want[key]["note"] != nil && held {
			is = fields(o.t, value) // otherwise it would also be a "no" of theirs
			want = maps.Clone(o.want[key])
		} else if held {
			is["fleetsync"] = o.run
		}
		is["weight"] = float64(100 + o.chance.below(100))
		want["weight"] = is["weight"]
	case "no":
		// Beside our marker their "no" would be ours.
		delete(is, "fleetsync")
		is["pooled"], want["pooled"] = what, what
	case "stale":
		// What confctl writes is what it read before its prompt, over what it reads afterwards.
		stale := fields(o.t, o.etcd.before[key])
		for _, name := range []string{"weight", "pooled"} {
			is[name], want[name] = stale[name], stale[name]
		}
		if stale["pooled"] == "no" {
			delete(is, "fleetsync")
		}
	case "delete":
		o.etcd.store.Delete(poolsPrefix + "/" + key)
		want = nil
	default:
		is["pooled"], want["pooled"] = what, what
	}
	if want != nil {
		text, err := json.MarshalIndent(is, "", " ")
		if err != nil {
			o.t.Fatal(err)
		}
		if err := o.etcd.store.Put(poolsPrefix+"/"+key, string(text)); err != nil {
			o.t.Fatal(err)
		}
	}
	if held {
		o.edits = append(o.edits, edit{what: what, key: key, at: time.Now(), visible: !reflect.DeepEqual(want, o.want[key])})
	}
	o.want[key] = want
	o.seen(host)
}

// wrote sees what every write by the program left. It is called with the store's lock.
func (o *operator) wrote() {
	for _, host := range o.hosts() {
		o.seen(host)
	}
}

func (o *operator) hosts() []string {
	var hosts []string
	for key := range o.want {
		if host := hostOf(key); !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// seen notes since when users are on a host.
func (o *operator) seen(host string) {
	in := false
	for key := range o.want {
		if hostOf(key) == host {
			value := o.etcd.value(key)
			in = in || value != "" && fields(o.t, value)["pooled"] == "yes"
		}
	}
	if _, known := o.yes[host]; !in {
		delete(o.yes, host)
	} else if !known {
		o.yes[host] = time.Now()
	}
}

// serving is told that a host serves.
func (o *operator) serving(host string, now time.Time) {
	o.etcd.mu.Lock()
	defer o.etcd.mu.Unlock()
	if since, in := o.yes[host]; in {
		o.worst = max(o.worst, now.Sub(since))
	}
}

// check sees at the end of a run that every object is as the operator wants it, and that what they
// did is named. When a proxy was put back is asked of the journal.
func (o *operator) check(outcome rollout.Outcome, j *memory) {
	for key, want := range o.want {
		value := o.etcd.value(key)
		if want == nil {
			if value != "" {
				o.t.Errorf("%s was deleted, and is %s", key, value)
			}
			continue
		}
		if got := fields(o.t, value); !reflect.DeepEqual(got, want) {
			o.t.Errorf("%s is %s at the end, should be %v", key, value, want)
		}
		if reflect.DeepEqual(want, fields(o.t, o.etcd.before[key])) && !o.edited(key) && value != o.etcd.before[key] {
			o.t.Errorf("%s is %s at the end, was %s", key, value, o.etcd.before[key])
		}
	}
	for _, e := range o.edits {
		if e.visible && e.what != "weight" && !o.named(outcome, e) && (o.seenInTime(e, j) || !o.undone(e.key)) {
			o.t.Errorf("%s of %s at %v is not named: %+v", e.what, e.key, e.at, outcome.Named)
		}
		if e.what == "weight" && !o.undone(e.key) && !o.named(outcome, e) {
			o.t.Errorf("%s of %s is not named: %+v", e.what, e.key, outcome.Named)
		}
	}
	if len(outcome.Out) > 0 {
		o.t.Errorf("not restored: %+v", outcome.Out)
	}
}

func (o *operator) edited(key string) bool {
	return o.etcd.value(key) != o.etcd.before[key] && strings.Contains(o.etcd.value(key), "\n")
}

// undone says whether an object is as it was before all, whatever was done to it meanwhile.
func (o *operator) undone(key string) bool {
	return reflect.DeepEqual(o.want[key], fields(o.t, o.etcd.before[key]))
}

func (o *operator) named(outcome rollout.Outcome, e edit) bool {
	return slices.ContainsFunc(outcome.Named, func(n rollout.Named) bool {
		return n.Host == hostOf(e.key) && strings.Contains(n.Detail, e.key)
	})
}

// seenInTime says whether an edit was made so long before its host's repool that the watcher must have
// seen it.
func (o *operator) seenInTime(e edit, j *memory) bool {
	for _, event := range j.events {
		if event.Kind == rollout.StepStarted && event.Step == rollout.StepID("repool/"+hostOf(e.key)) {
			return event.At.Sub(e.at) > watchedWithin
		}
	}
	return false
}

// watchedWithin is how long an edit takes at most to become known, with a store that takes up to
// slowest for an answer: a watch may only just have begun, and the changes before it come first.
const (
	slowest       = 200 * time.Millisecond
	watchedWithin = 10 * slowest
)

// TestOperator lets somebody edit pool objects while runs hold them, at random moments and, as often,
// immediately before one of our own writes; with the real steps on pools, the real watcher and the real
// client. What they want stays, everything else comes back, what they did is named, and no proxy serves
// longer with users on it than it takes for that to become known.
//
// Planted, one at a time, and seen to fail. The watcher: deaf to "yes" or to deletions, mute, skipping
// what follows a change, or watching a host only from the end of its depool. The state: edits not named,
// not those that a repool found; a proxy that serves on, whose transfers go on, or that counts as out
// before it was taken out again; edits during a depool forgotten, or judged before it has ended; all
// edits taken for our own. The pools: what does not bear our marker put back; a weight or a "yes" of theirs
// overwritten; a depool from the first receipt and not the last; writes without an index; a depool that
// does not see that an object it has no business with became "yes".
func TestOperator(t *testing.T) {
	t.Parallel()
	first, n := firstSeed(t), *operated
	tally := map[string]int{}
	var worst time.Duration
	for i := range n {
		this := first + uint64(i)
		synctest.Test(t, func(t *testing.T) { worst = max(worst, disturbed(t, this, tally)) })
		if t.Failed() {
			t.Fatalf("to reproduce: -seed=%d -operated=1", this)
		}
	}
	for _, what := range slices.Sorted(maps.Keys(tally)) {
		t.Logf("%6d %s", tally[what], what)
	}
	t.Logf("a proxy served with users on it for at most %v", worst)
}

func disturbed(t *testing.T, seed uint64, tally map[string]int) time.Duration {
	c := newChance(seed)
	policy := inventory.ForeignEditStop
	if seed%2 == 1 {
		policy = inventory.ForeignEditDepoolAgain
	}
	f, s := fleet(8+c.below(6)), settings()
	s.Batches.Parallel, s.Gate.Soak = 2+c.below(5), c.upTo(5*time.Second)
	p, err := rollout.NewPlan(f, s, rollout.Request{
		Run: "r1", Mode: inventory.ModeSync, Pools: true, Drain: c.upTo(5 * time.Second), OnForeignEdit: policy,
	})
	if err != nil {
		t.Fatal(err)
	}
	state, err := rollout.NewState(p)
	if err != nil {
		t.Fatal(err)
	}
	e := newEtcd(t, f, 4, func() string { return []string{"yes", "yes", "yes", "yes", "no", "inactive"}[c.below(6)] })
	us := e.connect(t)
	defer us.close()
	o := newOperator(t, e, c)
	proxies := []string{"h0002", "h0003", "h0004"}
	before := c.below(30) // percent of our writes that they come just before
	us.faults.Plan(func(r *http.Request) poolingtest.Fault {
		<-time.After(c.upTo(slowest))
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, poolsPrefix) && c.below(100) < before {
			e.mu.Lock()
			defer e.mu.Unlock()
			o.edit(proxies)
		}
		return poolingtest.None
	})

	longest := 1 + c.below(10)
	world := make(chan rollout.Event, 1)
	watcher := &monitor.Pools{API: us.pools, Run: "r1", World: world}
	doer := &someTransfers{
		Executor: &execute.Executor{
			Plan: p, Restorer: execute.Restorer{Hosts: &hosts.Asker{Fleet: f}, Pools: us.pools, Receipts: us.shared},
			Threshold: pooling.Threshold{Default: 2500}, Owner: "o", Machine: "m1",
		},
		takes: func() time.Duration { return c.upTo(time.Duration(longest) * time.Second) },
		watch: o.serving,
	}
	j := &memory{}
	ctx, stop := context.WithCancel(t.Context())
	var others sync.WaitGroup
	others.Go(func() { watcher.Watch(ctx) })
	others.Go(func() {
		// Most runs are over within a minute.
		for range c.below(8) {
			select {
			case <-time.After(c.upTo(10 * time.Second)):
			case <-ctx.Done():
				return
			}
			e.mu.Lock()
			o.edit(proxies)
			e.mu.Unlock()
		}
	})
	run := orchestrator.Run{State: state, Journal: j, Doer: doer, Observers: []orchestrator.Observer{watcher}, World: world}
	outcome, err := run.Do(t.Context())
	stop()
	others.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if outcome.Result != rollout.ResultDone || outcome.Counts.Synced != outcome.Counts.Hosts {
		t.Errorf("outcome %+v", outcome)
	}
	o.check(outcome, j)
	if o.worst > watchedWithin {
		t.Errorf("a proxy served with users on it for %v", o.worst)
	}
	if t.Failed() {
		for _, e := range j.events {
			t.Logf("%s %s %s %s %s %s %s %v", e.At.Format("05.000"), e.Kind, e.Step, e.Source, e.Class, e.Error, e.Detail, indexes(e.Objects))
		}
	}
	for _, e := range o.edits {
		tally["edit of what was held: "+e.what]++
	}
	for _, e := range j.events {
		if e.Kind == rollout.PoolChanged {
			tally["became known: "+string(e.Edit)]++
		}
		if e.Kind == rollout.StepFailed {
			tally[fmt.Sprintf("failed: %s %s", e.Step[:strings.IndexByte(string(e.Step), '/')], e.Class)]++
		}
	}
	tally["depooled again"] += countAgain(j)
	tally["named"] += len(outcome.Named)
	return o.worst
}

func indexes(objects []rollout.Object) []uint64 {
	var all []uint64
	for _, o := range objects {
		all = append(all, o.Index)
	}
	return all
}

// countAgain counts the depools of proxies that were out before.
func countAgain(j *memory) (n int) {
	out := map[string]bool{}
	for _, e := range j.events {
		if strings.HasPrefix(string(e.Step), "depool/") && e.Kind == rollout.StepDone {
			if out[e.Host] {
				n++
			}
			out[e.Host] = true
		}
	}
	return n
}
