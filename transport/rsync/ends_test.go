package rsync_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/rsync"
	"github.com/fleetsync/fleetsync/transport/ssh"
	"github.com/fleetsync/fleetsync/transport/transporttest"
)

// slow returns a pull that takes minutes, and what tells that it is under way.
func slow(t *testing.T, source string) (rsync.Pull, rsync.Watch, chan struct{}) {
	t.Helper()
	p := here(t, source)
	p.BandwidthLimit = "100"
	under := make(chan struct{})
	var once atomic.Bool
	return p, rsync.Watch{Progress: func(rsync.Progress) {
		if once.CompareAndSwap(false, true) {
			close(under)
		}
	}}, under
}

func bigTree(t *testing.T) string {
	t.Helper()
	src := t.TempDir()
	write(t, src, map[string]string{"big": strings.Repeat("0123456789abcdef", 1<<19)})
	return src
}

func TestSyncSourceDies(t *testing.T) {
	t.Parallel()
	for name, codes := range map[string][]int{"-TERM": {20, 12}, "-KILL": {12, 10}} {
		t.Run(name, func(t *testing.T) {
			d := transporttest.StartDaemon(t, rsync.DaemonConfig{Module: "common", Path: bigTree(t)})
			p, watch, under := slow(t, d.Endpoint+"/common")
			go func() {
				<-under
				for _, pid := range processes(t, "--port="+strings.TrimPrefix(d.Endpoint, "rsync://127.0.0.1:")) {
					if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil && string(b) == "rsync\n" {
						_ = exec.Command("kill", name, strconv.Itoa(pid)).Run()
					}
				}
			}()
			_, err := rsync.Sync(t.Context(), local, p, watch)
			var e *transport.Error
			if !errors.As(err, &e) || e.Class != transport.ClassTransient || !e.Source || !slices.Contains(codes, e.ExitCode) {
				t.Errorf("%#v", err)
			}
			t.Log(err)
		})
	}
}

// TestSyncCancelled: planted faults seen to fail it: the wrapper's watcher removed (over ssh), the
// lifeline not closed on cancel.
func TestSyncCancelled(t *testing.T) {
	t.Parallel()
	source := transporttest.StartRsyncd(t, "common", bigTree(t))
	daemon := transporttest.StartSSHD(t)
	config := daemon.SSH()
	own := ssh.Dialer{Config: config, Grace: 500 * time.Millisecond}
	native, err := own.Dial(daemon.Host())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = own.Close() })
	config.Client = ssh.ClientOpenSSH
	dialer := ssh.Dialer{Config: config, Grace: 500 * time.Millisecond}
	overSSH, err := dialer.Dial(daemon.Host())
	if err != nil {
		t.Fatal(err)
	}
	config.Share = true
	sharing := ssh.Dialer{Config: config, Grace: 500 * time.Millisecond}
	shared, err := sharing.Dial(daemon.Host())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sharing.Close() })
	for name, conn := range map[string]transport.Conn{"local": local, "ssh": overSSH, "shared": shared, "native": native} {
		t.Run(name, func(t *testing.T) {
			p, watch, under := slow(t, source)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			reason := errors.New("the reason")
			go func() {
				<-under
				cancel(reason)
			}()
			_, err := rsync.Sync(ctx, conn, p, watch)
			var e *transport.Error
			if !errors.As(err, &e) || e.Class != transport.ClassStopped || !errors.Is(err, reason) {
				t.Errorf("%#v", err)
			}
			free(t, lockOf(p))
			nobodyKnows(t, p.Destination)
		})
	}
}

// TestKilled: a fleetsync that is killed leaves no rsync behind. Planted fault seen to fail it: the
// watcher removed.
func TestKilled(t *testing.T) {
	t.Parallel()
	for _, play := range []string{"sync", "daemon"} {
		t.Run(play, func(t *testing.T) {
			p := here(t, transporttest.StartRsyncd(t, "common", bigTree(t)))
			if err := os.MkdirAll(p.Scratch, 0o755); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "TRANSPORT_TEST_PLAY="+play, "SOURCE="+p.Source, "DESTINATION="+p.Destination, "SCRATCH="+p.Scratch)
			if play == "daemon" {
				cmd.Env = append(cmd.Env, "SOURCE="+t.TempDir())
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(out).ReadString('\n')
			if err != nil || play == "sync" && line != "under way\n" || play == "daemon" && !strings.HasPrefix(line, "rsync://") {
				t.Errorf("%q, %v", line, err)
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
			_ = cmd.Wait()
			free(t, lockOf(p))
			nobodyKnows(t, p.Scratch)
		})
	}
}
