package demo

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
)

// helperDir is set in the environment of a process that is to bring a fleet up there, and die with it.
const helperDir = "FLEETSYNC_TEST_DEMO_DIR"

func TestMain(m *testing.M) {
	dir := os.Getenv(helperDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	o := Defaults()
	o.Dir, o.Hosts, o.Files = dir, 6, 20
	if _, err := Up(context.Background(), o); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin) // until killed, or until the test that should have done so has died
}

// Seen to fail with a wrapper of commands that does not end them with their lifeline.
func TestKilledLeavesNothingRunning(t *testing.T) {
	o := small(t)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = append(os.Environ(), helperDir+"="+o.Dir)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stdin.Close() }()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("%q %v", line, err)
	}
	if n := len(running(t, o.Dir)); n < 5 {
		t.Errorf("%d processes, want a daemon for each of 2 masters and 3 proxies", n)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	wantNothingRunning(t, o.Dir)
}
