package guard

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/fleetsync/fleetsync/orchestrator/manifest"
)

// look is a listing of a tree that can be compared with the tree once more.
type look struct {
	manifest *manifest.Manifest
	again    func(context.Context) error // ErrChanging if the tree is not what it was in the listing
}

// looker is a Tree that has a quicker way to look at all of it than List, Hash and List.
type looker interface {
	// look lists the tree. With hash, small files may have their hashes already, which mean nothing until again has
	// returned no error.
	look(ctx context.Context, hash bool) (look, error)
}

var _ looker = (*Local)(nil)

// lookAt looks at any tree.
func lookAt(ctx context.Context, t Tree, hash bool) (look, error) {
	if l, ok := t.(looker); ok {
		return l.look(ctx, hash)
	}
	m, err := t.List(ctx)
	if err != nil {
		return look{}, err
	}
	return look{m, func(ctx context.Context) error {
		again, err := t.List(ctx)
		if err != nil {
			return err
		}
		return same(m, again)
	}}, nil
}

func (l *Local) look(ctx context.Context, hash bool) (look, error) {
	w := &walk{local: l, hash: hash}
	if err := w.walk(ctx); err != nil {
		return look{}, err
	}
	return look{w.manifest(), w.again}, nil
}

// again sees what a second listing would see, at less than half the price: every file is asked for its times once more, but a
// folder is only read again if its own times say that names came or went in it, or are so new that they
// could not tell. That they say so is what inode(7) promises of every file system. A symlink cannot change but by being
// replaced, which is a change of its folder (symlink(7)).
func (w *walk) again(ctx context.Context) error {
	if w.local.hashed != nil {
		w.local.hashed()
	}
	root, err := openRoot(w.local.Root)
	if err != nil {
		return err
	}
	defer unix.Close(root) //nolint:errcheck // it was only read from
	all := w.visited()
	second := &walk{local: w.local, excluded: w.excluded}
	return share(len(all), func(claim func() (from, to int)) error {
		at := folder{root: root, fd: -1}
		defer at.close()
		r := newReader()
		for from, to := claim(); from < to; from, to = claim() {
			for _, v := range all[from:to] {
				if err := second.compare(ctx, &at, v, w.taken, r); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// compare is ErrChanging if a folder is not what it was in an earlier walk, which began when taken says.
func (w *walk) compare(ctx context.Context, at *folder, v *visited, taken int64, r *reader) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := at.enter(v.folder.Path); err != nil {
		return cannot("read", v.folder.Path, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(at.fd, &st); err != nil {
		return cannot("read", v.folder.Path, err)
	}
	is, err := entry(v.folder.Path, &st)
	switch {
	case err != nil:
		return err
	case is.Mode != v.folder.Mode:
		return changed(v.folder.Path)
	case is.Inode != v.folder.Inode || is.Device != v.folder.Device || is.Mtime != v.folder.Mtime || is.Ctime != v.folder.Ctime ||
		is.Ctime >= taken-int64(racy):
		now := visited{folder: is}
		if err := w.read(ctx, at, &now, r); err != nil {
			return err
		}
		return same(&manifest.Manifest{Entries: v.entries}, &manifest.Manifest{Entries: now.entries})
	}
	for i := range v.entries {
		was := &v.entries[i]
		if was.Type == manifest.Folder || was.Type == manifest.Symlink {
			continue // compared itself; cannot have changed
		}
		name := was.Path
		if v.folder.Path != "." {
			name = name[len(v.folder.Path)+1:]
		}
		if err := statAt(at.fd, name, &st); err != nil {
			return cannot("read", was.Path, err)
		}
		if is, err = entry(was.Path, &st); err != nil {
			return err
		}
		if differ(was, &is) {
			return changed(was.Path)
		}
	}
	return nil
}

func changed(path string) error { return fmt.Errorf("%s: %w", show(path), ErrChanging) }
