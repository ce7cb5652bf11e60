package session_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/journal"
	"github.com/fleetsync/fleetsync/orchestrator/preflight"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/session"
	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/pooling/etcd"
	"github.com/fleetsync/fleetsync/pooling/poolingtest"
	"github.com/fleetsync/fleetsync/transport/ssh"
)

// world is a fleet with its pools and its shared store in this process, and as many masters as a test makes, each with journals of
// its own. No host is ever reached: what is tested is what becomes of locks, receipts, journals and pool objects.
type world struct {
	t      *testing.T
	api    *poolingtest.Server
	fleet  *inventory.Fleet
	before map[string]string // the pool objects as they were at first

	mu     sync.Mutex
	writes map[string]int // of pool objects, by key
}

const (
	poolKeys   = "/conftool/v1/pools/"
	sharedKeys = pooling.DefaultSharedPrefix + "/test/"

	fleetText = `fleet: test
tree: {source: "/nowhere/{host}/a", destination: "/nowhere/{host}/b", module: m}
hosts:
  m1: {datacenter: a, connection: local, address: 127.0.0.1, endpoint: "rsync://127.0.0.1:1"}
  c1: {datacenter: a, connection: local}
  p[1-4]: {datacenter: a}
  h1: {datacenter: a}
roles:
  masters: [{host: m1, serve: true}]
  canaries: [c1]
  proxies: [{hosts: ["p[1-4]"], slots: 10}]
`
)

func newWorld(t *testing.T) *world {
	t.Helper()
	api, err := poolingtest.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = api.Close() })
	w := &world{t: t, api: api, writes: map[string]int{}}
	w.fleet = w.parse(fleetText)
	for _, host := range []string{"c1", "p1", "p2", "p3", "p4"} {
		for _, service := range []string{"apache2", "nginx"} {
			w.put(poolKeys+keyOf(host, service), fmt.Sprintf(`{"weight":1e1, "pooled": "yes",  "owner": %q}`, host+service))
		}
	}
	w.before = w.objects()
	w.plan(func(*http.Request) poolingtest.Fault { return poolingtest.None })
	return w
}

func (w *world) parse(text string) *inventory.Fleet {
	w.t.Helper()
	fleet, err := inventory.ParseFleet("inventory.yaml", []byte(text))
	if err != nil {
		w.t.Fatal(err)
	}
	return fleet
}

func keyOf(host, service string) string { return "a/appserver/" + service + "/" + host }

// plan sets how requests fail.
func (w *world) plan(plan func(*http.Request) poolingtest.Fault) {
	w.api.Faults.Plan(func(r *http.Request) poolingtest.Fault {
		if key, ok := strings.CutPrefix(r.URL.Path, "/v2/keys"+poolKeys); ok && r.Method == http.MethodPut {
			w.mu.Lock()
			w.writes[key]++
			w.mu.Unlock()
		}
		return plan(r)
	})
}

func (w *world) objects() map[string]string { return w.api.Etcd.Values(poolKeys) }

func (w *world) put(key, value string) {
	w.t.Helper()
	if err := w.api.Etcd.Put(key, value); err != nil {
		w.t.Fatal(err)
	}
}

// edit replaces text in a host's object.
func (w *world) edit(host, service, before, after string) {
	w.t.Helper()
	key := poolKeys + keyOf(host, service)
	value := w.objects()[key]
	if !strings.Contains(value, before) {
		w.t.Fatalf("%s holds no %s: %s", key, before, value)
	}
	w.put(key, strings.Replace(value, before, after, 1))
}

// wantPools fails the test unless every pool object is what it was at first, byte for byte.
func (w *world) wantPools() {
	w.t.Helper()
	now := w.objects()
	for _, key := range slices.Sorted(maps.Keys(w.before)) {
		if now[key] != w.before[key] {
			w.t.Errorf("%s is %s, was %s", key, now[key], w.before[key])
		}
	}
}

// wantShared fails the test unless the shared store holds exactly these keys, below that of the fleet.
func (w *world) wantShared(want ...string) {
	w.t.Helper()
	var got []string
	for _, key := range slices.Sorted(maps.Keys(w.api.Etcd.Values(strings.TrimSuffix(sharedKeys, "/")))) {
		got = append(got, strings.TrimPrefix(key, sharedKeys))
	}
	if !slices.Equal(got, want) {
		w.t.Errorf("the shared store holds %q, want %q", got, want)
	}
}

// master is one master of the fleet as sessions know it.
type master struct {
	session.Config
	w *world

	mu    sync.Mutex
	lines []string // what the user was told
	more  chan struct{}
}

func (w *world) master(machine string) *master {
	w.t.Helper()
	const timeout = 2 * time.Second
	store, err := etcd.New(etcd.Config{Endpoints: []string{w.api.URL}, Timeout: timeout})
	if err != nil {
		w.t.Fatal(err)
	}
	shared, err := pooling.NewShared(store, pooling.SharedConfig{Fleet: w.fleet.Name, Timeout: timeout})
	if err != nil {
		w.t.Fatal(err)
	}
	pools, err := pooling.NewClient(store, pooling.Config{Prefix: poolKeys, Timeout: timeout})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(shared.Close)
	w.t.Cleanup(pools.Close)
	m := &master{w: w, more: make(chan struct{}, 1)}
	m.Config = session.Config{
		Fleet: w.fleet, Store: journal.Store{Dir: filepath.Join(w.t.TempDir(), machine)}, Pools: pools, Shared: shared,
		Policy: &inventory.Policy{
			Inventory: "inventory.yaml", Pooling: &inventory.Pooling{Threshold: inventory.Amount{BasisPoints: 5000}},
			Lock: inventory.Lock{TTL: 5 * time.Second}, Retention: inventory.Retention{Manifests: 5},
		},
		Owner: "alice", Machine: machine, Printer: m,
	}
	m.Dialer = &ssh.Dialer{}
	w.t.Cleanup(func() { _ = m.Dialer.Close() })
	m.History = func() *preflight.History { return preflight.NewHistory(session.Journals{Store: m.Store}, w.fleet) }
	return m
}

// Warn implements session.Printer.
func (m *master) Warn(format string, args ...any) { m.Say("warning: "+format, args...) }

// Say implements session.Printer.
func (m *master) Say(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lines = append(m.lines, fmt.Sprintf(format, args...))
	select {
	case m.more <- struct{}{}:
	default:
	}
}

// await waits until the user is told something, and forgets what they were told until then.
func (m *master) await(part string) {
	m.w.t.Helper()
	limit := time.After(time.Minute)
	for !strings.Contains(m.said(), part) {
		select {
		case <-m.more:
		case <-limit:
			m.w.t.Fatalf("the user is not told: %s", part)
		}
	}
}

// said returns what the user was told, and forgets it.
func (m *master) said() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	text := strings.Join(m.lines, "\n")
	m.lines = nil
	return text
}

// wantSaid fails the test unless the user was told each of these, and forgets it.
func (m *master) wantSaid(parts ...string) {
	m.w.t.Helper()
	said := m.said()
	for _, part := range parts {
		if !strings.Contains(said, part) {
			m.w.t.Errorf("the user is not told %q, but:\n%s", part, said)
		}
	}
	if len(parts) == 0 && said != "" {
		m.w.t.Errorf("the user is told:\n%s", said)
	}
}

// open takes the lock of the fleet until the end of the test, or until the session is closed.
func (m *master) open(claim session.Claim) *session.Session {
	m.w.t.Helper()
	s, err := session.Open(m.w.t.Context(), m.Config, claim)
	if err != nil {
		m.w.t.Fatal(err)
	}
	m.w.t.Cleanup(func() { s.Close(context.Background()) })
	return s
}

// die leaves what a run leaves that dies while these hosts are out of their pools: objects that are out, receipts, its record, its
// journal on this machine, and its lease.
func (m *master) die(run string, hosts ...string) {
	m.w.t.Helper()
	ctx := m.w.t.Context()
	events := m.begin(run)
	for _, host := range hosts {
		var were []rollout.Object
		for _, o := range m.depool(run, host, pooling.Serving) {
			were = append(were, rollout.Object{Key: o.Key, Value: o.Value, Index: o.Index})
		}
		events = append(events,
			rollout.Event{Kind: rollout.StepStarted, Step: rollout.StepID("observe/" + host), Host: host, Attempt: 1},
			rollout.Event{Kind: rollout.StepDone, Step: rollout.StepID("observe/" + host), Host: host, Attempt: 1, Objects: were},
			rollout.Event{Kind: rollout.StepStarted, Step: rollout.StepID("depool/" + host), Host: host, Attempt: 1},
			rollout.Event{Kind: rollout.StepDone, Step: rollout.StepID("depool/" + host), Host: host, Attempt: 1})
	}
	m.write(run, events)
	record := pooling.RunRecord{Run: run, Owner: m.Owner, Machine: m.Machine, State: m.Store.JournalPath(run)}
	if err := m.Shared.PutRun(ctx, record); err != nil {
		m.w.t.Fatal(err)
	}
	holder := pooling.Holder{Owner: m.Owner, Host: m.Machine, Run: run, Reason: "sync"}
	if _, err := m.Shared.Acquire(ctx, holder, 30*time.Second); err != nil {
		m.w.t.Fatal(err)
	}
}

// begin returns the events of a run up to the moment at which it may take proxies out.
func (m *master) begin(run string) []rollout.Event {
	m.w.t.Helper()
	plan, err := rollout.NewPlan(m.w.fleet, inventory.Settings{Batches: inventory.Batches{Parallel: 1, Attempts: 1}}, rollout.Request{
		Run: run, Mode: inventory.ModeSync, Pools: true, Quarantine: inventory.QuarantineNone,
		Tree: &rollout.Tree{Digest: "digest", Fingerprint: "fingerprint"},
	})
	if err != nil {
		m.w.t.Fatal(err)
	}
	return []rollout.Event{
		{Kind: rollout.RunStarted, Plan: plan},
		{Kind: rollout.StepStarted, Step: "sync/c1", Host: "c1", Source: "m1", Attempt: 1},
		{Kind: rollout.StepDone, Step: "sync/c1", Host: "c1", Source: "m1", Attempt: 1, Stats: &rollout.Stats{}},
		{Kind: rollout.StepStarted, Step: "check/soak", Attempt: 1},
		{Kind: rollout.StepDone, Step: "check/soak", Attempt: 1, Verdict: rollout.Pass},
	}
}

// receipt puts a receipt of a host's objects as they were at first, and returns them.
func (m *master) receipt(run, host string, purpose pooling.Purpose) []pooling.Object {
	m.w.t.Helper()
	objects, err := m.Pools.Observe(m.w.t.Context(), host)
	for i, o := range objects {
		objects[i].Value = m.w.before[poolKeys+o.Key]
	}
	if err == nil {
		err = m.Shared.PutReceipt(m.w.t.Context(), pooling.Receipt{
			Run: run, Host: host, Purpose: purpose, Owner: m.Owner, Machine: m.Machine, Objects: objects,
		})
	}
	if err != nil {
		m.w.t.Fatal(err)
	}
	return objects
}

// depool takes a host out of its pools as a run does, and returns its objects as they were.
func (m *master) depool(run, host string, purpose pooling.Purpose) []pooling.Object {
	m.w.t.Helper()
	objects := m.receipt(run, host, purpose)
	if _, err := m.Pools.Depool(m.w.t.Context(), run, objects, pooling.Threshold{}); err != nil {
		m.w.t.Fatal(err)
	}
	return objects
}

// write makes a journal of events.
func (m *master) write(run string, events []rollout.Event) {
	m.w.t.Helper()
	j, err := m.Store.Create(run)
	if err != nil {
		m.w.t.Fatal(err)
	}
	for i := range events {
		events[i].Seq, events[i].Run, events[i].At = int64(i+1), run, time.Unix(int64(i), 0).UTC()
	}
	if err := j.Append(events); err != nil {
		m.w.t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		m.w.t.Fatal(err)
	}
}

func as[T error](err error) (T, bool) { return errors.AsType[T](err) }

func is[T error](err error) bool {
	_, ok := as[T](err)
	return ok
}
