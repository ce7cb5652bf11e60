//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fleetsync/fleetsync/cmd/fleetlab/lab"
)

// asProgram makes this test binary the program.
const asProgram = "FLEETLAB_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if code, is := lab.Child(); is {
		os.Exit(code)
	}
	if os.Getenv(asProgram) != "" {
		a := app{stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv}
		os.Exit(a.run(context.Background(), os.Args[1:]))
	}
	// A program with the race detector waits for a second before it exits, unless it is told not to.
	if err := os.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=0"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// program returns the program with its arguments, in a folder of the test's.
func program(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self, args...)
	c.Dir = dir
	c.Env = append(os.Environ(), asProgram+"=yes", "FLEETLAB_DIR=")
	return c
}

// run returns what the program prints and its exit code.
func run(t *testing.T, dir string, args ...string) (string, int) {
	t.Helper()
	out, err := program(t, dir, args...).CombinedOutput()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return string(out), exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return string(out), 0
}

// TestProgram goes through a lab's life by typing.
func TestProgram(t *testing.T) {
	lab.Need(t)
	dir := t.TempDir()
	up := program(t, dir, "up", "--hosts", "2", "--proxies", "1", "--files", "5", "--rate", "100mbit")
	said, err := up.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var wrong bytes.Buffer
	up.Stderr = &wrong
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = up.Process.Kill() })
	out := bufio.NewReader(said)
	if line, err := out.ReadString('\n'); err != nil || !strings.HasPrefix(line, "ready: 2 hosts and 2 masters in ") {
		t.Fatalf("up says %q, %v: %s", line, err, &wrong)
	}
	for _, step := range []struct {
		args string
		code int
		want string // part of what is printed
	}{
		{"exec mw01 -- hostname", 0, "mw01\n"},
		{"exec mw01 hostname", 0, "mw01\n"},
		{"exec deploy1 -- sh -c exit\t3", 3, ""},
		{"exec deploy1 -- ssh mw01 hostname", 0, "mw01\n"},
		{"exec mw01 -- tc qdisc show dev eth0", 0, "rate 100Mbit"},
		{"slow mw01 1mbit", 0, ""},
		{"exec mw01 -- tc qdisc show dev eth0", 0, "rate 1Mbit"},
		{"slow mw01 none", 0, ""},
		{"exec mw01 -- tc qdisc show dev eth0", 0, "noqueue"},
		{"heal mw01", 0, ""},
		{"exec mw01 -- tc qdisc show dev eth0", 0, "rate 100Mbit"},
		{"slow mw01 fast", 1, "is no rate"},
		{"delay mw01 50ms", 0, ""},
		{"exec mw01 -- ssh mw02 hostname", 0, "mw02\n"},
		{"delay mw01 0s", 0, ""},
		{"delay mw01 50", 10, "missing unit"},
		{"kill mw01 mw02", 0, ""},
		{"exec mw01 -- hostname", 255, "the host is not up"},
		{"kill mw01", 1, "mw01 is down already"},
		{"start mw01 mw02", 0, ""},
		{"exec mw01 -- hostname", 0, "mw01\n"},
		{"partition mw01", 0, ""},
		{"exec mw01 -- ssh -o ConnectTimeout=1 mw02 hostname", 255, "timed out"},
		{"heal mw01", 0, ""},
		{"exec mw01 -- ssh mw02 hostname", 0, "mw02\n"},
		{"fill-disk mw01", 1, "--srv-size"},
		{"kill mw99", 1, `no host "mw99"`},
		{"exec mw99 -- hostname", 255, "no host"},
		{"kill", 10, "requires at least 1 arg"},
		{"exec mw01", 10, "hint: fleetlab help"},
		{"exec mw01 --", 10, "exec needs a command"},
		{"up --hosts 0", 10, "too few"},
		{"up --nonsense", 10, "unknown flag"},
		{"up --hosts 4", 1, "fleetlab down"},
		{"slow mw01 1mbit --dir elsewhere", 1, "no lab in"},
	} {
		args := strings.Split(step.args, " ")
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "\t", " ")
		}
		if got, code := run(t, dir, args...); code != step.code || !strings.Contains(got, step.want) {
			t.Errorf("fleetlab %s: exit %d, want %d; printed %q, want %q", step.args, code, step.code, got, step.want)
		}
	}
	if err := up.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := up.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v: %s", err, &wrong)
	}
	if _, err := os.Stat(filepath.Join(dir, "lab")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its directory: %v", err)
	}
	if got, code := run(t, dir, "down"); code != 1 || !strings.Contains(got, "there is no lab") {
		t.Errorf("down without a lab: %d, %q", code, got)
	}
}
