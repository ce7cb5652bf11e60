package guard

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetsync/fleetsync/orchestrator/manifest"
)

// Local is a tree on this machine.
type Local struct {
	Root    string   // an absolute path; if it is a symlink, it is followed
	Exclude []string // patterns such as an inventory allows

	opened func(path string) // told of each file that is opened, for tests
}

var _ Tree = (*Local)(nil)

// List walks the tree, as many folders at a time as there are processors.
func (l *Local) List(ctx context.Context) (*manifest.Manifest, error) {
	w := &walk{excluded: manifest.Excluded(l.Exclude)}
	if err := w.walk(ctx, l.Root); err != nil {
		return nil, err
	}
	return w.manifest()
}

// Checkouts walks the tree too.
func (l *Local) Checkouts(ctx context.Context) ([]string, error) {
	// No pattern is asked about .git itself, and it is not walked.
	w := &walk{excluded: manifest.Excluded(l.Exclude), checkouts: true}
	if err := w.walk(ctx, l.Root); err != nil {
		return nil, err
	}
	var all []string
	for _, found := range w.found {
		for i := range found {
			all = append(all, found[i].Path)
		}
	}
	slices.Sort(all)
	return all, nil
}

// walk is one walk of a tree. Each worker takes a folder, adds the folders in it, and goes on until none is left and none is
// being read.
type walk struct {
	excluded  func(path string, folder bool) bool
	checkouts bool // only folders that hold a .git are found

	root  int
	found [][]manifest.Entry // by each worker
	taken int64

	mutex   sync.Mutex
	changed sync.Cond // folders or busy
	folders []string  // still to read
	busy    int       // workers that read one
	err     error     // the first
}

func (w *walk) walk(ctx context.Context, root string) error {
	w.taken = time.Now().UnixNano()
	fd, err := openRoot(root)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // it was only read from
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("%s: %w", root, err)
	}
	w.root = fd
	w.changed.L = &w.mutex
	w.folders = []string{"."}
	w.found = make([][]manifest.Entry, max(2, runtime.GOMAXPROCS(0)))
	if !w.checkouts {
		e, err := entry(".", &st)
		if err != nil {
			return err
		}
		w.found[0] = append(w.found[0], e)
	}
	var workers sync.WaitGroup
	for n := range w.found {
		workers.Go(func() { w.work(ctx, n) })
	}
	workers.Wait()
	return w.err
}

// openRoot opens the tree's folder.
func openRoot(root string) (int, error) {
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("cannot read the tree: %w", &os.PathError{Op: "open", Path: root, Err: err})
	}
	return fd, nil
}

// work reads folders until there are none. It goes on with a folder in the one that it has just read, if there is any, because
// that one is still open: in a tree that is very deep, to open each folder from the top would take for ever.
func (w *walk) work(ctx context.Context, n int) {
	var above *os.File
	var subfolders []string
	folder, more := w.next(ctx)
	for more {
		f, err := w.open(above, folder)
		if above != nil {
			_ = above.Close() // it was only read from
		}
		above = f
		if err == nil {
			subfolders, err = w.read(n, f, subfolders[:0])
		}
		folder, more = w.done(ctx, subfolders, err)
	}
	if above != nil {
		_ = above.Close()
	}
}

// next returns a folder that nobody has read, once there is one; or that there will be none.
func (w *walk) next(ctx context.Context) (string, bool) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.take(ctx)
}

// done takes what a worker found in its folder, and returns the next one for it: the last that it found, if any.
func (w *walk) done(ctx context.Context, subfolders []string, err error) (string, bool) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.folders = append(w.folders, subfolders...)
	w.busy--
	if w.err == nil {
		w.err = err
	}
	w.changed.Broadcast()
	return w.take(ctx)
}

// take is called with the mutex held.
func (w *walk) take(ctx context.Context) (string, bool) {
	for len(w.folders) == 0 && w.busy > 0 && w.err == nil {
		w.changed.Wait()
	}
	if w.err == nil {
		w.err = ctx.Err()
	}
	if len(w.folders) == 0 || w.err != nil {
		return "", false
	}
	folder := w.folders[len(w.folders)-1]
	w.folders = w.folders[:len(w.folders)-1]
	w.busy++
	return folder, true
}

// open opens a folder, from the one above it if that is at hand.
func (w *walk) open(above *os.File, folder string) (*os.File, error) {
	var fd int
	var err error
	if cut := strings.LastIndexByte(folder, '/'); above != nil && cut > 0 && above.Name() == folder[:cut] {
		fd, err = openAt(int(above.Fd()), folder[cut+1:], unix.O_RDONLY|unix.O_DIRECTORY)
	} else {
		fd, err = openBelow(w.root, folder, unix.O_RDONLY|unix.O_DIRECTORY)
	}
	if err != nil {
		return nil, cannot("read", folder, err)
	}
	return os.NewFile(uintptr(fd), folder), nil
}

// read adds what is in the folder to what the worker has found, and its folders to the slice.
func (w *walk) read(n int, f *os.File, subfolders []string) ([]string, error) {
	folder, fd := f.Name(), int(f.Fd())
	if w.checkouts {
		return w.readCheckout(n, f, subfolders)
	}
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, cannot("read", folder, cause(err))
	}
	var st unix.Stat_t
	for _, name := range names {
		path := name
		if folder != "." {
			path = folder + "/" + name
		}
		if err := statAt(fd, name, &st); err != nil {
			return nil, cannot("read", path, err)
		}
		isFolder := st.Mode&unix.S_IFMT == unix.S_IFDIR
		if w.excluded(path, isFolder) {
			continue
		}
		if isFolder {
			subfolders = append(subfolders, path)
		}
		e, err := entry(path, &st)
		if err != nil {
			return nil, err
		}
		if e.Type == manifest.Symlink {
			if e.Link, err = readLinkAt(fd, name); err != nil {
				return nil, cannot("read", path, err)
			}
		}
		w.found[n] = append(w.found[n], e)
	}
	return subfolders, nil
}

// readCheckout adds the folder itself if it is a checkout, and its folders to the slice. What is no folder it need not look at.
func (w *walk) readCheckout(n int, f *os.File, subfolders []string) ([]string, error) {
	folder := f.Name()
	entries, err := f.ReadDir(-1)
	if err != nil {
		return nil, cannot("read", folder, cause(err))
	}
	for _, e := range entries {
		path := e.Name()
		if folder != "." {
			path = folder + "/" + e.Name()
		}
		switch {
		case e.Name() == ".git":
			w.found[n] = append(w.found[n], manifest.Entry{Path: folder})
		case e.IsDir() && !w.excluded(path, true):
			subfolders = append(subfolders, path)
		}
	}
	return subfolders, nil
}

func (w *walk) manifest() (*manifest.Manifest, error) {
	m := &manifest.Manifest{Entries: slices.Concat(w.found...), Taken: w.taken}
	if err := m.Sort(); err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrChanging)
	}
	return m, nil
}

// entry returns what the system says of a path.
func entry(path string, st *unix.Stat_t) (manifest.Entry, error) {
	e := manifest.Entry{
		Path: path, Mode: st.Mode & 0o7777, Device: st.Dev, Inode: st.Ino,
		Links: uint32(st.Nlink), UID: st.Uid, GID: st.Gid, Blocks: st.Blocks,
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		e.Type, e.Size = manifest.File, st.Size
	case unix.S_IFDIR:
		e.Type = manifest.Folder
	case unix.S_IFLNK:
		e.Type = manifest.Symlink
	case unix.S_IFIFO:
		e.Type = manifest.Fifo
	case unix.S_IFSOCK:
		e.Type = manifest.Socket
	case unix.S_IFCHR:
		e.Type = manifest.CharDevice
	case unix.S_IFBLK:
		e.Type = manifest.BlockDevice
	default:
		return e, fmt.Errorf("%s is of a type that is not known", show(path))
	}
	var fits bool
	if e.Mtime, fits = nanoseconds(st.Mtim); !fits {
		return e, fmt.Errorf("%s has an mtime that is not between 1678 and 2262: set it with touch", show(path))
	}
	if e.Ctime, fits = nanoseconds(st.Ctim); !fits {
		return e, fmt.Errorf("%s has a ctime that is not between 1678 and 2262: the clock of this machine was wrong", show(path))
	}
	return e, nil
}

func nanoseconds(t unix.Timespec) (int64, bool) {
	const second = int64(time.Second)
	if t.Sec <= math.MinInt64/second || t.Sec >= math.MaxInt64/second {
		return 0, false
	}
	return t.Sec*second + t.Nsec, true
}

// chunk is how much of a path is opened at once: Linux takes up to 4095 bytes.
const chunk = 3000

// openBelow opens a path below an open folder, however long it is, and follows no symlink at its end.
func openBelow(root int, path string, flags int) (int, error) {
	from := root
	for {
		step, rest := path, ""
		if len(path) > chunk {
			// A component has at most 255 bytes.
			cut := strings.LastIndexByte(path[:chunk], '/')
			if cut <= 0 {
				return -1, unix.ENAMETOOLONG
			}
			step, rest = path[:cut], path[cut+1:]
		}
		how := flags
		if rest != "" {
			how = unix.O_RDONLY | unix.O_DIRECTORY
		}
		fd, err := openAt(from, step, how)
		if from != root {
			_ = unix.Close(from)
		}
		if err != nil || rest == "" {
			return fd, err
		}
		from, path = fd, rest
	}
}

func openAt(dir int, path string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(dir, path, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

func statAt(dir int, name string, st *unix.Stat_t) error {
	for {
		if err := unix.Fstatat(dir, name, st, unix.AT_SYMLINK_NOFOLLOW); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func readLinkAt(dir int, name string) (string, error) {
	b := make([]byte, 4096) // a target has at most 4095 bytes
	n, err := unix.Readlinkat(dir, name, b)
	if err != nil {
		return "", err
	}
	return string(b[:n]), nil
}

// cause returns the system's number without the path, which would be named unquoted.
func cause(err error) error {
	if number := syscall.Errno(0); errors.As(err, &number) {
		return number
	}
	return errors.New(neutral(err.Error()))
}

// cannot says what could not be done. What is not what it was in the listing has changed since.
func cannot(what, path string, err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENXIO) {
		return fmt.Errorf("%s: %w", show(path), ErrChanging)
	}
	return fmt.Errorf("cannot %s %s: %w", what, show(path), err)
}

// Hash reads as many files at a time as there are processors.
func (l *Local) Hash(ctx context.Context, paths []string) ([]manifest.Hash, error) {
	root, err := openRoot(l.Root)
	if err != nil {
		return nil, err
	}
	defer unix.Close(root) //nolint:errcheck // it was only read from
	hashes := make([]manifest.Hash, len(paths))
	const run = 32 // files next to each other, which a worker takes at once: most are in one folder
	var next atomic.Int64
	var failed atomic.Bool
	errs := make([]error, max(2, runtime.GOMAXPROCS(0)))
	var workers sync.WaitGroup
	for n := range errs {
		workers.Go(func() {
			buffer := make([]byte, 256<<10)
			f := folder{root: root, fd: -1}
			defer f.close()
			for {
				from := int(next.Add(run) - run)
				if from >= len(paths) {
					return
				}
				for i := from; i < min(from+run, len(paths)); i++ {
					if failed.Load() {
						return
					}
					if hashes[i], errs[n] = l.hash(ctx, &f, paths[i], buffer); errs[n] != nil {
						failed.Store(true)
						return
					}
				}
			}
		})
	}
	workers.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return hashes, nil
}

// folder opens one file after another, and keeps the folder of the last one open.
type folder struct {
	root int
	path string
	fd   int // of the path; -1 if there is none
}

func (f *folder) open(path string) (int, error) {
	cut := strings.LastIndexByte(path, '/')
	if cut < 0 {
		return openAt(f.root, path, unix.O_RDONLY)
	}
	if f.fd < 0 || f.path != path[:cut] {
		f.close()
		fd, err := openBelow(f.root, path[:cut], unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return -1, err
		}
		f.path, f.fd = path[:cut], fd
	}
	return openAt(f.fd, path[cut+1:], unix.O_RDONLY)
}

func (f *folder) close() {
	if f.fd >= 0 {
		_ = unix.Close(f.fd) // it was only read from
		f.fd = -1
	}
}

func (l *Local) hash(ctx context.Context, f *folder, path string, buffer []byte) (manifest.Hash, error) {
	var none manifest.Hash
	if l.opened != nil {
		l.opened(path)
	}
	fd, err := f.open(path)
	if err != nil {
		return none, cannot("read", path, err)
	}
	defer unix.Close(fd) //nolint:errcheck // it was only read from
	var before, after unix.Stat_t
	if err := unix.Fstat(fd, &before); err != nil {
		return none, cannot("read", path, err)
	}
	if before.Mode&unix.S_IFMT != unix.S_IFREG {
		return none, fmt.Errorf("%s: %w", show(path), ErrChanging)
	}
	h := sha256.New()
	// Up to the size it has, because a read that only sees the end costs as much as one of a small file.
	for left := before.Size; left > 0; {
		if err := ctx.Err(); err != nil {
			return none, err
		}
		n, err := unix.Read(fd, buffer[:min(left, int64(len(buffer)))])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return none, cannot("read", path, err)
		case n == 0:
			return none, fmt.Errorf("%s: %w", show(path), ErrChanging)
		}
		h.Write(buffer[:n])
		left -= int64(n)
	}
	if err := unix.Fstat(fd, &after); err != nil {
		return none, cannot("read", path, err)
	}
	if before.Size != after.Size || before.Mtim != after.Mtim || before.Ctim != after.Ctim {
		return none, fmt.Errorf("%s: %w", show(path), ErrChanging)
	}
	return manifest.Hash(h.Sum(nil)), nil
}

// Read does not follow a symlink at the end of the path.
func (l *Local) Read(_ context.Context, path string, most int) ([]byte, error) {
	root, err := openRoot(l.Root)
	if err != nil {
		return nil, err
	}
	defer unix.Close(root) //nolint:errcheck // it was only read from
	fd, err := openBelow(root, path, unix.O_RDONLY)
	if err != nil {
		return nil, cannot("read", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close() //nolint:errcheck // it was only read from
	b, err := io.ReadAll(io.LimitReader(f, int64(most)))
	if err != nil {
		return nil, cannot("read", path, cause(err))
	}
	return b, nil
}

// Exists does not follow a symlink at the end of a path.
func (*Local) Exists(_ context.Context, paths ...string) ([]bool, error) {
	all := make([]bool, len(paths))
	for i, path := range paths {
		_, err := os.Lstat(path)
		switch {
		case err == nil:
			all[i] = true
		case errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR):
		default:
			return nil, cannot("look at", path, cause(err))
		}
	}
	return all, nil
}

// Git runs in a process group of its own.
func (l *Local) Git(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = filepath.Join(l.Root, dir)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GIT_") }), "LC_ALL=C", "GIT_TERMINAL_PROMPT=0")
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &limited{buffer: &stderr, most: 1000}
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if said := strings.TrimSpace(stderr.String()); said != "" {
			return nil, fmt.Errorf("git: %w: %s", err, neutral(said))
		}
		return nil, fmt.Errorf("git: %w", err)
	}
	return stdout.Bytes(), nil
}

// limited keeps the beginning of what is written to it.
type limited struct {
	buffer *bytes.Buffer
	most   int
}

func (l *limited) Write(b []byte) (int, error) {
	l.buffer.Write(b[:min(len(b), l.most-l.buffer.Len())])
	return len(b), nil
}
