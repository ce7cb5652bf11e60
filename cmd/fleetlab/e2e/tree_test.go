//go:build linux

package e2e

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// tree is what a walk found below a folder, by path.
type tree map[string]entry

// entry is a file.
type entry struct {
	Synced string // what a sync reproduces: type, mode, content, link target, a regular file's mtime to the nanosecond
	Kept   string // what a rollback restores, too: a folder's mtime, and which files are hard links of one
}

func readTree(root string) (tree, error) {
	w := tree{}
	first := map[uint64]string{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		path := strings.TrimPrefix(strings.TrimPrefix(name, root), "/")
		e := entry{Synced: info.Mode().String()}
		switch {
		case d.IsDir():
			e.Kept = info.ModTime().UTC().String()
		case d.Type() == fs.ModeSymlink:
			var to string
			to, err = os.Readlink(name)
			e.Synced += " -> " + to
		case d.Type().IsRegular():
			var data []byte
			data, err = os.ReadFile(name)
			e.Synced += fmt.Sprintf(" %x %s", sha256.Sum256(data), info.ModTime().UTC())
			inode := info.Sys().(*syscall.Stat_t).Ino
			if _, is := first[inode]; !is {
				first[inode] = path
			}
			e.Kept = first[inode]
		}
		w[path] = e
		return err
	})
	return w, err
}

// differences says, sorted, how got differs from want; exact, also in what only a rollback restores.
func differences(want, got tree, exact bool) (wrong []string) {
	for name, e := range want {
		is, ok := got[name]
		switch {
		case !ok:
			wrong = append(wrong, fmt.Sprintf("%q is missing", name))
		case is.Synced != e.Synced || exact && is.Kept != e.Kept:
			wrong = append(wrong, fmt.Sprintf("%q is %v, not %v", name, is, e))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			wrong = append(wrong, fmt.Sprintf("%q should not be there", name))
		}
	}
	slices.Sort(wrong)
	return wrong
}

func wantTree(t *testing.T, what string, want, got tree, exact bool) {
	t.Helper()
	if wrong := differences(want, got, exact); len(wrong) > 0 {
		t.Errorf("%s: %d differences, such as\n%s", what, len(wrong), strings.Join(wrong[:min(len(wrong), 5)], "\n"))
	}
}

// TestWalk sees that the walk sees what it is trusted to see.
func TestWalk(t *testing.T) {
	t.Parallel()
	made := func(change string) tree {
		dir := t.TempDir()
		script := "mkdir a e; echo text >a/b; ln a/b a/c; ln -s b l; touch -d @1 a/b; " + change + "; touch -d @2 a e ."
		if out, err := shell(dir, script); err != nil {
			t.Fatal(err, out)
		}
		w, err := readTree(dir)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	one := made(":")
	wantTree(t, "the same", one, made(":"), true)
	for change, most := range map[string]bool{
		"echo tent >a/b; touch -d @1 a/b": true, "touch -d @1.000000001 a/b": true, "chmod 600 a/b": true, "rm a/c": true, "rmdir e": true,
		"touch e/f": true, "ln -sf c l": true, "chmod 700 e": true, "rm l; echo b >l": true,
		"rm a/c; cp -p a/b a/c": false, "touch -d @3 a": true,
	} {
		other := made(change)
		if change == "touch -d @3 a" { // undone by what follows it
			other["a"] = entry{one["a"].Synced, "another time"}
			most = false
		}
		if len(differences(one, other, most)) == 0 && len(differences(one, other, true)) == 0 {
			t.Errorf("%s: not seen", change)
		}
		if seen := len(differences(one, other, false)) > 0; seen != most {
			t.Errorf("%s: as a sync's %v, want %v", change, seen, most)
		}
	}
}
