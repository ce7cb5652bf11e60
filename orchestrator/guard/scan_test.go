package guard

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetsync/fleetsync/orchestrator/manifest"
)

func scan(t *testing.T, tree Tree, previous *manifest.Manifest, full bool) (*manifest.Manifest, Work) {
	t.Helper()
	m, work, err := Scan(t.Context(), tree, previous, full, false)
	if err != nil {
		t.Fatal(err)
	}
	return m, work
}

// later makes a manifest one that was taken so much later that nothing in it is racy.
func later(m *manifest.Manifest) *manifest.Manifest {
	m.Taken += int64(time.Hour)
	return m
}

// The walk and the listing of find are the same manifest, also of what is hard to list.
//
// Seen to fail with: a symlink that is followed; excluded folders walked.
func TestLocalListsWhatFindLists(t *testing.T) {
	need(t, "find")
	root := t.TempDir()
	random := rand.New(rand.NewPCG(1, 2))
	folders := []string{"."}
	for i := range 400 {
		name := filepath.Join(folders[random.IntN(len(folders))], []string{"a", "-b", "c\n", "\xff", "é", "x.swp",
			"cache"}[random.IntN(7)]+fmt.Sprint(i))
		if random.IntN(3) == 0 {
			plant(t, root, name+"/")
			folders = append(folders, name)
			continue
		}
		plant(t, root, name)
	}
	plant(t, root, "sub-/x", "sub-1", "sub.x/a", "sub.z", "sub0/x", "sub!", "subx", "sub\x01/x", "link -> a", "out -> /etc/passwd",
		"sub/cache/x", "nothing -> "+strings.Repeat("x", 4000))
	for path, kind := range map[string]uint32{"fifo": syscall.S_IFIFO, "socket": syscall.S_IFSOCK} {
		if err := syscall.Mknod(filepath.Join(root, path), kind|0o640, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(filepath.Join(root, "sub/cache/x"), filepath.Join(root, "twin")); err != nil {
		t.Fatal(err)
	}
	old := []unix.Timespec{{Sec: -5, Nsec: 7}, {Sec: -5, Nsec: 7}}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(root, "twin"), old, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(root, "sub"), 0o2755|fs.ModeSetgid|fs.ModeSticky); err != nil {
		t.Fatal(err)
	}
	for _, excludes := range [][]string{nil, {"**/cache", "*.swp*", "-b?/", "/link"}} {
		local := &Local{Root: root, Exclude: excludes}
		got, err := local.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("find", append([]string{"."}, manifest.Expression(excludes, manifest.ListFormat)...)...)
		cmd.Dir, cmd.Env = root, []string{"LC_ALL=C"}
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		want, err := manifest.Parse(strings.NewReader(string(out)))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Entries, want.Entries) {
			t.Errorf("exclude %q: %d entries, find lists %d: %v", excludes, len(got.Entries), len(want.Entries), manifest.Diff(want, got, nil))
		}
		if now := time.Now().UnixNano(); got.Taken > now || got.Taken < now-int64(time.Minute) {
			t.Errorf("taken %d, now it is %d", got.Taken, now)
		}
	}
}

// A scan of this machine's tree, which hashes files as it finds them, comes to what a listing, a hash of each file and another
// listing come to, whatever the tree.
//
// Seen to fail with: what is below a folder put right behind it, or behind all that begins like it; folders in the order of
// their paths without a slash; a file of two names hashed twice; one hash going on where another ended; the
// first buffer of a larger file taken for all of it; bytes not counted.
func TestScanIsListingAndHashing(t *testing.T) {
	root := t.TempDir()
	plant(t, root, "sub/x", "sub/y/z", "sub-/x", "sub-1", "sub.x/a", "sub.z", "sub0/x", "sub!", "subx", "sub\x01/x", "s/u", "a/",
		"a/link -> ../sub", "empty/", "fifo/", "x.swp", ".git/HEAD")
	for i := range most + 10 {
		plant(t, root, fmt.Sprintf("many/%d", i))
	}
	large := []byte(strings.Repeat("0123456789", contentBuffer/5))
	if err := errors.Join(
		os.WriteFile(root+"/large", large, 0o644), os.WriteFile(root+"/s/exact", large[:contentBuffer], 0o600),
		os.WriteFile(root+"/sub/more", large[:contentBuffer+1], 0o644),
		os.WriteFile(root+"/nothing", nil, 0o644), os.Link(root+"/sub/x", root+"/twin"), os.Link(root+"/large", root+"/s/large"),
		unix.Mkfifo(root+"/fifo/fifo", 0o600)); err != nil {
		t.Fatal(err)
	}
	local := &Local{Root: root, Exclude: []string{"**/.git", "*.swp", "/sub0"}}
	for _, local := range []*Local{local, {Root: root}} {
		got, gotWork := scan(t, local, nil, true)
		want, wantWork := scan(t, &counted{Tree: local}, nil, true)
		if !slices.Equal(got.Entries, want.Entries) || !got.Hashed() {
			t.Errorf("exclude %q: %d entries, a listing has %d: %v", local.Exclude, len(got.Entries), len(want.Entries),
				manifest.Diff(want, got, nil))
		}
		if gotWork != wantWork {
			t.Errorf("exclude %q: work %+v, but %+v", local.Exclude, gotWork, wantWork)
		}
		if !slices.IsSortedFunc(got.Entries, func(a, b manifest.Entry) int { return manifest.Compare(a.Path, b.Path) }) {
			t.Error("it is not sorted")
		}
		for _, e := range got.Entries {
			if e.Type != manifest.File {
				continue
			}
			if content, err := os.ReadFile(filepath.Join(root, e.Path)); err != nil || e.Hash != sha256.Sum256(content) {
				t.Errorf("%s has the hash %s (%v)", e.Path, e.Hash, err)
			}
		}
	}
}

// With nothing changed no file is opened; what is changed in any way is read again, and what comes of it is what a full
// scan comes to.
//
// Seen to fail with: each of size, mtime, ctime, inode left out of unchanged; files of the previous listing's moment taken
// over; full ignored.
func TestScanReadsWhatChanged(t *testing.T) {
	root := t.TempDir()
	var paths []string
	for i := range 20 {
		paths = append(paths, fmt.Sprintf("folder%d/file%02d", i%3, i))
	}
	plant(t, root, paths...)
	plant(t, root, "link -> folder0")
	var mutex sync.Mutex
	var opened []string
	local := &Local{Root: root, opened: func(path string) {
		mutex.Lock()
		defer mutex.Unlock()
		opened = append(opened, path)
	}}
	tree := &counted{Tree: local}
	read := func() []string {
		all := opened
		if len(all) != len(tree.hashed) {
			t.Errorf("%d files were opened for %d hashes", len(all), len(tree.hashed))
		}
		opened, tree.hashed = nil, nil
		slices.Sort(all)
		return all
	}
	before, work := scan(t, tree, nil, false)
	if len(read()) != 20 || work.Hashed != 20 || work.Listed != len(before.Entries) {
		t.Fatalf("the first scan: %+v", work)
	}
	for _, p := range paths {
		if want := sha256.Sum256([]byte(p)); before.Find(p).Hash != want {
			t.Errorf("%s has the hash %s", p, before.Find(p).Hash)
		}
	}
	// All was made just now, so it might have been changed since without a trace.
	if scan(t, tree, before, false); len(read()) != 20 {
		t.Error("files as new as the listing were taken over")
	}
	before = later(before)
	again, work := scan(t, tree, before, false)
	if all := read(); len(all) > 0 || work.Hashed != 0 || work.Bytes != 0 {
		t.Fatalf("with nothing changed %q were opened", all)
	}
	if again.Fingerprint() != before.Fingerprint() {
		t.Error("with nothing changed the fingerprint changed")
	}
	if _, work := scan(t, tree, before, true); len(read()) != 20 || work.Hashed != 20 {
		t.Error("a full scan took hashes over")
	}

	full := func(p string) string { return filepath.Join(root, p) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	stamp := func(p string, at *manifest.Entry) {
		t.Helper()
		spec := unix.NsecToTimespec(at.Mtime)
		must(unix.UtimesNanoAt(unix.AT_FDCWD, full(p), []unix.Timespec{spec, spec}, 0))
	}
	// The same size and mtime, but other content: only the ctime tells.
	must(os.WriteFile(full(paths[1]), []byte(strings.Repeat("x", len(paths[1]))), 0o644))
	stamp(paths[1], before.Find(paths[1]))
	// Another file in its place.
	must(os.WriteFile(full("new"), []byte(strings.Repeat("y", len(paths[2]))), 0o644))
	must(os.Rename(full("new"), full(paths[2])))
	stamp(paths[2], before.Find(paths[2]))
	must(os.Chmod(full(paths[3]), 0o600))
	must(os.WriteFile(full(paths[4]), []byte("longer than it was before"), 0o644))
	must(os.Remove(full(paths[5])))
	must(os.Mkdir(full(paths[5]), 0o755))
	must(os.Rename(full(paths[6]), full("moved")))
	must(os.Link(full(paths[7]), full("twin"))) // and so the ctime of the first

	after, work := scan(t, tree, before, false)
	want := []string{paths[1], paths[2], paths[3], paths[4], "moved", paths[7]} // the twin is read once
	slices.Sort(want)
	if got := read(); !slices.Equal(got, want) || work.Hashed != len(want) {
		t.Errorf("read %q, want %q", got, want)
	}
	whole, _ := scan(t, tree, nil, true)
	if after.Fingerprint() != whole.Fingerprint() || !after.Hashed() {
		t.Errorf("the incremental scan differs from the full one: %v", manifest.Diff(whole, after, nil))
	}
	if after.Find("twin").Hash != after.Find(paths[7]).Hash {
		t.Error("two names of one file have different hashes")
	}
}

func TestUnchanged(t *testing.T) {
	is := manifest.Entry{Path: "a", Type: manifest.File, Size: 1, Mtime: 2, Ctime: 3, Inode: 4, Device: 5, Hash: manifest.Hash{6}}
	taken := is.Ctime + int64(racy) + 1
	if !unchanged(&is, &is, taken) {
		t.Error("nothing changed, and it is not taken over")
	}
	if unchanged(&is, &is, taken-1) || unchanged(&is, &is, 0) {
		t.Error("what may be racy is taken over")
	}
	for name, change := range map[string]func(e *manifest.Entry){
		"size": func(e *manifest.Entry) { e.Size++ }, "mtime": func(e *manifest.Entry) { e.Mtime++ },
		"ctime": func(e *manifest.Entry) { e.Ctime-- },
		"inode": func(e *manifest.Entry) { e.Inode++ }, "device": func(e *manifest.Entry) { e.Device++ },
		"type": func(e *manifest.Entry) { e.Type = manifest.Symlink }, "hash": func(e *manifest.Entry) { e.Hash = manifest.Hash{} },
	} {
		old := is
		change(&old)
		if unchanged(&old, &is, taken) {
			t.Errorf("another %s, and it is taken over", name)
		}
	}
}

// A tree that changes while its files are hashed is no tree that ever was.
//
// Seen to fail with: no second listing; a second listing of which only the digest is compared.
func TestScanOfAChangingTree(t *testing.T) {
	edits := map[string]func(root string) error{
		"written to": func(root string) error { return os.WriteFile(filepath.Join(root, "b/file"), []byte("other"), 0o644) },
		"replaced": func(root string) error {
			return errors.Join(os.WriteFile(filepath.Join(root, "x"), []byte("b/file"), 0o644),
				os.Rename(filepath.Join(root, "x"), filepath.Join(root, "b/file")))
		},
		"touched back": func(root string) error {
			info, err := os.Stat(filepath.Join(root, "b/file"))
			if err != nil {
				return err
			}
			return errors.Join(os.WriteFile(filepath.Join(root, "b/file"), []byte("B/FILE"), 0o644),
				os.Chtimes(filepath.Join(root, "b/file"), info.ModTime(), info.ModTime()))
		},
		"removed": func(root string) error { return os.Remove(filepath.Join(root, "b/file")) },
		"added":   func(root string) error { return os.WriteFile(filepath.Join(root, "b/file2"), nil, 0o644) },
	}
	for name, edit := range edits {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			plant(t, root, "a", "b/file", "c -> a")
			tick(t, filepath.Join(root, "b/file"))
			tree := &counted{Tree: &Local{Root: root}, during: func() {
				if err := edit(root); err != nil {
					t.Error(err)
				}
			}}
			_, _, err := Scan(t.Context(), tree, nil, false, false)
			if !errors.Is(err, ErrChanging) || !strings.Contains(err.Error(), "b/file") {
				t.Errorf("err = %v", err)
			}
		})
	}
}

// The second look at a tree sees whatever a second listing sees, and nothing more: of folders so old that their times tell
// everything, of new ones, and of those whose times are the same after a change because it was in the same tick.
//
// Seen to fail with: folders not read again when their times say so; when they are as new as the first look; files not
// asked again; their ctime not compared; modes not compared, of files or of folders; excluded names not left out.
func TestSecondLook(t *testing.T) {
	chtimes := func(path string, was os.FileInfo) error { return os.Chtimes(path, was.ModTime(), was.ModTime()) }
	edits := map[string]struct {
		edit  func(root string) error
		names string // empty: nothing to see
	}{
		"nothing":     {func(string) error { return nil }, ""},
		"content":     {func(root string) error { return os.WriteFile(root+"/b/file", []byte("other!"), 0o644) }, "b/file"},
		"longer":      {func(root string) error { return os.WriteFile(root+"/b/file", []byte("longer than before"), 0o644) }, "b/file"},
		"touched":     {func(root string) error { return os.Chtimes(root+"/a", time.Unix(1, 0), time.Unix(1, 0)) }, "a"},
		"mode":        {func(root string) error { return os.Chmod(root+"/b/file", 0o600) }, "b/file"},
		"fifo's mode": {func(root string) error { return os.Chmod(root+"/b/fifo", 0o640) }, "b/fifo"},
		"folder's":    {func(root string) error { return os.Chmod(root+"/b/c", 0o700) }, "b/c"},
		"root's mode": {func(root string) error { return os.Chmod(root, 0o700) }, "."},
		"linked":      {func(root string) error { return os.Link(root+"/b/file", root+"/b/c/x.swp") }, "b/file"}, // its ctime
		"added":       {func(root string) error { return os.WriteFile(root+"/b/c/new", nil, 0o644) }, "b/c/new"},
		"folder":      {func(root string) error { return os.Mkdir(root+"/b/c/new", 0o755) }, "b/c/new"},
		"removed":     {func(root string) error { return os.Remove(root + "/b/c/d") }, "b/c/d"},
		"moved":       {func(root string) error { return os.Rename(root+"/b", root+"/z") }, "b"},
		"retargeted": {func(root string) error {
			return errors.Join(os.Remove(root+"/b/link"), os.Symlink("b", root+"/b/link"))
		}, "b/link"},
		"replaced, with the times of before": {func(root string) error {
			was, err := os.Stat(root + "/b/file")
			return errors.Join(err, os.WriteFile(root+"/x.swp", []byte("B/FILE"), 0o644), chtimes(root+"/x.swp", was),
				os.Rename(root+"/x.swp", root+"/b/file"))
		}, "b/file"},
		"a folder of other files in its place": {func(root string) error {
			was, err := os.Stat(root + "/b")
			return errors.Join(err, os.Mkdir(root+"/x.swp", 0o755), os.WriteFile(root+"/x.swp/file", []byte("B/FILE"), 0o644),
				chtimes(root+"/x.swp", was),
				unix.Renameat2(unix.AT_FDCWD, root+"/x.swp", unix.AT_FDCWD, root+"/b", unix.RENAME_EXCHANGE))
		}, "b/"},
		"another tree": {func(root string) error {
			return errors.Join(os.Rename(root, root+".old"), os.Mkdir(root, 0o755))
		}, "a"},
		"a folder touched":  {func(root string) error { return os.Chtimes(root+"/b", time.Unix(1, 0), time.Unix(1, 0)) }, ""},
		"excluded, added":   {func(root string) error { return os.WriteFile(root+"/b/c/x.swp", nil, 0o644) }, ""},
		"excluded, changed": {func(root string) error { return os.WriteFile(root+"/b/y.swp", []byte("new"), 0o644) }, ""},
		"excluded, removed": {func(root string) error { return os.Remove(root + "/b/y.swp") }, ""},
		"come and gone": {func(root string) error {
			return errors.Join(os.WriteFile(root+"/b/c/new", nil, 0o644), os.Remove(root+"/b/c/new"))
		}, ""},
	}
	for name, test := range edits {
		for _, folders := range []string{"old", "new", "of one tick"} {
			t.Run(name+", folders "+folders, func(t *testing.T) {
				root := t.TempDir() + "/tree"
				plant(t, root, "a", "b/file", "b/c/d", "b/y.swp", "b/link -> c")
				if err := unix.Mkfifo(root+"/b/fifo", 0o600); err != nil {
					t.Fatal(err)
				}
				local := &Local{Root: root, Exclude: []string{"*.swp"}}
				w := &walk{local: local, hash: true}
				if err := w.walk(t.Context()); err != nil {
					t.Fatal(err)
				}
				tick(t, root+"/b/fifo")
				if err := test.edit(root); err != nil {
					t.Fatal(err)
				}
				switch folders {
				case "old":
					w.taken += int64(time.Hour)
				case "of one tick":
					for _, v := range w.visited() {
						var st unix.Stat_t
						if unix.Stat(filepath.Join(root, v.folder.Path), &st) == nil {
							v.folder.Mtime, v.folder.Ctime = st.Mtim.Nano(), st.Ctim.Nano()
						}
					}
				}
				err := w.again(t.Context())
				second, listErr := local.List(t.Context())
				if listErr == nil {
					listErr = same(w.manifest(), second)
				}
				if errors.Is(err, ErrChanging) != errors.Is(listErr, ErrChanging) || err != nil && !errors.Is(err, ErrChanging) {
					t.Errorf("the second look finds %v, a second listing %v", err, listErr)
				}
				if (err == nil) != (test.names == "") || err != nil && !strings.HasPrefix(err.Error(), test.names) {
					t.Errorf("err = %v, not of %q", err, test.names)
				}
			})
		}
	}
}

// A scan looks again after its last read.
//
// Seen to fail with: no second look; none if only small files were read; one although nothing was read.
func TestScanLooksAgain(t *testing.T) {
	for _, size := range []int64{1, contentBuffer + 1} {
		testScanLooksAgain(t, size)
	}
}

func testScanLooksAgain(t *testing.T, size int64) {
	root := t.TempDir()
	plant(t, root, "a", "b/file")
	tick(t, root+"/b/file")
	var opened atomic.Int32
	local := &Local{Root: root, opened: func(string) { opened.Add(1) }}
	local.hashed = func() {
		if n := opened.Load(); n != 2+int32(size/contentBuffer) { // a large one twice: at first for its size
			t.Errorf("looked again after %d files were opened", n)
		}
		if err := os.WriteFile(root+"/b/file", []byte("B/FILE"), 0o644); err != nil {
			t.Error(err)
		}
	}
	if err := os.Truncate(root+"/a", size); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Scan(t.Context(), local, nil, false, false); !errors.Is(err, ErrChanging) || !strings.Contains(err.Error(), "b/file") {
		t.Errorf("err = %v", err)
	}
	before, _ := scan(t, &Local{Root: root}, nil, false)
	local.hashed = func() { t.Error("looked again, with nothing read") }
	opened.Store(0)
	if _, work := scan(t, local, later(before), false); work.Hashed != 0 || opened.Load() != 0 {
		t.Errorf("%+v, %d files opened", work, opened.Load())
	}
}

// tick sets the ctime of a file, again and again, until the file system's clock is past what it was at first. What is changed
// after that has another ctime.
func tick(t *testing.T, path string) {
	t.Helper()
	var first, st unix.Stat_t
	probe := filepath.Join(t.TempDir(), "probe")
	if err := errors.Join(unix.Stat(path, &first), os.WriteFile(probe, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	for st.Ctim.Nano() <= first.Ctim.Nano() {
		if err := errors.Join(os.Chmod(probe, 0o600), unix.Stat(probe, &st)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLocalNamesWhatItCannotRead(t *testing.T) {
	ctx := t.Context()
	root := t.TempDir()
	plant(t, root, "a", "b/c", "link -> a", "e\x1b[2J")
	local := &Local{Root: root}
	for _, path := range []string{"missing", "b", "link", "a/x"} {
		if _, err := local.Hash(ctx, []string{"a", path}); !errors.Is(err, ErrChanging) || !strings.Contains(err.Error(), path) {
			t.Errorf("hash of %q: %v", path, err)
		}
	}
	if _, err := local.Read(ctx, "link", 5); !errors.Is(err, ErrChanging) {
		t.Errorf("a symlink is followed: %v", err)
	}
	if b, err := local.Read(ctx, "b/c", 2); err != nil || string(b) != "b/" {
		t.Errorf("read %q, %v", b, err)
	}
	if there, err := local.Exists(ctx, root, root+"/missing", root+"/a/x", root+"/link"); err != nil ||
		!slices.Equal(there, []bool{true, false, false, true}) {
		t.Errorf("exist: %v, %v", there, err)
	}
	if _, err := (&Local{Root: root + "/missing"}).List(ctx); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrChanging) {
		t.Errorf("no tree: %v", err)
	}
	if _, err := (&Local{Root: root + "/a"}).List(ctx); err == nil {
		t.Error("a file is taken for a tree")
	}
	if _, err := local.Git(ctx, ".", "no-such-command"); err == nil || strings.ContainsAny(err.Error(), "\n\x1b") {
		t.Errorf("git: %v", err)
	}
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := local.List(stopped); !errors.Is(err, context.Canceled) {
		t.Errorf("a list that was cancelled: %v", err)
	}
	if _, err := local.Hash(stopped, []string{"a"}); !errors.Is(err, context.Canceled) {
		t.Errorf("a hash that was cancelled: %v", err)
	}
	// What the system cannot say in nanoseconds.
	far := []unix.Timespec{{Sec: 12_000_000_000}, {Sec: 12_000_000_000}}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, root+"/e\x1b[2J", far, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := local.List(ctx); err == nil || !strings.Contains(err.Error(), "mtime") || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("an mtime in the year 2350: %v", err)
	}
}

// Whether .git is excluded does not matter; what is below anything else that is excluded does not count.
func TestCheckouts(t *testing.T) {
	root := t.TempDir()
	plant(t, root, ".git/HEAD", "a/b/.git", "a/b/c/.git/HEAD", "scap/.git/HEAD", "plain/x", "far -> a", "link/x", "link/.git -> ../.git",
		".git/modules/.git/HEAD", "x.swp/.git/HEAD")
	for _, excludes := range [][]string{{"**/.git", "/scap", "*.swp"}, {"/scap", ".*", "*.swp/"}} {
		got, err := (&Local{Root: root, Exclude: excludes}).Checkouts(t.Context())
		if want := []string{".", "a/b", "a/b/c", "link"}; err != nil || !slices.Equal(got, want) {
			t.Errorf("exclude %q: %q, want %q (%v)", excludes, got, want, err)
		}
	}
}

// A file that is mostly holes is not read just to be refused.
//
// Seen to fail with: it read all the same; its blocks not counted in 512 bytes.
func TestScanLeavesHolesAlone(t *testing.T) {
	root := t.TempDir()
	plant(t, root, "a")
	zeros := make([]byte, sparseSize)
	if err := errors.Join(os.WriteFile(filepath.Join(root, "holes"), nil, 0o644), os.Truncate(filepath.Join(root, "holes"), sparseSize),
		os.WriteFile(filepath.Join(root, "full"), zeros, 0o644)); err != nil {
		t.Fatal(err)
	}
	tree := &counted{Tree: &Local{Root: root}}
	m, _ := scan(t, tree, nil, false)
	if slices.Sort(tree.hashed); !slices.Equal(tree.hashed, []string{"a", "full"}) || m.Hashed() {
		t.Errorf("read %q", tree.hashed)
	}
	m, _, err := Scan(t.Context(), tree, nil, false, true)
	if err != nil || m.Find("holes").Hash != sha256.Sum256(zeros) || !m.Hashed() {
		t.Errorf("holes that are let pass are not read: %v", err)
	}
}
