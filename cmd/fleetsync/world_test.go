package main

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/demo"
	"github.com/fleetsync/fleetsync/cmd/internal/testfleet"
	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/pooling/poolingtest"
	"github.com/fleetsync/fleetsync/transport"
)

// world is a fleet that is up, with its pool API in this process.
type world struct {
	*demo.Fleet
	Pools  *poolingtest.Server
	before map[string]string // the pool objects as they were when it came up
	env    []string

	watched bool // the race detector also sees what is only run to its end
}

// small are the options of a fleet that is up and synced in a second or two: canaries mw1017.eqiad and
// mw2017.codfw; proxies mw1019.eqiad, mw1020.eqiad and mw2020.codfw; ordinary hosts mw1018.eqiad,
// mw2018.codfw and mw2019.codfw.
func small() demo.Options {
	o := demo.Defaults()
	o.Hosts, o.Files, o.Soak, o.Drain = 8, 30, 200*time.Millisecond, 100*time.Millisecond
	return o
}

const (
	origin   = "mira.codfw.wmnet"
	comaster = "tin.eqiad.wmnet"
	proxy    = "mw1019.eqiad.wmnet" // whose objects hold another tool's fields
)

var (
	canaries = []string{"mw1017.eqiad.wmnet", "mw2017.codfw.wmnet"}
	proxies  = []string{proxy, "mw1020.eqiad.wmnet", "mw2020.codfw.wmnet"}
	ordinary = []string{"mw1018.eqiad.wmnet", "mw2018.codfw.wmnet", "mw2019.codfw.wmnet"}
)

// up brings a fleet up until the end of the test.
func up(t *testing.T, o demo.Options) *world {
	t.Helper()
	needPrograms(t)
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "fleet")
	}
	w, err := bringUp(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.close() }) // tests kill daemons
	return w
}

func bringUp(o demo.Options) (*world, error) {
	pools, err := poolingtest.NewServer()
	if err != nil {
		return nil, err
	}
	o.PoolAPI = pools.URL
	fleet, err := demo.Up(background, o)
	if err != nil {
		_ = pools.Close()
		return nil, err
	}
	w := &world{Fleet: fleet, Pools: pools}
	w.before = w.objects()
	return w, nil
}

func (w *world) close() error {
	err := w.Close()
	_ = w.Pools.Close()
	return err
}

// needPrograms skips the test where the real programs are missing, and fails it in CI.
func needPrograms(t *testing.T) {
	t.Helper()
	if err := transport.Missing("rsync", "flock"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

func (w *world) objects() map[string]string { return w.Pools.Etcd.Values("/conftool/v1/pools") }

// wantPools fails the test unless every pool object is what it was at first, byte for byte.
func (w *world) wantPools(t *testing.T) {
	t.Helper()
	if now := w.objects(); !maps.Equal(w.before, now) {
		for key, value := range w.before {
			if now[key] != value {
				t.Errorf("%s is %s, was %s", key, now[key], value)
			}
		}
		if len(now) != len(w.before) {
			t.Errorf("%d objects, were %d", len(now), len(w.before))
		}
	}
}

// out returns the hosts whose objects bear a run's marker.
func (w *world) out() []string {
	hosts := map[string]bool{}
	for key, value := range w.objects() {
		if strings.Contains(value, `"fleetsync"`) {
			hosts[filepath.Base(key)] = true
		}
	}
	return slices.Sorted(maps.Keys(hosts))
}

// edit replaces text in a file below the fleet's folder; it must be there.
func (w *world) edit(t *testing.T, file string, pairs ...string) {
	t.Helper()
	name := filepath.Join(w.Dir, file)
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		if !bytes.Contains(data, []byte(pairs[i])) {
			t.Fatalf("%s holds no %q:\n%s", file, pairs[i], data)
		}
		data = bytes.ReplaceAll(data, []byte(pairs[i]), []byte(pairs[i+1]))
	}
	write(t, name, string(data))
}

// write writes a file and makes the folders that it needs.
func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.RemoveAll(name); err != nil {
		t.Fatal(err)
	}
}

func (w *world) host(name string) string { return filepath.Join(w.Dir, "hosts", name) }

// tree returns where a host has its tree.
func (w *world) tree(name string) string {
	switch name {
	case origin:
		return w.Source
	case comaster:
		return filepath.Join(w.host(name), "srv", "mediawiki-staging")
	default:
		return filepath.Join(w.host(name), "srv", "mediawiki")
	}
}

// fleet returns what the inventory says.
func (w *world) fleet(t *testing.T) *inventory.Fleet {
	t.Helper()
	f, err := inventory.LoadFleet(w.Inventory)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// everybody returns the names of all hosts but the origin.
func (w *world) everybody(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, h := range w.fleet(t).Hosts {
		if h.Name != origin {
			names = append(names, h.Name)
		}
	}
	return names
}

// wantSynced fails the test unless the tree of every named host equals the source.
func (w *world) wantSynced(t *testing.T, hosts ...string) {
	t.Helper()
	want := walk(t, w.Source)
	for _, host := range hosts {
		wantTree(t, host, want, walk(t, w.tree(host)), false)
	}
}

// trees returns what every named host has.
func (w *world) trees(t *testing.T, hosts ...string) map[string]testfleet.Snapshot {
	t.Helper()
	all := map[string]testfleet.Snapshot{}
	for _, host := range hosts {
		all[host] = walk(t, w.tree(host))
	}
	return all
}

// wantUntouched fails the test unless the hosts have the very files that they had.
func (w *world) wantUntouched(t *testing.T, before map[string]testfleet.Snapshot, hosts ...string) {
	t.Helper()
	for _, host := range hosts {
		wantTree(t, host, before[host], walk(t, w.tree(host)), true)
	}
}

// hold makes the rsyncs of these hosts wait, before they do anything, until the function that it
// returns is called: a program that is found before the real one waits on a named pipe for each.
func (w *world) hold(t *testing.T, hosts ...string) (release func()) {
	t.Helper()
	rsync, err := exec.LookPath("rsync")
	if err != nil {
		t.Fatal(err)
	}
	bin, pipes := filepath.Join(w.Dir, "bin"), filepath.Join(w.Dir, "held")
	script := `#!/bin/sh
for destination; do if [ "$destination" = --dry-run ]; then exec ` + rsync + ` "$@"; fi; done   # the guard only asks
host=${destination#"` + filepath.Join(w.Dir, "hosts") + `/"}
pipe="` + pipes + `/${host%%/*}"
if [ -p "$pipe" ]; then : >"$pipe.waits"; : <"$pipe"; fi   # until somebody opens its other end
exec ` + rsync + ` "$@"
`
	write(t, filepath.Join(bin, "rsync"), script)
	if err := os.Chmod(filepath.Join(bin, "rsync"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(pipes, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, host := range hosts {
		if err := mkfifo(filepath.Join(pipes, host)); err != nil {
			t.Fatal(err)
		}
	}
	w.env = []string{"PATH=" + bin + ":" + os.Getenv("PATH")}
	return func() {
		for _, host := range hosts {
			// To open a named pipe for both never waits (Linux, fifo(7)).
			file, err := os.OpenFile(filepath.Join(pipes, host), os.O_RDWR, 0)
			if err != nil {
				t.Error(err)
				continue
			}
			t.Cleanup(func() { _ = file.Close() })
		}
	}
}

// awaitHeld waits until the rsync of a host that is held has begun to wait.
func (w *world) awaitHeld(t *testing.T, host string) {
	t.Helper()
	eventually(t, "the rsync of "+host+" waits", func() bool {
		_, err := os.Stat(filepath.Join(w.Dir, "held", host+".waits"))
		return err == nil
	})
}

// eventually waits for what no event tells.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !is() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// patience is how long a test waits for what should take moments, on a machine that is busy.
const patience = 2 * time.Minute
