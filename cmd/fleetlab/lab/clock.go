//go:build linux

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A clock that is wrong.
//
// Linux has no wall clock for each namespace: time_namespaces(7) shift the monotonic clock and the time since boot, not
// CLOCK_REALTIME. So what runs in sessions of a host's sshd, and what Command runs there, is started with libfaketime, which
// answers in place of libc. All that they compute is of the wrong clock: date, find -newermt and -mmin, touch, rsync's
// own timeouts when the clock leaps. Monotonic clocks are right, as they are on a host whose clock is stepped. A time that
// somebody sets, as rsync does, is set as it is. Measured with 0.9.10.
//
// It does not reach: times that the kernel puts on files, which stay the machine's; programs that do not ask libc, such
// as Go's; daemons, none of which does anything by the wall clock but write its log; sessions of connections that were open
// before the first Skew since the host has booted. Later ones take effect within a second, under way or not.
const (
	clockFolder = "/run/clock"
	clockFile   = clockFolder + "/offset" // as libfaketime reads it: +3600
	clockEnv    = clockFolder + "/environment"
	clockConf   = clockFolder + "/sshd.conf"
)

// maxSkew is some ten years.
const maxSkew = 100_000 * time.Hour

// faketime returns where the library is. Debian has it in a folder of its own of each architecture's, Fedora of lib64's.
func faketime() (string, error) {
	for _, pattern := range []string{"/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib*/faketime/libfaketime.so.1",
		"/usr/local/lib/faketime/libfaketime.so.1"} {
		if found, err := filepath.Glob(pattern); err == nil && len(found) > 0 {
			return found[0], nil
		}
	}
	return "", &MissingError{Programs: []string{"libfaketime"}, Packages: []string{"faketime"}}
}

// skew sets the host's clock.
func (h *running) skew(ctx context.Context, by time.Duration) error {
	// The host's own /run, which is a mount that only it sees.
	in := func(path string) string { return fmt.Sprintf("/proc/%d/root%s", h.pid, path) }
	if err := os.MkdirAll(in(clockFolder), 0o755); err != nil {
		return err
	}
	offset := strconv.FormatFloat(by.Seconds(), 'f', 3, 64)
	if by >= 0 {
		offset = "+" + offset
	}
	// At once, or somebody would read half of it.
	if err := os.WriteFile(in(clockFile+".new"), []byte(offset+"\n"), 0o644); err != nil {
		return err
	}
	if err := os.Rename(in(clockFile+".new"), in(clockFile)); err != nil || h.skewed {
		return err
	}
	library, err := faketime()
	if err != nil {
		return err
	}
	env := strings.Join([]string{
		"LD_PRELOAD=" + library, "FAKETIME_TIMESTAMP_FILE=" + clockFile, "FAKETIME_CACHE_DURATION=1",
		"NO_FAKE_STAT=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", // README of libfaketime, 4d and 4g
	}, " ")
	for path, text := range map[string]string{clockEnv: env, clockConf: "SetEnv " + env + "\n"} {
		if err := os.WriteFile(in(path), []byte(text), 0o644); err != nil {
			return err
		}
	}
	// sshd starts anew (sshd(8), SIGHUP) and writes its process ID once it listens. Connections go on.
	const reload = `pid=$(cat /run/sshd.pid); rm /run/sshd.pid; kill -HUP "$pid"; until [ -s /run/sshd.pid ]; do sleep 0.01; done`
	c := exec.CommandContext(ctx, "nsenter", "--target", strconv.Itoa(h.pid), "--mount", "--pid", "--", "sh", "-euc", reload)
	if said, err := c.CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("%s: cannot restart sshd: %w: %s", h.Name, err, bytes.TrimSpace(said)), context.Cause(ctx))
	}
	h.skewed = true
	return nil
}

// sweep removes what libfaketime 0.9.10 has made in a folder of shared memory since a lab came up: a process that is killed leaves its
// two files there, named by its process ID, and in a lab most are. Those of a process of this machine are not the lab's.
func sweep(folder string, since time.Time) {
	for _, prefix := range []string{"faketime_shm_", "sem.faketime_sem_"} {
		names, _ := filepath.Glob(filepath.Join(folder, prefix+"*")) // the pattern is right
		for _, name := range names {
			pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(name), prefix))
			if err != nil {
				continue
			}
			if maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid)); err == nil && bytes.Contains(maps, []byte("libfaketime")) {
				continue
			}
			if info, err := os.Lstat(name); err == nil && info.Mode().IsRegular() && !info.ModTime().Before(since) {
				_ = os.Remove(name) // it may have been another lab's, which is as good
			}
		}
	}
}
