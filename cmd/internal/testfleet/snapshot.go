package testfleet

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Snapshot is all that a tree on this machine is, by path. It shares no code with what syncs trees, keeps them and puts
// them back, so that it can judge that.
type Snapshot map[string]Entry

// Entry is all that a file, a folder or a symlink is.
type Entry struct {
	// Synced is what a sync reproduces: type, permissions, owner, a file's content and time in nanoseconds, a link's target.
	Synced string
	// Undone is what an undo restores besides: the time of a folder, which whatever else is in it changes; that of a
	// link, which rsync leaves within a second (measured, 3.5.0); which paths are one file.
	Undone string
	// File is which file of its disk it is: another one has been written anew.
	File uint64
}

// TakeSnapshot reads a tree. One that does not exist is empty. What leaveOut says is not in it, nor what is below that; nil
// leaves nothing out.
func TakeSnapshot(root string, leaveOut func(path string, folder bool) bool) (Snapshot, error) {
	s, links := Snapshot{}, map[uint64]string{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			if name == root && errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		path, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		if leaveOut != nil && leaveOut(path, d.IsDir()) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		stat := info.Sys().(*syscall.Stat_t) // Linux
		time := fmt.Sprint(info.ModTime().UnixNano())
		e := Entry{Synced: fmt.Sprintf("%v %d:%d", info.Mode(), stat.Uid, stat.Gid), Undone: time, File: stat.Ino}
		switch {
		case d.Type() == fs.ModeSymlink:
			link, err := os.Readlink(name)
			if err != nil {
				return err
			}
			e.Synced += fmt.Sprintf(" -> %q", link)
		case d.Type().IsRegular():
			sum, err := sumOf(name)
			if err != nil {
				return err
			}
			if _, known := links[stat.Ino]; !known {
				links[stat.Ino] = path
			}
			e.Synced += fmt.Sprintf(" %s %x", time, sum)
			e.Undone = "is " + links[stat.Ino]
		}
		s[path] = e
		return nil
	})
	return s, err
}

func sumOf(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // only read
	h := sha256.New()
	_, err = io.Copy(h, file)
	return h.Sum(nil), err
}

// Differ returns the paths that are not the same in both, sorted. They may be other files.
func (s Snapshot) Differ(other Snapshot) []string {
	return s.differ(other, func(e Entry) Entry { return Entry{Synced: e.Synced, Undone: e.Undone} })
}

// DifferSynced returns the paths in which a sync has left a difference, sorted.
func (s Snapshot) DifferSynced(other Snapshot) []string {
	return s.differ(other, func(e Entry) Entry { return Entry{Synced: e.Synced} })
}

// DifferTouched returns the paths that a sync has changed or written anew, sorted.
func (s Snapshot) DifferTouched(other Snapshot) []string {
	return s.differ(other, func(e Entry) Entry { return Entry{Synced: e.Synced, File: e.File} })
}

func (s Snapshot) differ(other Snapshot, of func(Entry) Entry) []string {
	paths := map[string]bool{}
	for path, e := range s {
		if of(other[path]) != of(e) {
			paths[path] = true
		}
	}
	for path := range other {
		if _, ok := s[path]; !ok {
			paths[path] = true
		}
	}
	return slices.Sorted(maps.Keys(paths))
}

// Tell says of up to ten paths what they were to be, and what they are.
func Tell(paths []string, want, is Snapshot) string {
	var b strings.Builder
	for i, path := range paths {
		if i == 10 {
			_, _ = fmt.Fprintf(&b, "and %d more\n", len(paths)-i)
			break
		}
		_, _ = fmt.Fprintf(&b, "%q is %v, not %v\n", path, is[path], want[path])
	}
	return b.String()
}
