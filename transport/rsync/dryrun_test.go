package rsync_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/rsync"
	"github.com/fleetsync/fleetsync/transport/transporttest"
)

// thing is an entry of a random tree.
type thing struct {
	kind    byte // f, d or l
	content string
	mode    fs.FileMode
	mtime   int64 // nanoseconds; whole seconds for a symlink, because rsync compares no more of those
}

var things = rapid.Custom(func(t *rapid.T) map[string]thing {
	names := []string{"a", "b", "-c", "d d", "e\nf", `\#012`, `g\`, "\xff", "h\ti", "j\x7f", "*"}
	tree := map[string]thing{".": {kind: 'd', mode: 0o755, mtime: 1}}
	for range rapid.IntRange(0, 25).Draw(t, "entries") {
		folders := slices.DeleteFunc(slices.Sorted(maps.Keys(tree)), func(name string) bool {
			return tree[name].kind != 'd' || strings.Count(name, "/") > 2
		})
		name := filepath.Join(rapid.SampledFrom(folders).Draw(t, "in"), rapid.SampledFrom(names).Draw(t, "name"))
		if _, ok := tree[name]; ok {
			continue
		}
		one := thing{kind: rapid.SampledFrom([]byte("fffddl")).Draw(t, "kind")}
		one.mode = rapid.SampledFrom([]fs.FileMode{0o644, 0o600, 0o755}).Draw(t, "mode")
		one.mtime = int64(rapid.IntRange(1, 2).Draw(t, "seconds")) * 1e9
		switch one.kind {
		case 'd':
			one.mode |= 0o700
		case 'f':
			one.mtime += int64(rapid.IntRange(0, 1).Draw(t, "nanoseconds"))
			one.content = strings.Repeat("x", rapid.IntRange(0, 2).Draw(t, "size"))
		case 'l':
			one.mode = 0o777
			one.content = rapid.SampledFrom([]string{"nowhere", "a", "../.."}).Draw(t, "link")
		}
		tree[name] = one
	}
	return tree
})

// build makes a tree, in an empty folder or none.
func build(t *testing.T, dir string, tree map[string]thing) {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	must(os.RemoveAll(dir))
	names := slices.Sorted(maps.Keys(tree))
	slices.SortStableFunc(names, func(a, b string) int { return strings.Count(a, "/") - strings.Count(b, "/") })
	slices.SortStableFunc(names, func(a, b string) int {
		if a == "." {
			return -1
		}
		if b == "." {
			return 1
		}
		return 0
	})
	for _, name := range names {
		full := filepath.Join(dir, name)
		switch tree[name].kind {
		case 'd':
			must(os.MkdirAll(full, tree[name].mode))
		case 'f':
			must(os.WriteFile(full, []byte(tree[name].content), tree[name].mode))
		case 'l':
			must(os.Symlink(tree[name].content, full))
		}
	}
	slices.Reverse(names)
	for _, name := range names {
		full, ts := filepath.Join(dir, name), unix.NsecToTimespec(tree[name].mtime)
		if tree[name].kind != 'l' {
			must(os.Chmod(full, tree[name].mode))
		}
		must(unix.UtimesNanoAt(unix.AT_FDCWD, full, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW))
	}
}

// oracle compares two trees without asking rsync.
func oracle(src, dst map[string]thing) rsync.Delta {
	var d rsync.Delta
	top := map[string]rsync.TopDelta{}
	add := func(name string, f func(t *rsync.TopDelta)) {
		name, _, _ = strings.Cut(name, "/")
		one := top[name]
		one.Name = name
		f(&one)
		top[name] = one
	}
	for name, s := range src {
		o, ok := dst[name]
		switch {
		case !ok || o.kind != s.kind:
			d.Create++
			add(name, func(t *rsync.TopDelta) { t.Create++ })
			if s.kind == 'f' {
				d.Bytes += int64(len(s.content))
			}
		case s.mode != o.mode || s.content != o.content || s.mtime != o.mtime && s.kind != 'd':
			d.Change++
			add(name, func(t *rsync.TopDelta) { t.Change++ })
			if s.kind == 'f' && (s.content != o.content || s.mtime != o.mtime) {
				d.Bytes += int64(len(s.content))
			}
		}
	}
	for name := range dst {
		if _, ok := src[name]; !ok {
			d.Delete++
			add(name, func(t *rsync.TopDelta) { t.Delete++ })
			d.Deleted = append(d.Deleted, name)
		}
	}
	slices.Sort(d.Deleted)
	for _, name := range slices.Sorted(maps.Keys(top)) {
		d.Top = append(d.Top, top[name])
	}
	return d
}

// TestDryRun: what a dry run counts is what differs, and what the sync then does: it deletes exactly that many, and with one
// deletion less allowed it does not. Planted faults seen to fail it: no unescape, an escaped backslash not undone, folders
// that only have another mtime counted, no --modify-window, deletions of folders not counted, changed bytes not counted.
func TestDryRun(t *testing.T) {
	t.Parallel()
	src := t.TempDir() + "/tree"
	source := transporttest.StartRsyncd(t, "common", src)
	for seed := range 25 {
		from, to := things.Example(2*seed), things.Example(2*seed+1)
		for name, one := range from {
			// Some of both trees is the same, or nothing would be unchanged.
			if o, ok := to[name]; ok && seed%2 == 0 && o.kind == one.kind && len(name)%2 == 0 {
				to[name] = one
			}
		}
		from["t"], to["t"] = thing{kind: 'd', mode: 0o755, mtime: 1e9}, thing{kind: 'd', mode: 0o755, mtime: 2e9}
		p := here(t, source)
		build(t, src, from)
		build(t, p.Destination, to)
		want := oracle(from, to)
		got, err := rsync.DryRun(t.Context(), local, p, 1000)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
		if want.Delete > 0 {
			p.MaxDelete = want.Delete - 1
			_, err := rsync.Sync(t.Context(), local, p, rsync.Watch{})
			if e := (*transport.Error)(nil); !errors.As(err, &e) || e.Class != transport.ClassPermanent {
				t.Errorf("seed %d: one deletion less is allowed than needed: %v", seed, err)
			}
			build(t, p.Destination, to)
		}
		p.MaxDelete = want.Delete
		stats, err := rsync.Sync(t.Context(), local, p, rsync.Watch{})
		if err != nil || stats.Deleted != int64(want.Delete) || stats.Created != int64(want.Create) || stats.TransferredSize != want.Bytes {
			t.Errorf("seed %d: %+v, %v; expected %+v", seed, stats, err, want)
		}
		if got, err = rsync.DryRun(t.Context(), local, p, 0); err != nil || !cmp.Equal(got, rsync.Delta{}) {
			t.Errorf("seed %d: after the sync: %+v, %v", seed, got, err)
		}
	}
}

// A folder that goes, but for what is excluded in it, stays and is no deletion; rsync remarks on that among its items.
func TestDryRunKeepsExcluded(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	write(t, src, map[string]string{"a": "1"})
	p := here(t, transporttest.StartRsyncd(t, "common", src))
	p.Exclude = []string{"*.swp"}
	write(t, p.Destination, map[string]string{"old/x": "", "old/.y.swp": "", "e\nf/.z.swp": ""})
	got, err := rsync.DryRun(t.Context(), local, p, 5)
	if err != nil || got.Delete != 1 || !slices.Equal(got.Deleted, []string{"old/x"}) {
		t.Fatalf("%+v, %v", got, err)
	}
	p.MaxDelete = got.Delete
	if stats, err := rsync.Sync(t.Context(), local, p, rsync.Watch{}); err != nil || stats.Deleted != int64(got.Delete) {
		t.Errorf("%+v, %v", stats, err)
	}
}

func TestDryRunMakesNothing(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	write(t, src, map[string]string{"a": "1", "dir/b": "22", "x.swp": ""})
	p := here(t, transporttest.StartRsyncd(t, "common", src))
	p.Exclude, p.Backup = []string{"*.swp"}, p.Scratch+"/keep"
	p.Before, p.After = transport.Script{Text: "exit 9"}, transport.Script{Text: "exit 9"}
	p.MaxDelete = 0
	got, err := rsync.DryRun(t.Context(), local, p, 5)
	want := rsync.Delta{Create: 4, Bytes: 3, Top: []rsync.TopDelta{{".", 1, 0, 0}, {"a", 1, 0, 0}, {"dir", 2, 0, 0}}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if _, err := os.Stat(filepath.Dir(p.Destination)); err == nil {
		t.Error("a parent of the destination was made")
	}
	if _, err := os.Stat(p.Scratch); err == nil {
		t.Error("the scratch directory was made")
	}

	for i := range 5 {
		write(t, p.Destination, map[string]string{fmt.Sprintf("old/%d", i): ""})
	}
	p.Paths = []string{"old"}
	got, err = rsync.DryRun(t.Context(), local, p, 2)
	want = rsync.Delta{Delete: 6, Top: []rsync.TopDelta{{"old", 0, 0, 6}}, Deleted: []string{"old", "old/0"}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestDryRunLock(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	p := here(t, transporttest.StartRsyncd(t, "common", src))
	write(t, p.Destination, map[string]string{"x": ""})
	write(t, p.Scratch, map[string]string{"x": ""})
	f, err := os.Create(lockOf(p))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	for how, busy := range map[int]bool{syscall.LOCK_SH: false, syscall.LOCK_EX: true} {
		if err := syscall.Flock(int(f.Fd()), how); err != nil {
			t.Fatal(err)
		}
		_, err := rsync.DryRun(t.Context(), local, p, 0)
		var e *transport.Error
		if busy != (errors.As(err, &e) && e.Class == transport.ClassBusy) || !busy && err != nil {
			t.Errorf("another holds it for writing: %t; %v", busy, err)
		}
	}
	p.Source += "-not"
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	_, err = rsync.DryRun(t.Context(), local, p, 0)
	if e := (*transport.Error)(nil); !errors.As(err, &e) || e.Class != transport.ClassPermanent || !e.Source ||
		!strings.Contains(e.Message, "Unknown module") {
		t.Errorf("%#v", err)
	}
}

// TestRefused: a source that is asked first and says no is told apart from one that is gone, in its own words.
func TestRefused(t *testing.T) {
	t.Parallel()
	p := here(t, transporttest.StartRsyncd(t, "common", t.TempDir(),
		`pre-xfer exec = sh -c "echo 'tin may not be synced from: not provisioned'; exit 14"`))
	for name, do := range map[string]func() error{
		"sync":    func() error { _, err := rsync.Sync(t.Context(), local, p, rsync.Watch{}); return err },
		"dry run": func() error { _, err := rsync.DryRun(t.Context(), local, p, 0); return err },
	} {
		var e *transport.Error
		if err := do(); !errors.As(err, &e) || e.Class != transport.ClassTransient || !e.Source ||
			e.Message != "the source refuses to serve: tin may not be synced from: not provisioned" {
			t.Errorf("%s: %#v", name, err)
		}
	}
	p.Source = transporttest.StartRsyncd(t, "common", t.TempDir(), "pre-xfer exec = false")
	_, err := rsync.Sync(t.Context(), local, p, rsync.Watch{})
	if e := (*transport.Error)(nil); !errors.As(err, &e) || e.Class != transport.ClassTransient ||
		e.Message != "the source refuses to serve" {
		t.Errorf("%#v", err)
	}
}

// TestDryRunLeftovers: what a killed rsync has left is no deletion of anybody's.
//
// Seen to fail with the rule by which a sync deletes it.
func TestDryRunLeftovers(t *testing.T) {
	source := t.TempDir()
	write(t, source, map[string]string{"a/b": "1"})
	p := here(t, transporttest.StartRsyncd(t, "common", source))
	write(t, p.Destination, map[string]string{"a/b": "1", "a/.~tmp~/b": "2", ".~tmp~/c": "3", "gone": "4"})
	d, err := rsync.DryRun(t.Context(), local, p, 9)
	if err != nil || d.Delete != 1 || !slices.Equal(d.Deleted, []string{"gone"}) {
		t.Errorf("%+v, %v", d, err)
	}
}
