package tree_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/fleetsync/fleetsync/orchestrator/tree"
	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/transporttest"
)

// deadly runs commands in a world in which the at-th program that is started kills its whole process group with SIGKILL: all of
// the host's part of a command. At rsync, it may be some milliseconds later.
type deadly struct {
	transport.Conn
	bin   string
	armed bool
}

// newDeadly makes the programs.
func newDeadly(t *testing.T, conn transport.Conn) *deadly {
	t.Helper()
	d := &deadly{Conn: conn, bin: t.TempDir()}
	for _, program := range []string{"rsync", "find", "xargs", "mv", "mkdir", "rm", "rmdir", "sync", "cat", "chmod", "chown", "touch",
		"ln", "mkfifo", "sort", "sha256sum", "stat", "flock", "head", "date"} {
		path := transporttest.Need(t, program)
		text := fmt.Sprintf("#!/bin/sh\necho >>%[1]s/count\n"+
			"if [ -e %[1]s/at ] && [ \"$(wc -l <%[1]s/count)\" -ge \"$(cat %[1]s/at)\" ]; then kill -KILL 0; fi\n", d.bin)
		// What these shims use themselves must not count.
		text = strings.NewReplacer("$(cat ", "$(/bin/cat ").Replace(text)
		if program == "rsync" {
			text += fmt.Sprintf("if [ -e %[1]s/later ]; then (sleep \"$(/bin/cat %[1]s/later)\"; kill -KILL 0) & fi\n", d.bin)
		}
		must(t, os.WriteFile(filepath.Join(d.bin, program), []byte(text+"exec "+path+" \"$@\"\n"), 0o755))
	}
	return d
}

func (d *deadly) Run(ctx context.Context, c transport.Command) (transport.Result, error) {
	if !d.armed {
		return d.Conn.Run(ctx, c)
	}
	c.Args = append([]string{"env", "PATH=" + d.bin + ":" + os.Getenv("PATH")}, c.Args...)
	return d.Conn.Run(ctx, c)
}

// arm sets when to kill: at that program; or that much after rsync has begun; or never.
func (d *deadly) arm(t *testing.T, at int, later string) {
	t.Helper()
	d.armed = at != 0 || later != ""
	for name, content := range map[string]string{"at": strconv.Itoa(at), "later": later} {
		if content == "0" || content == "" {
			if err := os.Remove(filepath.Join(d.bin, name)); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			continue
		}
		must(t, os.WriteFile(filepath.Join(d.bin, name), []byte(content), 0o644))
	}
	must(t, os.WriteFile(filepath.Join(d.bin, "count"), nil, 0o644))
}

func (d *deadly) count(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(d.bin, "count"))
	must(t, err)
	return len(b)
}

// TestKilled: everything of a host is killed at one point after another of a sync and of an undo. What follows, the undo
// or the next sync and then its undo, gives back the identical tree; and the host never says that its tree is good
// when nobody knows.
func TestKilled(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	kill := newDeadly(t, h.Conn)
	h.Conn = kill
	for _, name := range []string{"same", "changed", "gone/a", "gone/b/c", "becomes/x", "was", "x.swp"} {
		write(t, filepath.Join(h.Root, name), name)
	}
	must(t, os.Link(h.Root+"/changed", h.Root+"/link"))
	must(t, os.Link(h.Root+"/changed", h.Root+"/gone/link"))
	must(t, os.Mkdir(h.Root+"/gone/empty", 0o750))
	must(t, os.Symlink("same", h.Root+"/symlink"))
	must(t, unix.Mkfifo(h.Root+"/gone/fifo", 0o640))
	must(t, os.Chmod(h.Root+"/gone", 0o1777))
	for _, name := range []string{"same", "changed", "link", "becomes", "was/x", "new/a", "new/b/c"} {
		write(t, filepath.Join(h.source, name), "new "+name)
	}
	must(t, os.Symlink("new", h.source+"/symlink"))
	must(t, os.Chmod(h.Root+"/same", 0o600))
	template := filepath.Dir(h.source) + "/template"
	must(t, exec.Command("cp", "-a", h.Root, template).Run())
	before := walk(t, h.Root)

	fresh := func() {
		t.Helper()
		kill.arm(t, 0, "")
		must(t, exec.Command("rm", "-rf", h.Root, h.Scratch).Run())
		must(t, exec.Command("cp", "-a", template, h.Root).Run())
	}
	free := func() { // until the last of what was killed is gone
		t.Helper()
		for range 1000 {
			err := exec.Command("flock", "--wait", "10", transport.LockFile(h.Scratch, h.Root), "true").Run()
			if err == nil || !errors.As(err, new(*exec.ExitError)) {
				return
			}
		}
	}
	undo := func(what string) {
		t.Helper()
		kill.arm(t, 0, "")
		if _, err := os.Stat(h.Scratch); err == nil {
			free()
		}
		if last, err := h.Record(t.Context()); err != nil || last != nil && !last.Partial && last.Run != "r1" {
			t.Errorf("%s: %+v, %v", what, last, err)
		}
		undone, err := h.Undo(t.Context(), "r1")
		if err != nil && !errors.Is(err, tree.ErrNoBackup) {
			t.Errorf("%s: %v", what, err)
		}
		if diff := cmp.Diff(before, walk(t, h.Root)); diff != "" {
			t.Errorf("%s: %s: %s", what, undone, diff)
		}
	}
	synced := func(what string, attempt int) {
		t.Helper()
		kill.arm(t, 0, "")
		if _, err := os.Stat(h.Scratch); err == nil {
			free()
		}
		stats, err := h.sync(t.Context(), "r1", attempt)
		if err != nil {
			t.Errorf("%s: the next sync: %v", what, err)
			return
		}
		if last, err := h.Record(t.Context()); err != nil || last.Partial || last.Digest+"\n" != string(stats.After) {
			t.Errorf("%s: after the next sync: %+v, %v", what, last, err)
		}
	}

	fresh()
	kill.arm(t, 1000, "")
	_, err := h.sync(t.Context(), "r1", 1)
	must(t, err)
	all := kill.count(t)
	kill.arm(t, 1000, "")
	_, err = h.Undo(t.Context(), "r1")
	must(t, err)
	allUndo := kill.count(t)
	undo("undone twice")
	t.Logf("a sync starts %d programs, an undo %d", all, allUndo)
	// Each of them was killed once, by a step of 1; that takes minutes.
	steps := func(all int) int { return max(1, all/8) }
	tried := 0
	dies := func(what string, err error) {
		tried++
		var e *transport.Error
		if err == nil || !errors.As(err, &e) || e.Class != transport.ClassTransient {
			t.Errorf("%s: %v", what, err)
		}
	}
	for at := 1; at <= all; at += steps(all) {
		fresh()
		kill.arm(t, at, "")
		what := fmt.Sprintf("a sync killed at program %d", at)
		_, err := h.sync(t.Context(), "r1", 1)
		dies(what, err)
		if at%2 == 0 {
			synced(what, 1+at/2%2)
		}
		undo(what)
	}
	for at := range 4 {
		fresh()
		later := fmt.Sprintf("0.%03d", at*17)
		kill.arm(t, 0, later)
		_, err := h.sync(t.Context(), "r1", 1)
		what := fmt.Sprintf("a sync killed %s s after rsync began", later)
		if err != nil {
			dies(what, err)
		}
		undo(what)
	}
	for at := 1; at <= allUndo; at += steps(allUndo) {
		fresh()
		synced("to be undone", 1)
		since := map[string]string{"people/x": "file 1", "changed": "file 2", "new/y": "file 3"}
		for name, content := range since {
			write(t, filepath.Join(h.Root, name), strings.TrimPrefix(content, "file "))
		}
		kill.arm(t, at, "")
		what := fmt.Sprintf("an undo killed at program %d", at)
		_, err := h.Undo(t.Context(), "r1")
		dies(what, err)
		if at%3 == 0 {
			synced(what, 2)
		}
		undo(what)
		lost(t, t.Errorf, h, "r1", since)
	}
	t.Logf("killed %d times", tried)
}

// TestDiskFull: a sync that finds no room fails and changes nothing that its undo does not put back.
func TestDiskFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can mount a small file system")
	}
	h := newHost(t)
	small := filepath.Dir(h.Root)
	must(t, os.MkdirAll(small, 0o755))
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=8m"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("cannot mount a small file system: ", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(small, unix.MNT_DETACH) })
	h.Scratch = small + "/scratch"
	h.pull.Scratch = h.Scratch
	megabyte := strings.Repeat("0123456789abcdef", 1<<16)
	for i := range 3 {
		write(t, fmt.Sprintf("%s/old/%d", h.Root, i), megabyte)
		write(t, fmt.Sprintf("%s/old/%d", h.source, i), "x"+megabyte)
	}
	for i := range 4 {
		write(t, fmt.Sprintf("%s/new/%d", h.source, i), megabyte)
	}
	before := walk(t, h.Root)
	full := func(err error) {
		t.Helper()
		var e *transport.Error
		if !errors.As(err, &e) || e.Class != transport.ClassTransient || !strings.Contains(err.Error(), "No space left on device") &&
			!strings.Contains(err.Error(), "there is no room") {
			t.Errorf("%v", err)
		}
	}
	_, err := h.sync(t.Context(), "r1", 1)
	full(err)
	if last, err := h.Record(t.Context()); err != nil || !last.Partial {
		t.Errorf("%+v, %v", last, err)
	}
	_, err = h.sync(t.Context(), "r1", 2)
	full(err)
	_, err = h.Undo(t.Context(), "r1")
	must(t, err)
	if diff := cmp.Diff(before, walk(t, h.Root)); diff != "" {
		t.Error(diff)
	}

	// No room for anything at all.
	filler := small + "/filler"
	fill := func() {
		f, err := os.Create(filler)
		must(t, err)
		for n := 64 << 10; n > 0; n /= 2 {
			for err = nil; err == nil; {
				_, err = f.WriteString(megabyte[:n])
			}
		}
		must(t, f.Close())
	}
	fill()
	_, err = h.sync(t.Context(), "r2", 1)
	full(err)
	if diff := cmp.Diff(before, walk(t, h.Root)); diff != "" {
		t.Error(diff)
	}
	must(t, os.Remove(filler))
	must(t, os.RemoveAll(h.source+"/new"))
	must(t, os.RemoveAll(h.source+"/old/2"))
	// Room enough now.
	_, err = h.sync(t.Context(), "r2", 2)
	must(t, err)
	_, err = h.Undo(t.Context(), "r2")
	must(t, err)
	if diff := cmp.Diff(before, walk(t, h.Root)); diff != "" {
		t.Error(diff)
	}

	// Too little room for copies of what was kept, and somebody has changed what the sync brought.
	must(t, exec.Command("rm", "-rf", filler, h.Root, h.Scratch, h.source+"/old").Run())
	for i := range 2 {
		write(t, fmt.Sprintf("%s/old/%d", h.Root, i), megabyte)
		write(t, fmt.Sprintf("%s/old/%d", h.source, i), "x"+megabyte)
	}
	must(t, os.Link(h.Root+"/old/1", h.Root+"/old/link"))
	before = walk(t, h.Root)
	_, err = h.sync(t.Context(), "r3", 1)
	must(t, err)
	since := map[string]string{"old/0": "file mine", "old/mine": "file mine"}
	for name := range since {
		write(t, filepath.Join(h.Root, name), "mine")
	}
	fill()
	f, err := os.OpenFile(filler, os.O_WRONLY, 0)
	must(t, err)
	st, err := f.Stat()
	must(t, err)
	must(t, f.Truncate(st.Size()-128<<10)) // for the listing and the records
	must(t, f.Close())
	undone, err := h.Undo(t.Context(), "r3")
	must(t, err)
	if diff := cmp.Diff(before, walk(t, h.Root)); diff != "" {
		t.Error(diff)
	}
	lost(t, t.Errorf, h, "r3", since)
	if undone.Moved != 3 || filepath.Base(undone.Aside) != "undo.1" {
		t.Errorf("%+v", undone)
	}
}
