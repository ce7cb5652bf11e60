package rsync_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/transport/rsync"
	"github.com/fleetsync/fleetsync/transport/transporttest"
)

// TestProbeDaemon: planted faults seen to fail it: any line taken for a greeting; no end with the context; no bound.
func TestProbeDaemon(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	full := transporttest.StartDaemon(t, rsync.DaemonConfig{Module: "common", Path: dir, Parameters: []string{"hosts deny = *"}})
	at := func(port int) string { return fmt.Sprintf("rsync://127.0.0.1:%d", port) }
	for name, c := range map[string]struct {
		endpoint, want string
	}{
		"rsyncd":             {full.Endpoint, ""},
		"with a slash":       {full.Endpoint + "/", ""},
		"a line":             {at(transporttest.Peer(t, transporttest.SayAndWait("@RSYNCD: 31.0 md5\n"))), ""},
		"no endpoint":        {"127.0.0.1:\x1b1", "is no endpoint"},
		"closed":             {at(transporttest.ClosedPort(t)), "connection refused"},
		"silent":             {at(transporttest.Peer(t, transporttest.SayAndWait(""))), "enough"},
		"half a line":        {at(transporttest.Peer(t, transporttest.SayAndWait("@RSYNCD: 31"))), "enough"},
		"hangs up":           {at(transporttest.Peer(t, func(net.Conn) {})), "without a word"},
		"resets":             {at(transporttest.Peer(t, transporttest.Reset)), "reset by peer"},
		"sshd":               {at(transporttest.Peer(t, transporttest.Say("SSH-2.0-x\r\n@RSYNCD: 31.0\n"))), `it says "SSH-2.0-x"`},
		"an error":           {at(transporttest.Peer(t, transporttest.Say("@ERROR: \x1b[2Jno\n"))), `it says "@ERROR: [2Jno"`},
		"an endless line":    {at(transporttest.Peer(t, transporttest.Repeat("x\x1b\x00"))), `it says "xxx`},
		"a line that is cut": {at(transporttest.Peer(t, transporttest.Say("@RSYNCD: 31"))), `it says "@RSYNCD: 31"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("enough"))
			defer cancel()
			answered(t, rsync.ProbeDaemon(ctx, c.endpoint), c.want)
		})
	}
}

// answered checks what became of a probe: words that its error must have, or none.
func answered(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Error(err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("not %q: %v", want, err)
	case err != nil && (strings.ContainsAny(err.Error(), "\x1b\r\n\x00") || len(err.Error()) > 300):
		t.Errorf("not neutral: %q", err)
	}
}
