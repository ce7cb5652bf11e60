//go:build linux

package lab

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// T is what Need needs of a *testing.T.
type T interface {
	Helper()
	Skipf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Need skips a test where no lab can be brought up: without root, without namespaces, without a program. Where
// the environment has CI and this process is root's, that fails the test instead. Such a test's TestMain must
// call Child; and with the race detector each command takes a second longer unless it also sets
// GORACE=atexit_sleep_ms=0.
func Need(t T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skipf("%v", ErrRoot)
		return
	}
	give := t.Skipf
	if os.Getenv("CI") != "" {
		give = t.Fatalf
	}
	err := Missing()
	if err == nil {
		c := exec.Command("true") //nolint:noctx // it ends at once
		c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces}
		if err = c.Run(); errors.Is(err, syscall.EPERM) {
			err = ErrRoot
		}
	}
	if err != nil {
		give("no lab on this machine: %v", err)
	}
}
