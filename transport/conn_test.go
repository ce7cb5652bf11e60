package transport_test

import (
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/transporttest"
)

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

func TestSSH(t *testing.T) {
	t.Parallel()
	d := transporttest.StartSSHD(t)
	config := d.SSH()
	config.Share = true
	dialer := transport.Dialer{SSH: config, Grace: 200 * time.Millisecond}
	conn, err := dialer.Dial(d.Host())
	if err != nil {
		t.Fatal(err)
	}
	transporttest.Conformance(t, conn)
	if err := dialer.Close(); err != nil {
		t.Error(err)
	}
}
