package demo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// listing returns what is in a tree, by path: type, mode, content or target, and a file's time.
func listing(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		entry := info.Mode().String()
		switch d.Type() {
		case 0:
			data, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			entry += fmt.Sprintf(" %d %s", info.ModTime().UnixNano(), data)
		case fs.ModeSymlink:
			target, err := os.Readlink(name)
			if err != nil {
				return err
			}
			entry += " " + target
		}
		relative, err := filepath.Rel(dir, name)
		all[relative] = entry
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func wantListing(t *testing.T, got, want map[string]string) {
	t.Helper()
	for path, entry := range want {
		if got[path] != entry {
			t.Errorf("%q: %.60q, want %.60q", path, got[path], entry)
		}
	}
	for path := range got {
		if _, ok := want[path]; !ok {
			t.Errorf("%q is too much", path)
		}
	}
}

var emptyFile = regexp.MustCompile(`^-[rwx-]+ [0-9]+ $`)

// Seen to fail with a link whose target is not in the tree.
func TestGenerate(t *testing.T) {
	for _, n := range []int{1, 2, 5, 17, 18, 1000} {
		one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
		start := time.Now()
		if err := generate(t.Context(), n, false, one); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d files in %v", n, time.Since(start))
		if err := generate(t.Context(), n, false, two); err != nil {
			t.Fatal(err)
		}
		tree := listing(t, one)
		wantListing(t, listing(t, two), tree)
		files, size := 0, 0
		kinds := map[string]int{}
		for path, entry := range tree {
			switch entry[0] {
			case '-':
				files++
				size += len(entry)
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
				"executable": strings.HasPrefix(entry, "-rwx"),
				"space":      strings.Contains(path, " "),
				"non-ASCII":  strings.ContainsFunc(path, func(r rune) bool { return r > 127 }),
				"deep":       strings.Count(path, "/") > 8,
				"large":      len(entry) > 500_000,
				"empty file": entry[0] == '-' && emptyFile.MatchString(entry),
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

func TestGenerateStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := generate(ctx, 100, false, filepath.Join(t.TempDir(), "tree")); !errors.Is(err, context.Canceled) {
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
	if err := generate(t.Context(), 60, true, from); err != nil {
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
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Chmod(folder, 0o755) }) // or nobody but root could remove it
	before := listing(t, from)
	if err := copyTree(t.Context(), link, to); err != nil {
		t.Fatal(err)
	}
	want := listing(t, from)
	for path, entry := range want {
		entry = strings.Replace(entry, "-r--r--r--", "-rw-r--r--", 1)
		want[path] = strings.Replace(entry, "dr-xr-xr-x", "drwxr-xr-x", 1)
	}
	wantListing(t, listing(t, to), want)

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
	wantListing(t, listing(t, from), before)

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
		if err := generate(t.Context(), 200, true, dir); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		before := listing(t, one)
		edited, err := Edit(one, 50)
		if err != nil {
			t.Fatal(err)
		}
		after := listing(t, one)
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
