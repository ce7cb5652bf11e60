package testfleet

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// The replay must see what it is trusted to see.
func TestSnapshotSeesEveryDifference(t *testing.T) {
	t.Parallel()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string, seconds, nanoseconds int64) {
		t.Helper()
		ts := []syscall.Timespec{{Sec: seconds, Nsec: nanoseconds}, {Sec: seconds, Nsec: nanoseconds}}
		must(syscall.UtimesNano(name, ts))
	}
	write := func(name, text string) {
		t.Helper()
		must(os.MkdirAll(filepath.Dir(name), 0o755))
		must(os.WriteFile(name, []byte(text), 0o644))
	}
	made := func(change func(dir string)) Snapshot {
		dir := t.TempDir()
		write(filepath.Join(dir, "a/b"), "text")
		write(filepath.Join(dir, "a/same"), "text")
		must(os.Link(filepath.Join(dir, "a/b"), filepath.Join(dir, "a/b2")))
		must(os.Symlink("a/b", filepath.Join(dir, "l")))
		must(os.Mkdir(filepath.Join(dir, "empty"), 0o755))
		change(dir)
		for _, name := range []string{"a/b", "a/same", "a", "empty", "."} {
			if info, err := os.Lstat(filepath.Join(dir, name)); err == nil && info.ModTime().Unix() > 5 {
				at(filepath.Join(dir, name), 1, 1)
			}
		}
		s, err := TakeSnapshot(dir, nil)
		must(err)
		s["l"] = Entry{Synced: s["l"].Synced, File: s["l"].File} // the time of a link cannot be set so
		return s
	}
	want := made(func(string) {})
	if paths := want.Differ(made(func(string) {})); len(paths) > 0 {
		t.Errorf("equal trees differ: %s", paths)
	}
	undone := []string{"time of a folder", "time of the tree", "one file, not two", "two files, not one"}
	for what, change := range map[string]func(dir string){
		"content":          func(d string) { write(filepath.Join(d, "a/b"), "txet") },
		"mode":             func(d string) { must(os.Chmod(filepath.Join(d, "a/b"), 0o600)) },
		"set-group-id":     func(d string) { must(os.Chmod(filepath.Join(d, "empty"), 0o755|os.ModeSetgid)) },
		"time":             func(d string) { at(filepath.Join(d, "a/b"), 1, 2) },
		"time of a folder": func(d string) { at(filepath.Join(d, "empty"), 2, 1) },
		"time of the tree": func(d string) { at(d, 2, 1) },
		"more":             func(d string) { must(os.Mkdir(filepath.Join(d, "a/c"), 0o755)) },
		"less":             func(d string) { must(os.Remove(filepath.Join(d, "empty"))) },
		"link":             func(d string) { must(os.Remove(filepath.Join(d, "l"))); must(os.Symlink("a/x", filepath.Join(d, "l"))) },
		"type":             func(d string) { must(os.Remove(filepath.Join(d, "l"))); must(os.Mkdir(filepath.Join(d, "l"), 0o755)) },
		"one file, not two": func(d string) {
			must(os.Remove(filepath.Join(d, "a/b2")))
			write(filepath.Join(d, "a/b2"), "text")
			at(filepath.Join(d, "a/b2"), 1, 1)
		},
		"two files, not one": func(d string) {
			must(os.Remove(filepath.Join(d, "a/same")))
			must(os.Link(filepath.Join(d, "a/b"), filepath.Join(d, "a/same")))
		},
	} {
		if is := made(change); len(want.Differ(is)) == 0 || len(is.Differ(want)) == 0 {
			t.Errorf("a change of %s is not seen", what)
		} else if synced := len(want.DifferSynced(is)) == 0; synced != slices.Contains(undone, what) {
			t.Errorf("a change of %s is one that a sync leaves: %v", what, synced)
		}
	}
	same := snapshot(t, t.TempDir())
	if len(same.DifferTouched(same)) > 0 || len(same.DifferTouched(snapshot(t, t.TempDir()))) == 0 {
		t.Error("what was written anew is not told from what was not")
	}
	none, err := TakeSnapshot(filepath.Join(t.TempDir(), "none"), nil)
	if err != nil || !maps.Equal(none, Snapshot{}) {
		t.Errorf("of no tree: %v, %v", none, err)
	}
}
