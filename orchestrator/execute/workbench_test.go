package execute_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator"
	"github.com/fleetsync/fleetsync/orchestrator/execute"
	"github.com/fleetsync/fleetsync/orchestrator/hosts"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/rollout/rollouttest"
	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/pooling/balancer"
	etcdv2 "github.com/fleetsync/fleetsync/pooling/etcd"
	"github.com/fleetsync/fleetsync/pooling/poolingtest"
)

// workbench is a real Executor with all that pool steps need: the API, the shared store in it, a balancer in each
// datacenter, and a page that says whether a host is healthy. Syncs and checks always go well.
type workbench struct {
	t         *testing.T
	api       *poolingtest.Server
	balancers map[string]*poolingtest.Balancer // by datacenter
	executor  *execute.Executor
	client    *pooling.Client
	shared    *pooling.Shared
	run       *orchestrator.Run
	journal   *memory
	before    map[string]string

	mu      sync.Mutex
	writes  []string                              // of pools and receipts, in order: METHOD KEY
	sick    map[string]int                        // host → status of its health page
	sources map[string]bool                       // who served
	do      func(step rollout.Step, begins bool)  // beside every step
	ask     func(*http.Request) poolingtest.Fault // what becomes of a request of the API
	answers map[rollout.StepID][]rollout.Event    // how pool steps ended
	begun   map[rollout.StepID]int
}

const (
	poolKeys    = "/conftool/v1/pools/"
	receiptKeys = pooling.DefaultSharedPrefix + "/test/receipts/"
)

const benchFleet = `fleet: test
tree: {source: /srv/a, destination: /srv/b, module: m}
hosts:
  m1: {datacenter: a}
  h[0000-0002]: {datacenter: a}
  h[0003,0005-0007]: {datacenter: b}
  h[0004,0008-0011]: {datacenter: a}
roles:
  masters: [{host: m1, serve: true}]
  canaries: ["h[0000-0001]"]
  proxies: [{hosts: ["h[0002-0004]"], slots: 10}]
`

// keyOf is the pool object of a host of benchFleet, whose proxies are h0002 and h0004 in a, and h0003 in b.
func keyOf(host, service string) string {
	datacenter := "a"
	if host == "h0003" {
		datacenter = "b"
	}
	return datacenter + "/appserver/" + service + "/" + host
}

func newBench(t *testing.T) *workbench {
	t.Helper()
	api, err := poolingtest.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = api.Close() })
	w := &workbench{
		t: t, api: api, balancers: map[string]*poolingtest.Balancer{}, journal: &memory{}, sick: map[string]int{},
		sources: map[string]bool{}, answers: map[rollout.StepID][]rollout.Event{}, begun: map[rollout.StepID]int{},
	}
	f, err := inventory.ParseFleet("inventory.yaml", []byte(benchFleet))
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range f.Proxies {
		w.put(keyOf(p.Host, "apache2"), fmt.Sprintf(`{"weight":%d, "note":[1.50],  "pooled":"yes"}`, 10+i))
		w.put(keyOf(p.Host, "nginx"), `{"pooled": "yes", "weight": 1}`)
	}
	w.before = w.pools()
	const timeout = 5 * time.Second
	store, err := etcdv2.New(etcdv2.Config{Endpoints: []string{api.URL}, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	if w.shared, err = pooling.NewShared(store, pooling.SharedConfig{Fleet: "test", Timeout: timeout}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.shared.Close)
	if w.client, err = pooling.NewClient(store, pooling.Config{Prefix: poolKeys, Timeout: timeout}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.client.Close)
	api.Faults.Plan(w.asked)
	health := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		status := w.sick[strings.Trim(r.URL.Path, "/")]
		w.mu.Unlock()
		switch status {
		case 0:
		default:
			rw.WriteHeader(status)
		}
	}))
	t.Cleanup(health.Close)

	s := rollouttest.Settings()
	s.Gate = inventory.Gate{Interval: time.Millisecond}
	p := plan(t, f, s)
	p.Limits.Drain, p.Limits.RetryDelay = 0, rollout.Duration(time.Millisecond)
	state, err := rollout.NewState(p)
	if err != nil {
		t.Fatal(err)
	}
	w.executor = &execute.Executor{
		Plan: p, Owner: "alice", Machine: "tin",
		Restorer: execute.Restorer{
			Hosts: &hosts.Asker{Fleet: f}, Pools: w.client, Receipts: w.shared,
			Health:    &inventory.HTTPCheck{URL: health.URL + "/{host}", Status: http.StatusOK},
			Balancers: balancer.Groups{},
		},
	}
	for _, datacenter := range []string{"a", "b"} {
		b := &poolingtest.Balancer{Etcd: api.Etcd, Pools: map[string]string{"apaches_80": poolKeys + datacenter + "/appserver/apache2"}}
		page := httptest.NewServer(b)
		t.Cleanup(page.Close)
		w.balancers[datacenter] = b
		w.executor.Balancers[datacenter] = balancer.Group{
			URLs: []string{page.URL}, Pools: map[string]string{"apache2": "apaches_80", "nginx": ""}, Timeout: 10 * time.Second,
		}
	}
	w.run = &orchestrator.Run{State: state, Journal: w.journal, Doer: w}
	return w
}

// hurry makes a confirmation in datacenter b that never comes end soon.
func (w *workbench) hurry() {
	lb := w.executor.Balancers["b"]
	lb.Timeout = 500 * time.Millisecond
	w.executor.Balancers["b"] = lb
}

func (w *workbench) put(key, value string) {
	w.t.Helper()
	if err := w.api.Etcd.Put(poolKeys+key, value); err != nil {
		w.t.Fatal(err)
	}
}

func (w *workbench) get(key string) string {
	value, _, _ := w.api.Etcd.Get(poolKeys + key)
	return value
}

func (w *workbench) pools() map[string]string {
	return w.api.Etcd.Values(strings.TrimSuffix(poolKeys, "/"))
}

// asked keeps the order of writes.
func (w *workbench) asked(r *http.Request) poolingtest.Fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ask != nil {
		if fault := w.ask(r); fault != poolingtest.None {
			return fault
		}
	}
	key := strings.TrimPrefix(r.URL.Path, "/v2/keys")
	if r.Method != http.MethodGet && (strings.HasPrefix(key, poolKeys) || strings.HasPrefix(key, receiptKeys)) {
		w.writes = append(w.writes, r.Method+" "+key)
	}
	return poolingtest.None
}

// Do implements orchestrator.Doer.
func (w *workbench) Do(ctx context.Context, step rollout.Step) rollout.Event {
	w.mu.Lock()
	w.begun[step.ID]++
	do := w.do
	if step.Source != "" {
		w.sources[step.Source] = true
	}
	w.mu.Unlock()
	if do != nil {
		do(step, true)
	}
	var e rollout.Event
	switch step.Kind {
	case rollout.StepSync:
		e = rollout.Event{Kind: rollout.StepDone, Stats: &rollout.Stats{Bytes: 1}}
	case rollout.StepCheck:
		e = rollout.Event{Kind: rollout.StepDone, Verdict: rollout.Pass}
	case rollout.StepRecheck, rollout.StepRollback, rollout.StepHook, rollout.StepPost, rollout.StepOnFailure:
		e = rollout.Event{Kind: rollout.StepDone}
	case rollout.StepObserve, rollout.StepDepool, rollout.StepRepool, rollout.StepQuarantine, rollout.StepRelease:
		e = w.executor.Do(ctx, step)
	}
	if do != nil {
		do(step, false)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers[step.ID] = append(w.answers[step.ID], e)
	return e
}

// play carries the run out.
func (w *workbench) play() rollout.Outcome {
	w.t.Helper()
	outcome, err := w.run.Do(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return outcome
}

// check fails the test unless all pools are as they were, and no receipt is left, but of the keys and hosts named.
func (w *workbench) check(but ...string) {
	w.t.Helper()
	for key, value := range w.pools() {
		if value != w.before[key] && !slices.Contains(but, strings.TrimPrefix(key, poolKeys)) {
			w.t.Errorf("%s is %s, was %s", key, value, w.before[key])
		}
	}
	receipts, err := w.shared.Receipts(w.t.Context())
	if err != nil {
		w.t.Error(err)
	}
	for _, r := range receipts {
		if !slices.Contains(but, r.Host) {
			w.t.Errorf("the receipt of %s is left", r.Host)
		}
	}
}

// step makes a step by hand.
func (w *workbench) step(kind rollout.StepKind, host string, objects []rollout.Object) rollout.Event {
	id := rollout.StepID(string(kind) + "/" + host)
	return w.executor.Do(w.t.Context(), rollout.Step{ID: id, Kind: kind, Host: host, Attempt: 1, Objects: objects})
}

// done makes a step by hand that must go well.
func (w *workbench) done(kind rollout.StepKind, host string, objects []rollout.Object) rollout.Event {
	w.t.Helper()
	e := w.step(kind, host, objects)
	if e.Kind != rollout.StepDone {
		w.t.Fatalf("%s %s: %+v", kind, host, e)
	}
	return e
}

func (w *workbench) receipt(host string) *pooling.Receipt {
	w.t.Helper()
	receipts, err := w.shared.Receipts(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range receipts {
		if r.Host == host {
			return &r
		}
	}
	return nil
}
