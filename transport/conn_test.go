package transport_test

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/transporttest"
)

// TestLocal, TestSSH and TestNative: planted faults in the wrapper seen to fail them: no signals at the end of the
// lifeline, no hard end, none for what outlives the command, 255 passed on; in process.go: the
// lifeline left open on cancel; in native.go: the same.
func TestLocal(t *testing.T) {
	t.Parallel()
	conn := transport.Local{Grace: 200 * time.Millisecond}
	transporttest.Conformance(t, conn)
	t.Run("done in spite of an open pipe", func(t *testing.T) {
		r, err := conn.Run(t.Context(), transport.Command{Args: []string{"sh", "-c", `setsid sleep 1000 & echo $!`}})
		pid, pidErr := strconv.Atoi(strings.TrimSpace(string(r.Stdout)))
		if pidErr != nil {
			t.Fatal(pidErr)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
		if err != nil || r.ExitCode != 0 {
			t.Errorf("exit %d, %v", r.ExitCode, err)
		}
	})
}

func TestBecome(t *testing.T) {
	bin := t.TempDir()
	sudo := "#!/bin/sh\necho \"$1 $2 $3 $4\" >&2\nshift 4\nexec \"$@\"\n"
	if err := os.WriteFile(bin+"/sudo", []byte(sudo), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	r, err := transport.Local{Become: "mwdeploy"}.Run(t.Context(), transport.Command{Args: []string{"echo", "a b"}})
	if err != nil || r.ExitCode != 0 || string(r.Stdout) != "a b\n" || r.Stderr != "-n -u mwdeploy --" {
		t.Errorf("%+v, %v", r, err)
	}
}
