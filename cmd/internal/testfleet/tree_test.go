package testfleet

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func snapshot(t *testing.T, dir string) Snapshot {
	t.Helper()
	s, err := TakeSnapshot(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func wantSynced(t *testing.T, got, want Snapshot) {
	t.Helper()
	if paths := want.DifferSynced(got); len(paths) > 0 {
		t.Errorf("%d paths differ:\n%s", len(paths), Tell(paths, want, got))
	}
}

// Seen to fail with a link whose target is not in the tree.
func TestGenerate(t *testing.T) {
	for _, n := range []int{1, 2, 5, 17, 18, 1000} {
		one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
		start := time.Now()
		if err := (Tree{Files: n}).Make(t.Context(), one); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d files in %v", n, time.Since(start))
		if err := (Tree{Files: n}).Make(t.Context(), two); err != nil {
			t.Fatal(err)
		}
		tree := snapshot(t, one)
		wantSynced(t, snapshot(t, two), tree)
		files, size := 0, int64(0)
		kinds := map[string]int{}
		for path, entry := range tree {
			info, err := os.Lstat(filepath.Join(one, path))
			if err != nil {
				t.Fatal(err)
			}
			regular := info.Mode().IsRegular()
			switch entry.Synced[0] {
			case '-':
				files++
				size += info.Size()
			case 'L':
				kinds["link"]++
				if _, err := os.Stat(filepath.Join(one, path)); err != nil {
					t.Errorf("a link dangles: %v", err)
				}
			case 'd':
				if entries, _ := os.ReadDir(filepath.Join(one, path)); len(entries) == 0 {
					kinds["empty folder"]++
				}
			}
			for kind, is := range map[string]bool{
				"executable": strings.HasPrefix(entry.Synced, "-rwx"),
				"space":      strings.Contains(path, " "),
				"non-ASCII":  strings.ContainsFunc(path, func(r rune) bool { return r > 127 }),
				"deep":       strings.Count(path, "/") > 8,
				"large":      regular && info.Size() > 500_000,
				"empty file": regular && info.Size() == 0,
			} {
				if is {
					kinds[kind]++
				}
			}
		}
		if files != n {
			t.Errorf("%d files, want %d", files, n)
		}
		if n >= len(firstFiles) {
			for _, kind := range []string{"link", "empty folder", "executable", "space", "non-ASCII", "deep", "large", "empty file"} {
				if kinds[kind] == 0 {
					t.Errorf("of %d files: no %s", n, kind)
				}
			}
		}
		if v, err := version(one); err != nil || v != "1.27.0-wmf.11" {
			t.Errorf("of %d files: version %q %v", n, v, err)
		}
		t.Logf("%d bytes, %v", size, kinds)
	}
}

// A tree of files of one size holds what no compression makes much smaller, and is always the same.
func TestBytes(t *testing.T) {
	const files, size = 300, 2048
	one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
	for _, dir := range []string{one, two} {
		if err := (Tree{Files: files, Bytes: size}).Make(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
	}
	tree := snapshot(t, one)
	wantSynced(t, snapshot(t, two), tree)
	var all bytes.Buffer
	pack := gzip.NewWriter(&all)
	for path, entry := range tree {
		if entry.Synced[0] != '-' {
			continue
		}
		data, err := os.ReadFile(filepath.Join(one, path))
		if err != nil {
			t.Fatal(err)
		}
		if len(data) != size && path != Versions {
			t.Errorf("%s has %d bytes", path, len(data))
		}
		_, _ = pack.Write(data)
	}
	if err := pack.Close(); err != nil || all.Len() < files*size*9/10 {
		t.Errorf("%v: %d bytes when they are compressed", err, all.Len())
	}
	if v, err := version(one); err != nil || v != "1.27.0-wmf.11" {
		t.Errorf("version %q %v", v, err)
	}
}

func TestGenerateStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (Tree{Files: 100}).Make(ctx, filepath.Join(t.TempDir(), "tree")); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := copyTree(ctx, t.TempDir(), filepath.Join(t.TempDir(), "tree")); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Seen to fail with a copy of hard links to the original.
func TestCopyTree(t *testing.T) {
	dir := t.TempDir()
	from, link, to := filepath.Join(dir, "from"), filepath.Join(dir, "link"), filepath.Join(dir, "to")
	if err := (Tree{Files: 60, Excluded: true}).Make(t.Context(), from); err != nil {
		t.Fatal(err)
	}
	file, folder := filepath.Join(from, "wikiversions.php"), filepath.Join(from, "docroot", "wikipedia.org")
	for _, err := range []error{
		os.Symlink(from, link),
		os.Link(file, filepath.Join(from, "hard link")),
		os.Symlink("nowhere", filepath.Join(from, "dangling")),
		os.Symlink("/etc", filepath.Join(from, "absolute")),
		os.Chmod(file, 0o444),
		os.Chmod(folder, 0o555),
		os.Chmod(filepath.Join(from, php, "maintenance", "run.sh"), 0o755|fs.ModeSetuid),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Chmod(folder, 0o755) }) // or nobody but root could remove it
	before := snapshot(t, from)
	if err := copyTree(t.Context(), link, to); err != nil {
		t.Fatal(err)
	}
	want := snapshot(t, from)
	for path, entry := range want {
		entry.Synced = strings.Replace(entry.Synced, "-r--r--r--", "-rw-r--r--", 1)
		entry.Synced = strings.Replace(entry.Synced, "urwxr-xr-x", "-rwxr-xr-x", 1)
		entry.Synced = strings.Replace(entry.Synced, "dr-xr-xr-x", "drwxr-xr-x", 1)
		want[path] = entry
	}
	wantSynced(t, snapshot(t, to), want)

	// Whatever becomes of the copy, the original stays: no file is one that the original has.
	original := map[uint64]bool{}
	for path := range before {
		original[inode(t, filepath.Join(from, path))] = true
	}
	for path := range before {
		if original[inode(t, filepath.Join(to, path))] {
			t.Errorf("%q is shared with the original", path)
		}
	}
	if edited, err := Edit(to, 40); err != nil || len(edited) != 40 {
		t.Fatal(edited, err)
	}
	wantSynced(t, snapshot(t, from), before)

	if err := syscall.Mkfifo(filepath.Join(from, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := copyTree(t.Context(), from, filepath.Join(dir, "again")); err == nil || !strings.Contains(err.Error(), "pipe") {
		t.Errorf("a pipe: %v", err)
	}
}

func inode(t *testing.T, name string) uint64 {
	t.Helper()
	info, err := os.Lstat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Ino
}

func TestEdit(t *testing.T) {
	one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
	for _, dir := range []string{one, two} {
		if err := (Tree{Files: 200, Excluded: true}).Make(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		before := snapshot(t, one)
		edited, err := Edit(one, 50)
		if err != nil {
			t.Fatal(err)
		}
		after := snapshot(t, one)
		changed := map[string]bool{}
		for path, entry := range before {
			if after[path] != entry {
				changed[path] = true
			}
		}
		for _, path := range edited {
			if !changed[path] || strings.Contains(path, ".git") || strings.HasSuffix(path, ".swp") || strings.HasSuffix(path, ".cdb") {
				t.Errorf("%q: changed %v", path, changed[path])
			}
		}
		if len(edited) != 50 || len(changed) != 50 || len(after) != len(before) {
			t.Errorf("%d edited, %d changed, %d entries of %d", len(edited), len(changed), len(after), len(before))
		}
		again, err := Edit(two, 50)
		if err != nil || strings.Join(again, "\n") != strings.Join(edited, "\n") {
			t.Errorf("other files in the same tree: %v", err)
		}
	}
	for _, n := range []int{-1, 201} {
		if _, err := Edit(one, n); err == nil {
			t.Errorf("%d files of 200 were edited", n)
		}
	}
}
