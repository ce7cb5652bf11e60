package tree_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetsync/fleetsync/orchestrator/tree"
	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/rsync"
	"github.com/fleetsync/fleetsync/transport/transporttest"
)

// TestMain bounds the properties: each check runs rsync and two dozen programs. More: -rapid.checks=1000.
func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given {
		if err := flag.Set("rapid.checks", "10"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if err := flag.Set("rapid.nofailfile", "true"); err != nil { // the seed is enough
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// host is a host that is a folder of the test's own, with a source to sync it from.
type host struct {
	tree.Tree
	source string // the folder that is served
	pull   rsync.Pull
}

var local = transport.Local{Grace: 500 * time.Millisecond}

var exclude = []string{"*.swp", "/cache", "**/.git/"}

func newHost(t testing.TB) *host {
	t.Helper()
	for _, program := range []string{"rsync", "flock", "find", "xargs"} {
		transporttest.Need(t, program)
	}
	dir := t.TempDir()
	h := &host{source: dir + "/source"}
	h.Tree = tree.Tree{Conn: local, Root: dir + "/srv/tree", Scratch: dir + "/scratch", Exclude: exclude}
	must(t, os.Mkdir(h.source, 0o755))
	h.pull = rsync.Pull{
		Source: transporttest.StartRsyncd(t, "common", h.source), Destination: h.Root, Scratch: h.Scratch, Exclude: h.Exclude,
		MaxDelete: rsync.Unlimited, Timeout: 20 * time.Second,
	}
	return h
}

// sync syncs the host for a run and keeps what it replaces.
func (h *host) sync(ctx context.Context, run string, attempt int) (rsync.Stats, error) {
	p, err := h.Around(h.pull, tree.Around{Run: run, Attempt: attempt, Fingerprint: "f-" + run, Backup: &tree.Retention{}, Digest: true})
	if err != nil {
		return rsync.Stats{}, err
	}
	return rsync.Sync(ctx, h.Conn, p, rsync.Watch{})
}

func must(t testing.TB, err error) {
	if err != nil {
		t.Helper()
		t.Fatal(err)
	}
}

// walk returns all that is to be the same after an undo, by path: what lstat says and the content. It asks neither find nor
// the code under test. What is excluded is in it, too.
func walk(t testing.TB, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	names := map[uint64][]string{}
	err := filepath.WalkDir(root, func(full string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) && full == root {
			return nil
		}
		must(t, err)
		var st unix.Stat_t
		must(t, unix.Lstat(full, &st))
		name, err := filepath.Rel(root, full)
		must(t, err)
		what := fmt.Sprintf("%o %d:%d %d.%09d", st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec)
		switch d.Type() {
		case 0:
			b, err := os.ReadFile(full)
			must(t, err)
			sum := sha256.Sum256(b)
			what += fmt.Sprintf(" %d %s", len(b), hex.EncodeToString(sum[:6]))
			// A hard link from what is excluded is not put back.
			if !strings.HasSuffix(name, ".swp") && !strings.Contains(name, ".swp/") && name != "cache" && !strings.HasPrefix(name, "cache/") {
				names[st.Ino] = append(names[st.Ino], name)
			}
		case fs.ModeSymlink:
			link, err := os.Readlink(full)
			must(t, err)
			what += " -> " + link
		}
		all[name] = what
		return nil
	})
	must(t, err)
	for _, group := range names {
		slices.Sort(group)
		for _, name := range group {
			all[name] += fmt.Sprintf(" %q", group)
		}
	}
	return all
}

func touch(t testing.TB, name string, mtime int64) {
	t.Helper()
	ts := unix.NsecToTimespec(mtime)
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW))
}

func write(t testing.TB, name, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(name), 0o755))
	must(t, os.WriteFile(name, []byte(content), 0o644))
}
