package main

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// entry is all that a sync is to reproduce of a file. The modification times of directories are no
// part of it: whatever else is on a host changes them. Nor are those of symbolic links: rsync leaves
// a link that it made within the second of its source's time as it is (measured, 3.5.0).
type entry struct {
	mode  fs.FileMode // type and permissions
	sum   [sha256.Size]byte
	link  string
	mtime int64 // nanoseconds; of regular files
}

// tree is a directory tree: what a sync reproduces, and which files they are on this disk.
type tree struct {
	entries map[string]entry
	inodes  map[string]uint64
}

func walk(t *testing.T, root string) tree {
	t.Helper()
	w, err := readTree(root)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func readTree(root string) (tree, error) {
	w := tree{entries: map[string]entry{}, inodes: map[string]uint64{}}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		e := entry{mode: info.Mode()}
		switch {
		case d.Type() == fs.ModeSymlink:
			e.link, err = os.Readlink(name)
		case d.Type().IsRegular():
			var data []byte
			data, err = os.ReadFile(name)
			e.sum, e.mtime = sha256.Sum256(data), info.ModTime().UnixNano()
		}
		relative := strings.TrimPrefix(strings.TrimPrefix(name, root), "/")
		w.entries[relative] = e
		w.inodes[relative] = info.Sys().(*syscall.Stat_t).Ino
		return err
	})
	return w, err
}

// wantTree compares trees; with same, they must also be the very same files.
func wantTree(t *testing.T, what string, want, got tree, same bool) {
	t.Helper()
	if wrong := differences(want, got, same); len(wrong) > 0 {
		t.Errorf("%s: %d differences, such as\n%s", what, len(wrong), strings.Join(wrong[:min(len(wrong), 10)], "\n"))
	}
}

// differences says, sorted, how got differs from want.
func differences(want, got tree, same bool) (wrong []string) {
	for name, e := range want.entries {
		is, ok := got.entries[name]
		switch {
		case !ok:
			wrong = append(wrong, name+" is missing")
		case is != e:
			wrong = append(wrong, fmt.Sprintf("%s is %v %x %q %d, want %v %x %q %d", name, is.mode, is.sum[:4], is.link, is.mtime, e.mode, e.sum[:4], e.link, e.mtime))
		case same && got.inodes[name] != want.inodes[name]:
			wrong = append(wrong, name+" has been written anew")
		}
	}
	for name := range got.entries {
		if _, ok := want.entries[name]; !ok {
			wrong = append(wrong, name+" should not be there")
		}
	}
	slices.Sort(wrong)
	return wrong
}

// changed returns the names of what differs between two trees, sorted.
func changed(a, b tree) []string {
	names := map[string]bool{}
	for name, e := range a.entries {
		if b.entries[name] != e {
			names[name] = true
		}
	}
	for name := range b.entries {
		if _, ok := a.entries[name]; !ok {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// The walker must see what it is trusted to see.
func TestWalkSeesEveryDifference(t *testing.T) {
	t.Parallel()
	made := func(change func(dir string)) tree {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "a/b"), "text")
		if err := os.Symlink("a/b", filepath.Join(dir, "l")); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Utimes(filepath.Join(dir, "a/b"), []syscall.Timeval{{Sec: 1}, {Sec: 1}}); err != nil {
			t.Fatal(err)
		}
		change(dir)
		return walk(t, dir)
	}
	want := made(func(string) {})
	for what, change := range map[string]func(dir string) error{
		"content":   func(d string) error { return rewrite(filepath.Join(d, "a/b"), "txet") },
		"mode":      func(d string) error { return os.Chmod(filepath.Join(d, "a/b"), 0o600) },
		"directory": func(d string) error { return os.Chmod(filepath.Join(d, "a"), 0o700) },
		"time": func(d string) error {
			return syscall.Utimes(filepath.Join(d, "a/b"), []syscall.Timeval{{Sec: 2}, {Sec: 2}})
		},
		"more": func(d string) error { return os.Mkdir(filepath.Join(d, "a/c"), 0o755) },
		"less": func(d string) error { return os.Remove(filepath.Join(d, "a/b")) },
		"link": func(d string) error {
			_ = os.Remove(filepath.Join(d, "l"))
			return os.Symlink("a/x", filepath.Join(d, "l"))
		},
		"type": func(d string) error {
			_ = os.Remove(filepath.Join(d, "l"))
			return os.Mkdir(filepath.Join(d, "l"), 0o755)
		},
	} {
		got := made(func(dir string) {
			if err := change(dir); err != nil {
				t.Fatal(err)
			}
		})
		if len(changed(want, got)) == 0 {
			t.Errorf("a change of %s is not seen", what)
		}
	}
	if names := changed(want, made(func(string) {})); len(names) > 0 {
		t.Errorf("equal trees differ: %s", names)
	}
}

// rewrite changes a file's content and keeps its time.
func rewrite(name, text string) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		return err
	}
	return os.Chtimes(name, info.ModTime(), info.ModTime())
}
