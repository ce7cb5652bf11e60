package rsync

import (
	"fmt"
	"path"
	"strings"

	"github.com/fleetsync/fleetsync/transport"
)

// Validate tells what is wrong with p, or nil.
func (p Pull) Validate() error {
	parts := strings.Split(strings.TrimRight(p.Source, "/"), "/")
	if !strings.HasPrefix(p.Source, "rsync://") || transport.HasControl(p.Source) || len(parts) != 4 {
		return fmt.Errorf("source %q: must be rsync://ADDRESS[:PORT]/MODULE", p.Source)
	}
	for what, dir := range map[string]string{"destination": p.Destination, "scratch": p.Scratch} {
		if !path.IsAbs(dir) || path.Clean(dir) == "/" || strings.ContainsRune(dir, 0) {
			return fmt.Errorf("%s %q: must be an absolute path below the root", what, dir)
		}
		if path.Clean(dir) != dir {
			return fmt.Errorf("%s %q: must be written as %q", what, dir, path.Clean(dir))
		}
	}
	// A scratch directory inside would be deleted: the source does not have it.
	if p.Scratch == p.Destination || strings.HasPrefix(p.Scratch, p.Destination+"/") {
		return fmt.Errorf("scratch %q: must not be inside the destination %q", p.Scratch, p.Destination)
	}
	if b := p.Backup; b != "" {
		if !path.IsAbs(b) || path.Clean(b) != b || strings.ContainsRune(b, 0) {
			return fmt.Errorf("backup %q: must be a clean absolute path", b)
		}
		// It would be backed up and deleted itself.
		if b == p.Destination || strings.HasPrefix(b, p.Destination+"/") {
			return fmt.Errorf("backup %q: must not be inside the destination %q", b, p.Destination)
		}
		if strings.HasPrefix(p.Destination, b+"/") {
			return fmt.Errorf("backup %q: the destination %q must not be inside", b, p.Destination)
		}
	}
	if err := p.Before.Validate(); err != nil {
		return fmt.Errorf("%s: %w", scriptBefore, err)
	}
	if err := p.After.Validate(); err != nil {
		return fmt.Errorf("%s: %w", scriptAfter, err)
	}
	if p.MaxDelete < Unlimited {
		return fmt.Errorf("at most %d deletions: must be 0 or more, or %d for any number", p.MaxDelete, Unlimited)
	}
	if p.Paths == nil {
		return nil
	}
	if len(p.Paths) == 0 {
		return fmt.Errorf("no paths to sync: name some, or none at all for the whole tree")
	}
	for _, name := range p.Paths {
		if err := validPath(name); err != nil {
			return err
		}
	}
	for _, a := range p.Args {
		// It would delete everything outside the paths, because that is what excludes it.
		if a == "--delete-excluded" {
			return fmt.Errorf("rsync argument %q: cannot be used with a subset of paths", a)
		}
	}
	return nil
}

func validPath(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("path %q: must not be empty", name)
	case strings.HasPrefix(name, "/"):
		return fmt.Errorf("path %q: must be relative to the tree", name)
	case strings.ContainsAny(name, "\x00\n\r"):
		return fmt.Errorf("path %q: must hold neither NUL nor the end of a line", name)
	case len(name) > 2000:
		return fmt.Errorf("path %.40q…: longer than rsync takes", name) // a rule is bounded by MAXPATHLEN (exclude.c)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return fmt.Errorf("path %q: must not hold %q", name, "..")
		}
	}
	return nil
}
