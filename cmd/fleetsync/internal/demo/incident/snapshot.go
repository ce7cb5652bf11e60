package incident

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
	"syscall"
)

// snapshot is all that a tree on this machine is: of every path its type, permissions, owner, time in nanoseconds,
// content or link, and which paths are one file. It shares no code with what keeps trees and puts them back, which
// it judges.
type snapshot map[string]string

// takeSnapshot reads a tree. One that does not exist is empty. What is left out is not in it, nor what is below that.
func takeSnapshot(root string, leaveOut func(path string, folder bool) bool) (snapshot, error) {
	s, links := snapshot{}, map[uint64]string{}
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
		text := fmt.Sprintf("%v %d:%d %d", info.Mode(), stat.Uid, stat.Gid, info.ModTime().UnixNano())
		switch {
		case d.Type() == fs.ModeSymlink:
			link, err := os.Readlink(name)
			if err != nil {
				return err
			}
			text += fmt.Sprintf(" -> %q", link)
		case d.Type().IsRegular():
			sum, err := sumOf(name)
			if err != nil {
				return err
			}
			text += fmt.Sprintf(" %x", sum)
			if first, ok := links[stat.Ino]; ok {
				text += fmt.Sprintf(" = %q", first)
			} else {
				links[stat.Ino] = path
			}
		}
		s[path] = text
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

// differ returns the paths that are not the same in both, sorted.
func (s snapshot) differ(other snapshot) []string {
	paths := map[string]bool{}
	for path, text := range s {
		if other[path] != text {
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
