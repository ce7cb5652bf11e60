package rsync_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/rsync"
	"github.com/fleetsync/fleetsync/transport/transporttest"
)

// TestMain lets the test binary play a fleetsync that gets killed.
func TestMain(m *testing.M) {
	switch os.Getenv("TRANSPORT_TEST_PLAY") {
	case "sync":
		_, err := rsync.Sync(context.Background(), transport.Local{}, rsync.Pull{
			Source: os.Getenv("SOURCE"), Destination: os.Getenv("DESTINATION"), Scratch: os.Getenv("SCRATCH"), BandwidthLimit: "100",
			MaxDelete: rsync.Unlimited,
		}, rsync.Watch{Progress: func(rsync.Progress) { fmt.Println("under way") }})
		fmt.Println(err)
	case "daemon":
		d, err := rsync.StartDaemon(context.Background(), rsync.DaemonConfig{
			Module: "common", Path: os.Getenv("SOURCE"), Dir: os.Getenv("SCRATCH"),
		})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(d.Endpoint)
		select {}
	default:
		os.Exit(m.Run())
	}
}

// lockOf returns the lock file of p.
func lockOf(p rsync.Pull) string { return transport.LockFile(p.Scratch, p.Destination) }

// free waits until nobody holds a lock file: no rsync is left.
func free(t *testing.T, lock string) {
	t.Helper()
	f, err := os.OpenFile(lock, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	transporttest.Eventually(t, "lock is free", func() bool { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil })
}

// nobodyKnows waits until no process has a path in its arguments.
func nobodyKnows(t *testing.T, path string) {
	t.Helper()
	transporttest.Eventually(t, "no process of "+path, func() bool { return len(processes(t, path)) == 0 })
}

// processes returns the processes that have a text in their arguments.
func processes(t *testing.T, text string) []int {
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Error(err)
	}
	var pids []int
	for _, name := range names {
		if b, err := os.ReadFile(name); err == nil && bytes.Contains(b, []byte(text)) {
			pid, err := strconv.Atoi(strings.Split(name, "/")[2])
			if err != nil {
				t.Error(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

// write makes files of a tree, "name" or "dir/name": content.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// read returns the files of a tree, the reverse of write.
func read(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		files[name[len(dir)+1:]] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
