package chaos

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/demo"
	"github.com/fleetsync/fleetsync/cmd/internal/testfleet"
)

// world is a fleet that is up, a real etcd with its pools, and two masters to run it from.
type world struct {
	*demo.Fleet
	etcd  *etcd
	here  *master // runs what is killed
	other *master // comes after it
	hosts []string
	pools map[string]string // the objects as they were first
	story []string          // what was done, for when it went wrong

	known map[string]bool // runs of which the name was seen
}

// master is a place to run the program from: a state folder, a host name and a way to etcd.
type master struct {
	*world
	name   string // host name; empty: this machine's
	config string
	state  string
	front  *front
}

// small are the options of a fleet of 2 canaries, 2 proxies and 2 ordinary hosts.
func small() demo.Options {
	o := demo.Defaults()
	o.Hosts, o.Proxies, o.Files, o.Soak, o.Drain = 6, 2, 40, 100*time.Millisecond, 50*time.Millisecond
	return o
}

// newWorld brings a fleet up until the end of the test. pairs is what to replace in the policy.
func newWorld(t *testing.T, o demo.Options, pairs ...string) *world {
	t.Helper()
	fleetsync(t)
	e := newEtcd(t)
	w := &world{etcd: e, known: map[string]bool{}}
	dir := t.TempDir()
	here, other := newFront(t, e), newFront(t, e)
	o.Dir, o.PoolAPI = filepath.Join(dir, "fleet"), here.URL
	fleet, err := demo.Up(background, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fleet.Close() }) // all that is asked of it has been
	w.Fleet = fleet
	w.here = &master{world: w, config: fleet.Config, state: filepath.Join(fleet.Dir, "state"), front: here}
	w.other = &master{world: w, config: filepath.Join(fleet.Dir, "other.yaml"), state: filepath.Join(fleet.Dir, "other-state"),
		front: other, name: otherName()}
	text := read(t, fleet.Config)
	for _, pair := range append([][2]string{
		{"threshold:", "timeout: 2s\n  threshold:"}, {"interval: 500ms", "interval: 100ms"}, {"batches:", "lock: {ttl: 5s}\nbatches:"},
	}, twos(pairs)...) {
		if !strings.Contains(text, pair[0]) {
			t.Fatalf("the policy holds no %q:\n%s", pair[0], text)
		}
		text = strings.Replace(text, pair[0], pair[1], 1)
	}
	write(t, fleet.Config, text)
	write(t, w.other.config, strings.NewReplacer(here.URL, other.URL, w.here.state, w.other.state).Replace(text))
	entries, err := os.ReadDir(filepath.Join(fleet.Dir, "hosts"))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), "mw") {
			w.hosts = append(w.hosts, entry.Name())
		}
	}
	w.pools = e.pools(t)
	if len(w.pools) == 0 {
		t.Fatal("no pool objects")
	}
	return w
}

func twos(pairs []string) (all [][2]string) {
	for i := 0; i+1 < len(pairs); i += 2 {
		all = append(all, [2]string{pairs[i], pairs[i+1]})
	}
	return all
}

// otherName is the host name of the other master, if we may give one.
func otherName() string {
	if os.Geteuid() == 0 {
		return "other.example"
	}
	return "" // the state folder, too, says that a run is another master's
}

// tell adds to the story.
func (w *world) tell(format string, args ...any) {
	w.story = append(w.story, fmt.Sprintf(format, args...))
}

// fail fails the test with the whole story.
func (w *world) fail(t *testing.T, format string, args ...any) {
	t.Helper()
	lines := append([]string{fmt.Sprintf(format, args...)}, w.story...)
	for name, front := range map[string]*front{"here": w.here.front, "other": w.other.front} {
		lines = append(lines, "asked of etcd from "+name+":")
		lines = append(lines, front.said()...)
	}
	lines = append(lines, "in etcd:")
	for _, path := range []string{poolsPrefix, sharedPrefix} {
		keys := w.etcd.keys(t, path)
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			lines = append(lines, key+" = "+keys[key])
		}
	}
	t.Error(strings.Join(lines, "\n"))
}

// wantPools fails the test unless every pool object is what it was at first, byte for byte.
func (w *world) wantPools(t *testing.T, when string) {
	t.Helper()
	now := w.etcd.pools(t)
	if maps.Equal(w.pools, now) {
		return
	}
	for key, value := range w.pools {
		if now[key] != value {
			w.fail(t, "%s: %s is %s, was %s", when, key, now[key], value)
			return
		}
	}
	w.fail(t, "%s: %d objects, were %d", when, len(now), len(w.pools))
}

// wantClean fails the test unless nothing of any run is left: in the pools, in the store, running.
func (w *world) wantClean(t *testing.T) {
	t.Helper()
	w.wantPools(t, "at the end")
	if left := w.etcd.left(t); len(left) > 0 {
		w.fail(t, "left in etcd: %v", slices.Sorted(maps.Keys(left)))
	}
	if !eventually(10*time.Second, func() bool { return len(w.transfers(t)) == 0 }) {
		w.fail(t, "still running: %v", w.transfers(t))
	}
}

// out says whether any object bears a run's marker.
func (w *world) out(t *testing.T) bool {
	for _, value := range w.etcd.pools(t) {
		if strings.Contains(value, `"fleetsync"`) {
			return true
		}
	}
	return false
}

// tree returns where a host has its tree.
func (w *world) tree(host string) string {
	return filepath.Join(w.Dir, "hosts", host, "srv", "mediawiki")
}

// spoil makes a host one that cannot be synced, and returns what makes it whole again.
func (w *world) spoil(t *testing.T, host string) (mend func()) {
	t.Helper()
	dir := w.tree(host)
	if err := os.Rename(dir, dir+".kept"); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "a file where a folder should be")
	return func() {
		if err := errors.Join(os.RemoveAll(dir), os.Rename(dir+".kept", dir)); err != nil {
			t.Fatal(err)
		}
	}
}

// transfers returns the processes that write some host's destination.
func (w *world) transfers(t *testing.T) map[int]string {
	t.Helper()
	all, err := testfleet.Processes(w.Dir)
	if err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(all, func(_ int, line string) bool { return !strings.Contains(line, "--delete-delay") })
	return all
}

// snapshot returns what is in a tree.
func snapshot(t *testing.T, root string) testfleet.Snapshot {
	t.Helper()
	s, err := testfleet.TakeSnapshot(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
