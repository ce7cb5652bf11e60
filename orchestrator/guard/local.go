package guard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
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
	hashed func()            // called before a tree is looked at once more, for tests
}

var _ Tree = (*Local)(nil)

// openRoot opens the tree's folder.
func openRoot(root string) (int, error) {
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("cannot read the tree: %w", &os.PathError{Op: "open", Path: root, Err: err})
	}
	return fd, nil
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

// cause returns the system's number without the path, which would be named unquoted.
func cause(err error) error {
	if number := syscall.Errno(0); errors.As(err, &number) {
		return number
	}
	return errors.New(neutral(err.Error()))
}

// cannot says what could not be done. What is not what it was in the listing has changed since.
func cannot(what, path string, err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EINVAL) ||
		errors.Is(err, unix.ENXIO) {
		return fmt.Errorf("%s: %w", show(path), ErrChanging)
	}
	return fmt.Errorf("cannot %s %s: %w", what, show(path), err)
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
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GIT_") }), "LC_ALL=C",
		"GIT_TERMINAL_PROMPT=0")
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
