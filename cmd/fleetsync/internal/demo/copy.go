package demo

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// copyTree copies a directory to one that does not exist. Nothing is shared with the original, hard
// links become files of their own, and whoever made the copy may write all of it. Set-uid bits are not copied.
func copyTree(ctx context.Context, from, to string) error {
	from, err := filepath.EvalSymlinks(from)
	if err != nil {
		return err
	}
	return filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		relative, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		return copyEntry(name, filepath.Join(to, relative), d)
	})
}

func copyEntry(from, to string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	switch d.Type() {
	case 0:
		file, err := os.Open(from)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }() // nothing was written
		return write(to, file, info.Mode().Perm()|0o200, info.ModTime())
	case fs.ModeDir:
		if err := os.Mkdir(to, 0o700); err != nil {
			return err
		}
		return os.Chmod(to, info.Mode().Perm()|0o700)
	case fs.ModeSymlink:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	default:
		return fmt.Errorf("%s is neither a file, a directory nor a symbolic link", from)
	}
}
