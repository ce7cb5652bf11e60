package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// piped starts the program with pipes that the test reads, or does not.
func (w *world) piped(t *testing.T, args ...string) (cmd *exec.Cmd, stdout, stderr *os.File) {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(path)
	cmd.Args = append([]string{"fleetsync", "--config", w.Config}, args...)
	cmd.Env, cmd.Dir = append(os.Environ(), w.env...), w.Dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	pipe := func() (read, write *os.File) {
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		return read, write
	}
	var theirs [2]*os.File
	stdout, theirs[0] = pipe()
	stderr, theirs[1] = pipe()
	// As small as a pipe can be, so that little is enough to fill it.
	_, _ = unix.FcntlInt(theirs[0].Fd(), unix.F_SETPIPE_SZ, 4096)
	cmd.Stdout, cmd.Stderr = theirs[0], theirs[1]
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, f := range theirs {
		_ = f.Close() // the child has it
	}
	t.Cleanup(func() {
		_, _ = stdout.Close(), stderr.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd, stdout, stderr
}

func exitCode(cmd *exec.Cmd) int {
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return -1
	}
	return cmd.ProcessState.ExitCode()
}

// Nobody reads what the program says any more, as with "| head" or a tee that has died, while proxies are
// out of their pools: the run goes on, and puts them back. Seen to fail without the handler of SIGPIPE:
// the process dies of it.
func TestNobodyReads(t *testing.T) {
	t.Parallel()
	w := up(t, small())
	release := w.hold(t, ordinary[0])
	cmd, stdout, stderr := w.piped(t, "--json", "sync")
	w.awaitHeld(t, ordinary[0])
	if len(w.out()) == 0 {
		t.Fatal("no proxy is out")
	}
	_, _ = stdout.Close(), stderr.Close()
	release()
	if code := exitCode(cmd); code != exitDone {
		t.Errorf("exit code %d, want %d", code, exitDone)
	}
	w.wantPools(t)
	w.wantSynced(t, w.everybody(t)...)
}

// Who reads the events takes its time: the run does not wait for it. Seen to fail with events printed
// by the goroutine of the run, which stops at the first full pipe.
func TestReaderThatStops(t *testing.T) {
	t.Parallel()
	w := up(t, small())
	cmd, stdout, stderr := w.piped(t, "--json", "sync")
	_ = stderr.Close()
	eventually(t, "the last host is synced and all is back", func() bool {
		runs, err := filepath.Glob(filepath.Join(w.Dir, "state", "*", "*", "journal.jsonl"))
		if err != nil || len(runs) != 1 {
			return false
		}
		text, err := os.ReadFile(runs[0])
		return err == nil && len(text) > 4096 && finishedLine(text)
	})
	w.wantPools(t)
	go func() {
		buffer := make([]byte, 1<<16)
		for {
			if _, err := stdout.Read(buffer); err != nil {
				return
			}
		}
	}()
	if code := exitCode(cmd); code != exitDone {
		t.Errorf("exit code %d, want %d", code, exitDone)
	}
}

func finishedLine(journal []byte) bool {
	return bytes.Contains(journal, []byte(`"kind":"run_finished"`))
}
