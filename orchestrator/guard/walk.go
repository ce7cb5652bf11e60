package guard

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetsync/fleetsync/orchestrator/manifest"
)

// List walks the tree, as many folders at a time as there are processors.
func (l *Local) List(ctx context.Context) (*manifest.Manifest, error) {
	w := walk{local: l}
	if err := w.walk(ctx); err != nil {
		return nil, err
	}
	return w.manifest(), nil
}

// Checkouts walks the tree too.
func (l *Local) Checkouts(ctx context.Context) ([]string, error) {
	// No pattern is asked about .git itself, and it is not walked.
	w := walk{local: l, checkouts: true}
	if err := w.walk(ctx); err != nil {
		return nil, err
	}
	var all []string
	for _, v := range w.visited() {
		if v.checkout {
			all = append(all, v.folder.Path)
		}
	}
	slices.Sort(all)
	return all, nil
}

// walk is one walk of a tree. Each worker takes a folder, adds the folders in it, and goes on until none is left and none is
// being read.
type walk struct {
	local     *Local
	checkouts bool // only folders are found, and which of them hold a .git
	hash      bool // small files are hashed as they are found

	excluded func(path string, folder bool) bool
	root     int
	top      *visited
	taken    int64
	seen     [][]*visited // by each worker, in the order in which it read them

	mutex   sync.Mutex
	changed sync.Cond  // folders or busy
	folders []*visited // still to read
	busy    int        // workers that read one
	err     error      // the first
}

// visited is a folder of a walk.
type visited struct {
	folder   manifest.Entry
	entries  []manifest.Entry // what is in it, sorted by path; see manifest for those that are folders
	below    []*visited       // those, sorted as if each path ended with a slash
	checkout bool
}

func (w *walk) walk(ctx context.Context) error {
	w.taken = time.Now().UnixNano()
	w.excluded = manifest.ExcludedHere(w.local.Exclude)
	root, err := openRoot(w.local.Root)
	if err != nil {
		return err
	}
	defer unix.Close(root) //nolint:errcheck // it was only read from
	w.root, w.top = root, &visited{folder: manifest.Entry{Path: ".", Type: manifest.Folder}}
	if !w.checkouts {
		var st unix.Stat_t
		if err := unix.Fstat(root, &st); err != nil {
			return fmt.Errorf("%s: %w", w.local.Root, err)
		}
		if w.top.folder, err = entry(".", &st); err != nil {
			return err
		}
	}
	w.changed.L = &w.mutex
	w.folders = []*visited{w.top}
	w.seen = make([][]*visited, max(2, runtime.GOMAXPROCS(0)))
	var workers sync.WaitGroup
	for n := range w.seen {
		workers.Go(func() { w.work(ctx, n) })
	}
	workers.Wait()
	return w.err
}

// work reads folders until there are none. It goes on with a folder in the one that it has just read, if there is any, because
// that one is still open: in a tree that is very deep, to open each folder from the top would take for ever.
func (w *walk) work(ctx context.Context, n int) {
	at := folder{root: w.root, fd: -1}
	defer at.close()
	r := newReader()
	v, more := w.next(ctx)
	for more {
		err := at.enter(v.folder.Path)
		if err != nil {
			err = cannot("read", v.folder.Path, err)
		} else {
			err = w.read(ctx, &at, v, r)
		}
		w.seen[n] = append(w.seen[n], v)
		v, more = w.done(ctx, v, err)
	}
}

// next returns a folder that nobody has read, once there is one; or that there will be none.
func (w *walk) next(ctx context.Context) (*visited, bool) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.take(ctx)
}

// done takes what a worker found in its folder, and returns the next one for it: one of those that it found, if any.
func (w *walk) done(ctx context.Context, v *visited, err error) (*visited, bool) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.folders = append(w.folders, v.below...)
	w.busy--
	if w.err == nil {
		w.err = err
	}
	w.changed.Broadcast()
	return w.take(ctx)
}

// take is called with the mutex held.
func (w *walk) take(ctx context.Context) (*visited, bool) {
	for len(w.folders) == 0 && w.busy > 0 && w.err == nil {
		w.changed.Wait()
	}
	if w.err == nil {
		w.err = ctx.Err()
	}
	if len(w.folders) == 0 || w.err != nil {
		return nil, false
	}
	v := w.folders[len(w.folders)-1]
	w.folders = w.folders[:len(w.folders)-1]
	w.busy++
	return v, true
}

// visited returns all folders that were read.
func (w *walk) visited() []*visited { return slices.Concat(w.seen...) }

// reader is what a worker needs again and again to read folders and files.
type reader struct {
	names   []byte
	entries []manifest.Entry
	content contentReader
}

func newReader() *reader {
	return &reader{names: make([]byte, 32<<10), content: newContentReader()}
}

// read reads the folder that is open.
func (w *walk) read(ctx context.Context, at *folder, v *visited, r *reader) error {
	r.entries = r.entries[:0]
	if err := eachName(at.fd, r.names, v.folder.Path, func(path, name string, kind byte) error {
		if w.checkouts {
			return w.found(at.fd, v, path, name, kind)
		}
		e, here, err := w.entry(ctx, at.fd, path, name, kind, r)
		if err == nil && here {
			r.entries = append(r.entries, e)
			if e.Type == manifest.Folder {
				v.below = append(v.below, &visited{folder: e})
			}
		}
		return err
	}); err != nil {
		return err
	}
	v.entries = slices.Clone(r.entries) // no larger than it must be: they are kept until the end of the scan
	slices.SortFunc(v.entries, func(a, b manifest.Entry) int { return strings.Compare(a.Path, b.Path) })
	for i := 1; i < len(v.entries); i++ {
		if v.entries[i].Path == v.entries[i-1].Path {
			return fmt.Errorf("%s comes twice: %w", show(v.entries[i].Path), ErrChanging)
		}
	}
	slices.SortFunc(v.below, func(a, b *visited) int { return compareBelow(a.folder.Path, b.folder.Path, true) })
	return nil
}

// most is how many files of one folder are hashed as they are found. The others of a large folder are hashed by all workers.
const most = 256

// entry returns what a path is, and whether it is one of the tree.
func (w *walk) entry(ctx context.Context, dir int, path, name string, kind byte, r *reader) (e manifest.Entry, here bool, err error) {
	var st unix.Stat_t
	if w.hash && kind == unix.DT_REG && len(r.entries) < most {
		if w.excluded(path, false) {
			return e, false, nil
		}
		if e, err = w.hashFound(ctx, dir, path, name, &st, r); err != nil {
			return e, false, err
		}
		// It may have become something else since the folder was read.
		return e, e.Type == manifest.File || !w.excluded(path, e.Type == manifest.Folder), nil
	}
	if err := statAt(dir, name, &st); err != nil {
		return e, false, cannot("read", path, err)
	}
	if w.excluded(path, st.Mode&unix.S_IFMT == unix.S_IFDIR) {
		return e, false, nil
	}
	if e, err = entry(path, &st); err == nil && e.Type == manifest.Symlink {
		e.Link, err = r.content.link(dir, path, name)
	}
	return e, true, err
}

// hashFound returns what a file is, with its hash if it is small and has no other name; a small one is never mostlyHoles. What
// it is before and after it is read need not be compared here: it is looked at once more when all files have been read.
func (w *walk) hashFound(ctx context.Context, dir int, path, name string, st *unix.Stat_t, r *reader) (manifest.Entry, error) {
	if w.local.opened != nil {
		w.local.opened(path)
	}
	fd, err := openAt(dir, name, unix.O_RDONLY)
	if err != nil {
		return manifest.Entry{}, cannot("read", path, err)
	}
	defer unix.Close(fd) //nolint:errcheck // it was only read from
	if err := unix.Fstat(fd, st); err != nil {
		return manifest.Entry{}, cannot("read", path, err)
	}
	e, err := entry(path, st)
	if err == nil && e.Type == manifest.File && e.Links == 1 && e.Size <= contentBuffer {
		e.Hash, err = r.content.hash(ctx, fd, path, e.Size)
	}
	return e, err
}

// found notes that the folder is a checkout, or the folder in it.
func (w *walk) found(dir int, v *visited, path, name string, kind byte) error {
	if name == ".git" {
		v.checkout = true
		return nil
	}
	if kind == unix.DT_UNKNOWN { // not every file system tells (getdents(2))
		var st unix.Stat_t
		switch err := statAt(dir, name, &st); {
		case errors.Is(err, unix.ENOENT):
		case err != nil:
			return cannot("read", path, err)
		case st.Mode&unix.S_IFMT == unix.S_IFDIR:
			kind = unix.DT_DIR
		}
	}
	if kind == unix.DT_DIR && !w.excluded(path, true) {
		v.below = append(v.below, &visited{folder: manifest.Entry{Path: path, Type: manifest.Folder}})
	}
	return nil
}

// eachName calls do for whatever is in an open folder, until that returns an error. The kind is what the file system tells of
// it, DT_UNKNOWN if it does not.
func eachName(fd int, buffer []byte, folder string, do func(path, name string, kind byte) error) error {
	prefix := folder + "/"
	if folder == "." {
		prefix = ""
	}
	for {
		n, err := unix.Getdents(fd, buffer)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return cannot("read", folder, err)
		case n <= 0:
			return nil
		}
		// struct linux_dirent64 (getdents(2)): an inode and an offset of eight bytes each, the length of all in two, the kind in
		// one, and the name up to a NUL.
		for rest := buffer[:n]; len(rest) > 0; {
			length := binary.NativeEndian.Uint16(rest[16:])
			kind, name := rest[18], rest[19:length]
			rest = rest[length:]
			name = name[:bytes.IndexByte(name, 0)]
			if string(name) == "." || string(name) == ".." {
				continue
			}
			path := prefix + string(name)
			if err := do(path, path[len(prefix):], kind); err != nil {
				return err
			}
		}
	}
}

// manifest returns what was found. Nothing has to be compared across folders for that: what is below a folder comes where its
// path with a slash behind it would, among what is beside it.
func (w *walk) manifest() *manifest.Manifest {
	total := 1
	for _, v := range w.visited() {
		total += len(v.entries)
	}
	m := &manifest.Manifest{Entries: append(make([]manifest.Entry, 0, total), w.top.folder), Taken: w.taken}
	var add func(v *visited)
	add = func(v *visited) {
		rest := v.entries
		for _, b := range v.below {
			n := 0
			for n < len(rest) && compareBelow(rest[n].Path, b.folder.Path, false) < 0 {
				n++
			}
			m.Entries = append(m.Entries, rest[:n]...)
			rest = rest[n:]
			add(b)
		}
		m.Entries = append(m.Entries, rest...)
	}
	add(w.top)
	return m
}

// compareBelow compares a path, with a slash behind it if slash says so, with another one that has a slash behind it.
func compareBelow(path, other string, slash bool) int {
	n := min(len(path), len(other))
	if c := strings.Compare(path[:n], other[:n]); c != 0 {
		return c
	}
	end := func(s string, slash bool) int {
		switch {
		case len(s) > n:
			return int(s[n])
		case slash:
			return '/'
		}
		return -1
	}
	return end(path, slash) - end(other, true)
}
