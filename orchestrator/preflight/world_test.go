package preflight_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/guard"
	"github.com/fleetsync/fleetsync/orchestrator/manifest"
	"github.com/fleetsync/fleetsync/orchestrator/preflight"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/rollout/rollouttest"
	"github.com/fleetsync/fleetsync/orchestrator/tree"
	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/transport/rsync"
)

const inventoryText = `
fleet: test
tree: {source: /srv/staging, destination: /srv/tree, module: tree, scratch: /srv/.fleetsync, exclude: [/private]}
defaults: {datacenter: a}
hosts:
  m[1-3]: {}
  c[1-2]: {}
  p[1-2]: {}
  h[1-4]: {}
roles:
  masters:
    - {host: m1, serve: true}
    - {host: m2, serve: false}
    - {host: m3, serve: true}
  canaries: [c1, c2]
  proxies:
    - {hosts: ["p[1-2]"], slots: 2}
`

const policyText = `
inventory: inventory.yaml
state: state
batches: {parallel: 4, ramp: [100%], max_failures: 1}
gate: {soak: 1s}
guard: {required: [wikiversions.php], max_delete: 10%, max_shrink: 10%, git: false}
keep: {hosts: all}
pooling: {endpoints: ["http://127.0.0.1:1"], prefix: /pools, threshold: 50%}
`

// world is a fleet that tells what it is asked and counts how often it was. All is well with it at first: its hosts are there, and there
// has been no run.
type world struct {
	fleet  *inventory.Fleet
	policy *inventory.Policy

	receipts    []pooling.Receipt
	receiptsErr error
	last        pooling.InventoryRecord
	objects     map[string]string // key → value
	poolsErr    error
	noTraffic   error

	trees   map[string]*manifest.Manifest // of masters and restored hosts
	treeErr error
	records map[string]*tree.Record
	lastErr error
	down    map[string]error
	free    map[string]int64 // negative: it does not say
	deltas  map[string]rsync.Delta
	dryErr  map[string]error
	kept    string
	undoErr error

	runs    []*rollout.State // oldest first
	corrupt map[string]error // by run

	mu    sync.Mutex
	asked map[string]int
}

func newWorld(t testing.TB, policy ...string) *world {
	t.Helper()
	text := policyText
	for i := 0; i < len(policy); i += 2 {
		if !strings.Contains(text, policy[i]) {
			t.Fatalf("the policy holds no %q", policy[i])
		}
		text = strings.ReplaceAll(text, policy[i], policy[i+1])
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"inventory.yaml": inventoryText, "fleetsync.yaml": text} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w := &world{
		asked: map[string]int{}, objects: map[string]string{}, trees: map[string]*manifest.Manifest{}, records: map[string]*tree.Record{},
		down: map[string]error{}, free: map[string]int64{}, deltas: map[string]rsync.Delta{}, dryErr: map[string]error{},
		corrupt: map[string]error{}, kept: "r0",
	}
	var err error
	if w.policy, err = inventory.LoadPolicy(filepath.Join(dir, "fleetsync.yaml")); err != nil {
		t.Fatal(err)
	}
	if w.fleet, err = inventory.LoadFleet(w.policy.Inventory); err != nil {
		t.Fatal(err)
	}
	w.last = pooling.InventoryRecord{Digest: w.fleet.Digest, Machine: "here"}
	for _, h := range w.fleet.Hosts {
		w.free[h.Name] = 1 << 40
		w.objects["a/web/www/"+h.Name] = `{"pooled":"yes","weight":1}`
	}
	for _, m := range w.fleet.Masters {
		w.trees[m.Host] = someTree(20)
	}
	return w
}

// someTree returns a tree of so many files of ten bytes, wikiversions.php among them.
func someTree(files int) *manifest.Manifest {
	m := &manifest.Manifest{Taken: time.Hour.Nanoseconds(), Entries: []manifest.Entry{{Path: ".", Type: manifest.Folder, Mode: 0o755}}}
	for i := range files - 1 {
		m.Entries = append(m.Entries, file(fmt.Sprintf("f%03d", i)))
	}
	m.Entries = append(m.Entries, file("wikiversions.php"))
	return m
}

func file(path string) manifest.Entry {
	return manifest.Entry{Path: path, Type: manifest.File, Mode: 0o644, Size: 10, Mtime: 1, Ctime: 1, Links: 1, Hash: manifest.Hash{1}}
}

// edited returns a tree whose first file has another content, and another time.
func edited(m *manifest.Manifest) *manifest.Manifest {
	m = &manifest.Manifest{Taken: m.Taken, Entries: slices.Clone(m.Entries)}
	m.Entries[1].Hash, m.Entries[1].Mtime = manifest.Hash{2}, 2
	return m
}

func (w *world) sources() preflight.Sources {
	return preflight.Sources{
		Fleet: w.fleet, Policy: w.policy, Machine: "here", Shared: w, Pools: w, Balancers: w.askDown, Hosts: w, Trees: w,
		History: preflight.NewHistory(journals{w}, w.fleet),
	}
}

// judge gathers the facts and judges a request.
func (w *world) judge(t testing.TB, r preflight.Request) (preflight.Verdict, error) {
	t.Helper()
	f, err := preflight.Gather(t.Context(), w.sources(), r)
	if err != nil {
		t.Fatal(err)
	}
	return preflight.Judge(f, r)
}

// request is one for a full run that will begin.
func request() preflight.Request {
	return preflight.Request{Run: "r9", Mode: inventory.ModeSync, Confirmed: -1, Begin: true, Command: "fleetsync"}
}

func (w *world) count(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked[fmt.Sprintf(format, args...)]++
}

// often returns what was asked more than once.
func (w *world) often() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	often := maps.Clone(w.asked)
	maps.DeleteFunc(often, func(_ string, n int) bool { return n == 1 })
	return slices.Sorted(maps.Keys(often))
}

// wasAsked returns how often something was asked that begins so.
func (w *world) wasAsked(prefix string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for what, times := range w.asked {
		if strings.HasPrefix(what, prefix) {
			n += times
		}
	}
	return n
}

func (w *world) Receipts(context.Context) ([]pooling.Receipt, error) {
	w.count("receipts")
	return w.receipts, w.receiptsErr
}

func (w *world) Inventory(context.Context) (pooling.InventoryRecord, error) {
	w.count("inventory")
	return w.last, nil
}

func (w *world) Pools(context.Context) (pooling.Snapshot, error) {
	w.count("pools")
	s := pooling.Snapshot{Hosts: map[string][]pooling.Object{}, Pools: map[string][]pooling.Object{}}
	for _, key := range slices.Sorted(maps.Keys(w.objects)) {
		o := pooling.Object{Key: key, Value: w.objects[key], Index: 1}
		s.Hosts[o.Host()] = append(s.Hosts[o.Host()], o)
		s.Pools[o.Pool()] = append(s.Pools[o.Pool()], o)
	}
	return s, w.poolsErr
}

func (w *world) askDown(_ context.Context, datacenter, service string, _ []string) ([]string, error) {
	w.count("balancers %s %s", datacenter, service)
	return nil, w.noTraffic
}

func (w *world) Answers(_ context.Context, host string) error {
	w.count("probe %s", host)
	return w.down[host]
}

func (w *world) Free(_ context.Context, host string) (int64, error) {
	w.count("free %s", host)
	if w.free[host] < 0 {
		return 0, errors.New("no df")
	}
	return w.free[host], nil
}

func (w *world) DryRun(_ context.Context, host, source string, paths []string, _ int) (rsync.Delta, error) {
	w.count("dry run %s from %s %q", host, source, paths)
	return w.deltas[host], w.dryErr[host]
}

func (w *world) Record(_ context.Context, host string) (*tree.Record, error) {
	w.count("record %s", host)
	return w.records[host], w.lastErr
}

func (w *world) Undoable(_ context.Context, host, run string) (string, error) {
	w.count("kept %s %s", host, run)
	return w.kept, w.undoErr
}

func (w *world) PreviewUndo(_ context.Context, host, run string, _ int) (tree.Preview, error) {
	w.count("preview %s %s", host, run)
	return tree.Preview{}, nil
}

func (w *world) Tree(host string) (guard.Tree, error) { return scanned{w, host}, w.treeErr }

func (w *world) Scanned(host string) *manifest.Manifest { return w.trees[host] }

func (w *world) Keep(host string, _ *manifest.Manifest) { w.count("keep %s", host) }

func (w *world) UserID(_ context.Context, host, name string) (uint32, error) {
	w.count("user %s on %s", name, host)
	return 0, fmt.Errorf("%s knows no user %q", host, name)
}

// scanned is a tree of which nothing has changed since the last scan.
type scanned struct {
	w    *world
	host string
}

func (s scanned) List(context.Context) (*manifest.Manifest, error) {
	s.w.count("list %s", s.host)
	m := &manifest.Manifest{Taken: s.w.trees[s.host].Taken, Entries: slices.Clone(s.w.trees[s.host].Entries)}
	for i := range m.Entries {
		m.Entries[i].Hash = manifest.Hash{}
	}
	return m, nil
}

func (s scanned) Hash(_ context.Context, paths []string) ([]manifest.Hash, error) {
	s.w.count("hash %s", s.host)
	return make([]manifest.Hash, len(paths)), nil
}

func (s scanned) Read(context.Context, string, int) ([]byte, error) {
	return nil, errors.New("is not read")
}

func (s scanned) Exists(_ context.Context, paths ...string) ([]bool, error) {
	return make([]bool, len(paths)), nil
}

func (s scanned) Checkouts(context.Context) ([]string, error) { return nil, nil }

func (s scanned) Git(context.Context, string, ...string) ([]byte, error) {
	return nil, errors.New("there is no git")
}

// journals are those of the world's runs.
type journals struct{ w *world }

func (j journals) Runs() ([]string, error) {
	j.w.count("runs")
	var runs []string
	for _, s := range j.w.runs {
		runs = append(runs, s.Plan.Run)
	}
	slices.Reverse(runs)
	return runs, nil
}

func (j journals) Read(run string) (*rollout.State, error) {
	j.w.count("journal %s", run)
	for _, s := range j.w.runs {
		if s.Plan.Run == run {
			return s, j.w.corrupt[run]
		}
	}
	return nil, errors.New("no such run")
}

// ran adds a run of a tree, in which the syncs of some hosts fail for good.
func (w *world) ran(t testing.TB, run string, m *manifest.Manifest, change func(*rollout.Request), failed ...string) {
	t.Helper()
	s, err := w.play(run, m, change, failed...)
	if err != nil {
		t.Fatal(err)
	}
	w.runs = append(w.runs, s)
}

func (w *world) play(run string, m *manifest.Manifest, change func(*rollout.Request), failed ...string) (*rollout.State, error) {
	r := rollout.Request{Run: run, Mode: inventory.ModeSync, MaxDelete: rsync.Unlimited, Keep: true, Tree: preflight.TreeOf(m, nil)}
	if change != nil {
		change(&r)
	}
	newPlan := rollout.NewPlan
	if r.Mode == rollout.ModeRollback {
		newPlan = rollout.NewRollback
	}
	plan, err := newPlan(w.fleet, w.policy.For(r.Mode), r)
	if err != nil {
		return nil, err
	}
	play := rollouttest.Play{Plan: plan, Do: func(step rollout.Step) (time.Duration, *rollout.Event) {
		if (step.Kind == rollout.StepSync || step.Kind == rollout.StepRollback) && slices.Contains(failed, step.Host) {
			return time.Second, rollouttest.Fail(rollout.Permanent, "no")
		}
		return time.Second, nil
	}}
	return play.Run()
}

func names(hosts []rollout.Host) []string {
	var names []string
	for _, h := range hosts {
		names = append(names, h.Name)
	}
	return names
}
