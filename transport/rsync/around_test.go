package rsync_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/rsync"
	"github.com/fleetsync/fleetsync/transport/transporttest"
)

// TestAround: planted faults seen to fail it: rsync's rules given to the script before it, the output of that taken for
// rsync's, the one after it run in spite of a failed rsync, its exit code dropped, rsync's 24 dropped, the lock's file not
// passed on to rsync.
func TestAround(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	write(t, src, map[string]string{"a": "1", "b": "22"})
	source := transporttest.StartRsyncd(t, "common", src)
	p := here(t, source)
	p.Paths = []string{"a"} // has rules on standard input
	p.Backup = filepath.Join(p.Scratch, "keep")
	write(t, p.Destination, map[string]string{"a": "old", "c": ""})
	args := []string{"it's", `"$HOME" \ *`, "", "line\nline"}
	p.Before = transport.Script{Args: append([]string{p.Destination}, args...), Text: `
cat; cat "$1/a"; shift; [ $# -eq 4 ] || exit 1; printf '<%s>' "$@"; echo "Number of files: 99"; printf '\0\0'; echo said >&2`}
	p.After = transport.Script{Args: []string{p.Destination}, Text: `cat; cat "$1/a"; printf '\0end'`}
	var log []string
	var mutex sync.Mutex // the two streams come at the same time
	stats, err := rsync.Sync(t.Context(), local, p, rsync.Watch{Log: func(line string) {
		mutex.Lock()
		defer mutex.Unlock()
		log = append(log, line)
	}})
	if err != nil || stats.Files != 2 || string(stats.After) != "1\x00end" {
		t.Errorf("%+v, %v", stats, err)
	}
	if all := strings.Join(log, "\n"); !strings.Contains(all, "old<it's><\"$HOME\" \\ *><><line\nline>Number of files: 99\nsaid") {
		t.Errorf("%q", all)
	}
	if diff := cmp.Diff(map[string]string{"a": "1", "c": ""}, read(t, p.Destination)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"a": "old"}, read(t, p.Backup)); diff != "" {
		t.Error(diff)
	}

	for _, test := range []struct {
		name          string
		before, after string
		want          transport.Error
		synced        bool
	}{
		{"before fails", "echo no room >&2; exit 3", "", transport.Error{Class: transport.ClassPermanent,
			Program: "script before the sync", ExitCode: 3, Message: "no room"}, false},
		{"before is busy", "exit 75", "", transport.Error{Class: transport.ClassBusy, Program: "script before the sync", ExitCode: 75}, false},
		{"before cannot write", "exit 74", "", transport.Error{Class: transport.ClassTransient, Program: "script before the sync",
			ExitCode: 74}, false},
		{"before is killed", "kill -9 $$", "", transport.Error{Class: transport.ClassTransient, Program: "script before the sync",
			ExitCode: 137, Message: "Killed"}, false},
		{"before has no program", "no-such-program", "", transport.Error{Class: transport.ClassPermanent,
			Program: "script before the sync", ExitCode: 127, Message: "fleetsync: 1: no-such-program: not found"}, false},
		{"before ends with rsync's warning", "exit 24", "", transport.Error{Class: transport.ClassPermanent,
			Program: "script before the sync", ExitCode: 24}, false},
		{"after fails", "", "echo no digest >&2; exit 5", transport.Error{Class: transport.ClassPermanent,
			Program: "script after the sync", ExitCode: 5, Message: "the tree is synced, but not what follows: no digest"}, true},
		{"after ends with rsync's warning", "", "exit 24", transport.Error{Class: transport.ClassPermanent,
			Program: "script after the sync", ExitCode: 1, Message: "the tree is synced, but not what follows"}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := here(t, source)
			p.Before.Text, p.After.Text = test.before, test.after
			_, err := rsync.Sync(t.Context(), local, p, rsync.Watch{})
			var e *transport.Error
			if !errors.As(err, &e) {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, *e); diff != "" {
				t.Error(diff)
			}
			if _, err := os.Stat(p.Destination + "/a"); (err == nil) != test.synced {
				t.Errorf("synced: %v", err)
			}
		})
	}

	t.Run("rsync fails", func(t *testing.T) {
		p := here(t, source)
		p.MaxDelete = 0
		write(t, p.Destination, map[string]string{"c": ""})
		p.After = transport.Script{Text: `touch "$1"`, Args: []string{p.Scratch + "/after"}}
		stats, err := rsync.Sync(t.Context(), local, p, rsync.Watch{})
		if e := (*transport.Error)(nil); !errors.As(err, &e) || e.Program != "rsync" || e.ExitCode != 25 || stats.After != nil {
			t.Errorf("%+v, %#v", stats, err)
		}
		if _, err := os.Stat(p.Scratch + "/after"); err == nil {
			t.Error("the script after the sync was run")
		}
	})
	t.Run("rsync warns", func(t *testing.T) {
		p, bin := here(t, source), t.TempDir()
		if err := os.WriteFile(bin+"/rsync", []byte("#!/bin/sh\necho vanished >&2; exit 24\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		p.After.Text = "echo digest"
		conn := with{local, "PATH=" + bin + ":" + os.Getenv("PATH")}
		stats, err := rsync.Sync(t.Context(), conn, p, rsync.Watch{})
		if err != nil || string(stats.After) != "digest\n" || !strings.Contains(stats.Warning, "vanished") {
			t.Errorf("%+v, %v", stats, err)
		}
	})
	t.Run("busy", func(t *testing.T) {
		p, watch, under := slow(t, transporttest.StartRsyncd(t, "common", bigTree(t)))
		p.Before.Text = ":"
		ended := make(chan error, 1)
		go func() { _, err := rsync.Sync(t.Context(), local, p, watch); ended <- err }()
		<-under
		const around = "sh\x00-c\x00before=$1 after=$2" // as around.sh begins
		// The shells are killed, and still the lock is held until rsync has ended.
		for _, pid := range processes(t, around) {
			if cmd, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline"); err == nil && strings.HasPrefix(string(cmd), around) &&
				strings.Contains(string(cmd), p.Destination) {
				_ = exec.Command("kill", "-KILL", strconv.Itoa(pid)).Run()
			}
		}
		if err := <-ended; err == nil {
			t.Error("a sync whose shell was killed is done")
		}
		rsyncs := 0
		for _, pid := range processes(t, p.Destination+"/\x00") {
			if comm, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm"); err == nil && string(comm) == "rsync\n" {
				rsyncs++
				t.Cleanup(func() { _ = exec.Command("kill", "-KILL", strconv.Itoa(pid)).Run() })
			}
		}
		if rsyncs == 0 {
			t.Fatal("no rsync has survived")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // it would take minutes
		defer cancel()
		_, err := rsync.Sync(ctx, local, p, rsync.Watch{})
		if e := (*transport.Error)(nil); !errors.As(err, &e) || e.Class != transport.ClassBusy ||
			e.Message != "another rsync is writing the destination" {
			t.Errorf("%#v", err)
		}
	})
}

// with runs commands with a variable in their environment.
type with struct {
	transport.Conn
	variable string
}

func (w with) Run(ctx context.Context, c transport.Command) (transport.Result, error) {
	c.Args = append([]string{"env", w.variable}, c.Args...)
	return w.Conn.Run(ctx, c)
}
