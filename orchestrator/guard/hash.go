package guard

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/fleetsync/fleetsync/orchestrator/manifest"
)

// Hash reads as many files at a time as there are processors.
func (l *Local) Hash(ctx context.Context, paths []string) ([]manifest.Hash, error) {
	root, err := openRoot(l.Root)
	if err != nil {
		return nil, err
	}
	defer unix.Close(root) //nolint:errcheck // it was only read from
	hashes := make([]manifest.Hash, len(paths))
	err = share(len(paths), func(claim func() (from, to int)) error {
		f := folder{root: root, fd: -1}
		defer f.close()
		r := newContentReader()
		for from, to := claim(); from < to; from, to = claim() {
			for i := from; i < to; i++ {
				var err error
				if hashes[i], err = l.hash(ctx, &f, paths[i], &r); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return hashes, nil
}

// share runs as many workers as there are processors, and waits for them. Each claims one run of the numbers below n after
// another; after the first error there are none left to claim.
func share(n int, work func(claim func() (from, to int)) error) error {
	const run = 32 // next to each other: most are in one folder
	var next atomic.Int64
	var failed atomic.Bool
	claim := func() (int, int) {
		from := int(next.Add(run) - run)
		if from >= n || failed.Load() {
			return n, n
		}
		return from, min(from+run, n)
	}
	errs := make([]error, max(2, runtime.GOMAXPROCS(0)))
	var workers sync.WaitGroup
	for i := range errs {
		workers.Go(func() {
			if errs[i] = work(claim); errs[i] != nil {
				failed.Store(true)
			}
		})
	}
	workers.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// folder is a folder of a tree that is open, and the place from which the next one is opened.
type folder struct {
	root int
	path string
	fd   int // of the path; -1 if there is none
}

// enter opens another folder: from this one if it is in it, else from the top of the tree.
func (f *folder) enter(path string) error {
	if f.fd >= 0 && f.path == path {
		return nil
	}
	var fd int
	var err error
	if cut := strings.LastIndexByte(path, '/'); f.fd >= 0 && cut > 0 && f.path == path[:cut] {
		fd, err = openAt(f.fd, path[cut+1:], unix.O_RDONLY|unix.O_DIRECTORY)
	} else {
		fd, err = openBelow(f.root, path, unix.O_RDONLY|unix.O_DIRECTORY)
	}
	f.close()
	if err != nil {
		return err
	}
	f.path, f.fd = path, fd
	return nil
}

// open opens a file, and keeps its folder open for the next one.
func (f *folder) open(path string) (int, error) {
	cut := strings.LastIndexByte(path, '/')
	if cut < 0 {
		return openAt(f.root, path, unix.O_RDONLY)
	}
	if err := f.enter(path[:cut]); err != nil {
		return -1, err
	}
	return openAt(f.fd, path[cut+1:], unix.O_RDONLY)
}

func (f *folder) close() {
	if f.fd >= 0 {
		_ = unix.Close(f.fd) // it was only read from
		f.fd = -1
	}
}

func (l *Local) hash(ctx context.Context, f *folder, path string, r *contentReader) (manifest.Hash, error) {
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
	h, err := r.hash(ctx, fd, path, before.Size)
	if err != nil {
		return none, err
	}
	if err := unix.Fstat(fd, &after); err != nil {
		return none, cannot("read", path, err)
	}
	if before.Size != after.Size || before.Mtim != after.Mtim || before.Ctim != after.Ctim {
		return none, fmt.Errorf("%s: %w", show(path), ErrChanging)
	}
	return h, nil
}

// contentBuffer is how much of a file is read at once.
const contentBuffer = 256 << 10

// contentReader reads one file after another with what it needs for that.
type contentReader struct {
	buffer []byte
	sum    hash.Hash
}

func newContentReader() contentReader {
	return contentReader{buffer: make([]byte, contentBuffer), sum: sha256.New()}
}

// hash reads an open file up to the size it has, because a read that only sees the end costs as much as one of a small file.
func (r *contentReader) hash(ctx context.Context, fd int, path string, size int64) (manifest.Hash, error) {
	var h manifest.Hash
	r.sum.Reset()
	for left := size; left > 0; {
		if err := ctx.Err(); err != nil {
			return h, err
		}
		n, err := unix.Read(fd, r.buffer[:min(left, contentBuffer)])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return h, cannot("read", path, err)
		case n == 0:
			return h, fmt.Errorf("%s: %w", show(path), ErrChanging)
		}
		r.sum.Write(r.buffer[:n])
		left -= int64(n)
	}
	r.sum.Sum(h[:0])
	return h, nil
}

// link returns the target of a symlink, which has at most 4095 bytes.
func (r *contentReader) link(dir int, path, name string) (string, error) {
	n, err := unix.Readlinkat(dir, name, r.buffer[:4096])
	if err != nil {
		return "", cannot("read", path, err)
	}
	return string(r.buffer[:n]), nil
}
