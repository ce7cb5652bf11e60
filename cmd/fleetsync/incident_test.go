package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The day that this program was written for, played act by act on a fleet with two masters: everything refuses; forced
// through with every override, everything comes back to the last byte and nanosecond. The replay holds each tree
// against its own snapshots after every act; the test holds the pools against the store and, from the first full sync
// to the last rollback, every host against a walker of its own.
//
// Seen to fail with: a may-serve that always agrees; a run and a master sync from serve: false; no budget of deletions; a
// confirmation that takes any number; a master sync that counts as the last good run; canaries that stay as they are after a
// failed gate; an undo without the times of folders, or without hard links; a folder that rsync had to leave taken for a
// difference; a status that calls the tree of a run that was taken back the newest.
func TestIncident20160202(t *testing.T) {
	t.Parallel()
	needPrograms(t)
	fleetsync, err := shipped()
	if err != nil {
		t.Fatal(err)
	}
	o := small()
	o.Hosts, o.Proxies, o.Files, o.KeepAll, o.Program = 4, 1, incidentFiles, true, fleetsync
	o.Soak, o.Drain = 20*time.Millisecond, 0
	w := up(t, o)
	var said bytes.Buffer
	a := &app{getenv: os.Getenv, exit: func(int) { t.Error("it does not wait for its end") }, name: fleetsync}
	r, err := newReplay(a, w.Fleet, &said)
	if err != nil {
		t.Fatal(err)
	}
	defer r.pools.Close()
	hosts := slices.DeleteFunc(w.everybody(t), func(name string) bool { return name == comaster })
	good, act := map[string]tree{}, 0
	err = r.play(t.Context(), func(title string, _ int, failed error) error {
		act++
		if w.wantPools(t); t.Failed() {
			t.Errorf("that was act %d: %s", act, title)
		}
		switch {
		case failed != nil:
		case act == 1:
			good = w.trees(t, append(hosts, origin, comaster)...)
		case strings.HasPrefix(title, "Every host still holds"):
			for name, was := range good {
				if name != comaster { // which has been reimaged by hand
					wantTree(t, name, was, walk(t, w.tree(name)), false)
				}
			}
		case strings.HasPrefix(title, "Masters do not differ"):
			wantTree(t, comaster, good[comaster], walk(t, w.tree(comaster)), false)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	if act != len(r.acts()) {
		t.Errorf("%d acts were seen", act)
	}
	for _, code := range []string{"(exit code 0)", "(exit code 14)", "(exit code 4)"} {
		if !strings.Contains(said.String(), code) {
			t.Errorf("no act ended with %s", code)
		}
	}
	if wrong := unclean(said.String()); wrong != "" {
		t.Error(wrong)
	}
	if left := w.transfers(t); len(left) > 0 {
		t.Errorf("still running: %v", left)
	}
}

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
	made := func(change func(dir string)) snapshot {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "a/b"), "text")
		write(t, filepath.Join(dir, "a/same"), "text")
		must(os.Link(filepath.Join(dir, "a/b"), filepath.Join(dir, "a/b2")))
		must(os.Symlink("a/b", filepath.Join(dir, "l")))
		must(os.Mkdir(filepath.Join(dir, "empty"), 0o755))
		change(dir)
		for _, name := range []string{"a/b", "a/same", "a", "empty", "."} {
			if info, err := os.Lstat(filepath.Join(dir, name)); err == nil && info.ModTime().Unix() > 5 {
				at(filepath.Join(dir, name), 1, 1)
			}
		}
		s, err := takeSnapshot(dir, nil)
		must(err)
		delete(s, "l")
		if info, err := os.Lstat(filepath.Join(dir, "l")); err == nil { // the time of a link cannot be set so
			link, _ := os.Readlink(filepath.Join(dir, "l"))
			s["l"] = info.Mode().String() + link
		}
		return s
	}
	want := made(func(string) {})
	if paths := want.differ(made(func(string) {})); len(paths) > 0 {
		t.Errorf("equal trees differ: %s", paths)
	}
	for what, change := range map[string]func(dir string){
		"content":          func(d string) { write(t, filepath.Join(d, "a/b"), "txet") },
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
			write(t, filepath.Join(d, "a/b2"), "text")
			at(filepath.Join(d, "a/b2"), 1, 1)
		},
		"two files, not one": func(d string) {
			must(os.Remove(filepath.Join(d, "a/same")))
			must(os.Link(filepath.Join(d, "a/b"), filepath.Join(d, "a/same")))
		},
	} {
		if is := made(change); len(want.differ(is)) == 0 || len(is.differ(want)) == 0 {
			t.Errorf("a change of %s is not seen", what)
		}
	}
	none, err := takeSnapshot(filepath.Join(t.TempDir(), "none"), nil)
	if err != nil || !maps.Equal(none, snapshot{}) {
		t.Errorf("of no tree: %v, %v", none, err)
	}
}
