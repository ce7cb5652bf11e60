package inventory

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
)

// With every argument that is allowed, a host has what the source has: an rsync syncs a tree that differs
// in each way that counts, and what is there then is compared by a walk that knows nothing of rsync.
//
// An option that takes a value is allowed only if one is tried here. Planted faults that this found: allowing
// any of --modify-window=0, --protocol=30, --size-only, --no-perms, --no-times, --no-links, --chmod=go-w,
// --existing, --update, --exclude=new, --max-delete=0, --backup and --append.
func TestRsyncArgsKeepTheTree(t *testing.T) {
	if _, err := exec.LookPath("rsync"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("apt-get install rsync: %v", err)
	}
	user, group := fmt.Sprint(os.Getuid()), fmt.Sprint(os.Getgid())
	if user == "0" {
		user, group = "12345", "12345" // only root may give files away
	}
	const daemonOnly = "" // rsync refuses it for a local copy, and it is about the connection
	values := map[string]string{
		"--address": "127.0.0.1", "--block-size": "1000", "--checksum-seed": "5", "--chown": user + ":" + group,
		"--compress-choice": "zlib", "--compress-level": "1", "--contimeout": daemonOnly, "--groupmap": "*:" + group,
		"--max-alloc": "1G", "--password-file": daemonOnly, "--skip-compress": "gz", "--sockopts": "TCP_NODELAY",
		"--usermap": "*:" + user, "--zc": "none", "--zl": "1",
	}
	args := slices.Clone(rsyncFlags)
	for _, letter := range rsyncLetters {
		args = append(args, "-"+string(letter))
	}
	for _, name := range rsyncValues {
		value, ok := values[name]
		if !ok {
			t.Errorf("%s is allowed, and no value of it is tried", name)
		}
		if value != daemonOnly {
			args = append(args, name+"="+value)
		}
	}

	source := t.TempDir()
	makeTree(t, source)
	want := metadata(t, source)
	var rsyncs errgroup.Group
	rsyncs.SetLimit(8) // most of the time of a small one is a sleep at its end
	for _, arg := range args {
		if f := checkRsyncArg(arg); f != nil {
			t.Errorf("%s: %s", arg, f.message)
		}
		destination := t.TempDir()
		makeOther(t, destination)
		rsyncs.Go(func() error {
			out, err := exec.Command("rsync", "--archive", "--delete", "--delete-delay", "--delay-updates", "--modify-window=-1",
				arg, source+"/", destination+"/").CombinedOutput()
			if err != nil {
				t.Errorf("%s: %v: %s", arg, err, out)
				return nil
			}
			if diff := cmp.Diff(want, metadata(t, destination)); diff != "" {
				t.Errorf("%s: %s", arg, diff)
			}
			return nil
		})
	}
	_ = rsyncs.Wait() // none returns an error
}

// second is when everything in the trees was changed, but for a fraction.
var second = time.Date(2016, 2, 2, 12, 0, 0, 0, time.UTC)

// makeTree makes what a source may hold.
func makeTree(t *testing.T, dir string) {
	t.Helper()
	makeFile(t, dir, "same-second", "new", 0o644, 123_456_789)
	makeFile(t, dir, "touched", "same", 0o644, 999_999_999)
	makeFile(t, dir, "mode", "same", 0o600, 1)
	makeFile(t, dir, "shared", "new", 0o664, 2)
	makeFile(t, dir, "older", "new", 0o644, 0)
	makeFile(t, dir, "new", "new", 0o755|fs.ModeSetuid|fs.ModeSetgid, 5)
	makeFile(t, dir, "type/file", "new", 0o444, 5)
	makeFile(t, dir, "blocks", strings.Repeat("0123456789", 1000)+strings.Repeat("\x00", 100_000), 0o644, 7)
	makeFile(t, dir, "hard", "new", 0o644, 8)
	must(t, os.Link(filepath.Join(dir, "hard"), filepath.Join(dir, "hard2")))
	must(t, os.Symlink("new", filepath.Join(dir, "link")))
	must(t, os.Symlink("/nowhere", filepath.Join(dir, "dangling")))
	must(t, syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	must(t, os.Chmod(filepath.Join(dir, "type"), 0o750|fs.ModeSetgid|fs.ModeSticky))
}

// makeOther makes what a destination may hold instead: each path differs in another way.
func makeOther(t *testing.T, dir string) {
	t.Helper()
	makeFile(t, dir, "same-second", "old", 0o644, 123_456_788)
	makeFile(t, dir, "touched", "same", 0o644, 0)
	makeFile(t, dir, "mode", "same", 0o666, 1)
	makeFile(t, dir, "older", "newer", 0o644, 3600*1e9)
	makeFile(t, dir, "type", "old", 0o644, 5)
	makeFile(t, dir, "blocks", strings.Repeat("0123456789", 1000)+strings.Repeat("x", 100_000), 0o644, 6)
	makeFile(t, dir, "hard", "old", 0o644, 9)
	makeFile(t, dir, "hard2", "odd", 0o644, 9)
	makeFile(t, dir, "gone/a/b", "old", 0o644, 5)
	must(t, os.Symlink("older", filepath.Join(dir, "link")))
}

func makeFile(t *testing.T, dir, name, content string, mode fs.FileMode, after time.Duration) {
	t.Helper()
	path := filepath.Join(dir, name)
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(content), 0o600))
	must(t, os.Chmod(path, mode))
	must(t, os.Chtimes(path, second.Add(after), second.Add(after)))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// metadata returns what must be alike of two trees, by path, and the content of files.
func metadata(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		var more string
		switch info.Mode().Type() {
		case 0:
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			more = fmt.Sprintf("%d %d %.20q", info.Size(), info.ModTime().UnixNano(), content)
			if zeros := strings.Count(string(content), "\x00"); zeros > 0 {
				more += fmt.Sprintf(" with %d zeros", zeros)
			}
		case fs.ModeSymlink:
			if more, err = os.Readlink(path); err != nil {
				return err
			}
		}
		name, err := filepath.Rel(dir, path)
		found[name] = fmt.Sprintf("%v %s", info.Mode(), more)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	delete(found, ".") // t.TempDir's own
	return found
}
