package rsync_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/rsync"
	"github.com/fleetsync/fleetsync/transport/transporttest"
)

// here returns a pull into a directory of the test's own.
func here(t *testing.T, source string) rsync.Pull {
	dir := t.TempDir()
	return rsync.Pull{Source: source, Destination: dir + "/srv/tree", Scratch: dir + "/scratch/x", MaxDelete: rsync.Unlimited,
		Timeout: 20 * time.Second}
}

var local = transport.Local{Grace: 500 * time.Millisecond}

func TestSync(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	files := map[string]string{"a": "1", "dir/b": "22", "dir/sub/c": "333", "x.swp": "no"}
	write(t, src, files)
	p := here(t, transporttest.StartRsyncd(t, "common", src))
	p.Exclude, p.Compress, p.BandwidthLimit, p.Args = []string{"*.swp"}, true, "1m", []string{"--modify-window=-1"}
	delete(files, "x.swp")

	var last rsync.Progress
	var log []string
	watch := rsync.Watch{Progress: func(now rsync.Progress) { last = now }, Log: func(line string) { log = append(log, line) }}
	stats, err := rsync.Sync(t.Context(), local, p, watch)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(files, read(t, p.Destination)); diff != "" {
		t.Error(diff)
	}
	if stats.Files != 6 || stats.Created != 6 && stats.Created != 5 || stats.Transferred != 3 || stats.TotalSize != 6 ||
		stats.Literal != 6 || stats.Sent == 0 || stats.Received == 0 || stats.FileList == 0 {
		t.Errorf("%+v", stats)
	}
	if last.Bytes != 6 || last.Percent != 100 || last.Files != 3 || last.Left != 0 || last.Total != 6 {
		t.Errorf("%+v", last)
	}
	if !strings.Contains(strings.Join(log, "\n"), "Number of files: 6 (reg: 3, dir: 3)") {
		t.Errorf("log: %q", log)
	}

	write(t, p.Destination, map[string]string{"extra": "", "dir/extra": ""})
	write(t, src, map[string]string{"a": "changed"})
	stats, err = rsync.Sync(t.Context(), local, p, rsync.Watch{})
	if err != nil || stats.Deleted != 2 || stats.Transferred != 1 || stats.Created != 0 {
		t.Errorf("%+v, %v", stats, err)
	}
}

// TestSyncFailures provokes the exit codes. Planted faults seen to fail it: a full daemon
// permanent, 25 transient, no check of the destination in pull.sh, no --timeout, no flock.
func TestSyncFailures(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	write(t, src, map[string]string{"a": "1", "b": "2"})
	source := transporttest.StartRsyncd(t, "common", src)
	for _, test := range []struct {
		name   string
		change func(t *testing.T, p *rsync.Pull)
		want   transport.Error
	}{
		{"unknown option", func(_ *testing.T, p *rsync.Pull) { p.Args = []string{"--nonsense"} },
			transport.Error{Class: transport.ClassPermanent, ExitCode: 1, Message: "rsync: --nonsense: unknown option"}},
		{"destination is a file", func(t *testing.T, p *rsync.Pull) {
			write(t, filepath.Dir(p.Destination), map[string]string{"tree": "precious"})
			t.Cleanup(func() {
				if b, err := os.ReadFile(p.Destination); err != nil || string(b) != "precious" {
					t.Errorf("the file is %q, %v", b, err)
				}
			})
		}, transport.Error{Class: transport.ClassTransient, ExitCode: 3, Message: "not a directory"}},
		{"destination is a dangling link", func(t *testing.T, p *rsync.Pull) {
			write(t, filepath.Dir(p.Destination), map[string]string{"x": ""})
			if err := os.Symlink("nowhere", p.Destination); err != nil {
				t.Fatal(err)
			}
		}, transport.Error{Class: transport.ClassTransient, ExitCode: 3, Message: "not a directory"}},
		{"parent is a file", func(t *testing.T, p *rsync.Pull) {
			write(t, filepath.Dir(filepath.Dir(p.Destination)), map[string]string{"srv": "precious"})
		}, transport.Error{Class: transport.ClassTransient, ExitCode: 3, Message: "File exists"}},
		{"scratch is a file", func(t *testing.T, p *rsync.Pull) {
			write(t, filepath.Dir(p.Scratch), map[string]string{"x": ""})
		}, transport.Error{Class: transport.ClassTransient, ExitCode: 3, Message: "File exists"}},
		{"unknown module", func(_ *testing.T, p *rsync.Pull) { p.Source += "-not" },
			transport.Error{Class: transport.ClassPermanent, ExitCode: 5, Source: true, Message: "Unknown module 'common-not'"}},
		{"authentication", func(t *testing.T, p *rsync.Pull) {
			p.Source = transporttest.StartRsyncd(t, "common", src, "auth users = bob", "secrets file = /nonexistent")
		}, transport.Error{Class: transport.ClassPermanent, ExitCode: 5, Source: true, Message: "auth failed on module common"}},
		{"daemon is full", func(t *testing.T, p *rsync.Pull) {
			d := transporttest.StartDaemon(t, rsync.DaemonConfig{Module: "common", Path: src, MaxConnections: 1})
			p.Source = d.Endpoint + "/common"
			conn, err := net.Dial("tcp", strings.TrimPrefix(d.Endpoint, "rsync://"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			if _, err := io.WriteString(conn, "@RSYNCD: 31.0 md5\ncommon\n"); err != nil {
				t.Fatal(err)
			}
			// Its answer tells that the place is taken.
			r := bufio.NewReader(conn)
			for {
				line, err := r.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(line, "@RSYNCD: OK") {
					return
				}
			}
		}, transport.Error{Class: transport.ClassTransient, ExitCode: 5, Source: true, Message: "max connections (1) reached"}},
		{"connection refused", func(t *testing.T, p *rsync.Pull) {
			d := transporttest.StartDaemon(t, rsync.DaemonConfig{Module: "common", Path: src})
			p.Source = d.Endpoint + "/common"
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}, transport.Error{Class: transport.ClassTransient, ExitCode: 10, Source: true, Message: "Connection refused"}},
		{"source does not answer", func(t *testing.T, p *rsync.Pull) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
			p.Source, p.Timeout = "rsync://"+l.Addr().String()+"/common", time.Millisecond // rounded up
		}, transport.Error{Class: transport.ClassTransient, ExitCode: 30, Source: true, Message: "timeout"}},
		{"source is gone below the module", func(t *testing.T, p *rsync.Pull) {
			p.Source = transporttest.StartRsyncd(t, "common", src+"/not")
		}, transport.Error{Class: transport.ClassPermanent, ExitCode: 5, Source: true, Message: "chdir failed"}},
		{"a file of the host is in the way", func(t *testing.T, p *rsync.Pull) {
			write(t, p.Destination, map[string]string{"a/keep.swp": ""})
			p.Exclude = []string{"*.swp"}
		}, transport.Error{Class: transport.ClassTransient, ExitCode: 23, Message: "could not make way"}},
		{"too many deletions", func(t *testing.T, p *rsync.Pull) {
			write(t, p.Destination, map[string]string{"x": "", "y": "", "z": ""})
			p.MaxDelete = 2
			t.Cleanup(func() {
				if n := len(read(t, p.Destination)); n != 3 {
					t.Errorf("%d files are left, not 3", n)
				}
			})
		}, transport.Error{Class: transport.ClassPermanent, ExitCode: 25, Message: "max-delete"}},
		{"no deletion allowed", func(t *testing.T, p *rsync.Pull) {
			write(t, p.Destination, map[string]string{"x": ""})
			p.MaxDelete = 0
		}, transport.Error{Class: transport.ClassPermanent, ExitCode: 25, Message: "max-delete"}},
		{"busy", func(t *testing.T, p *rsync.Pull) {
			write(t, p.Scratch, map[string]string{"x": ""})
			f, err := os.Create(lockOf(*p))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = f.Close() })
			if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
				t.Fatal(err)
			}
		}, transport.Error{Class: transport.ClassBusy, ExitCode: 75, Message: "another rsync"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := here(t, source)
			test.change(t, &p)
			_, err := rsync.Sync(t.Context(), local, p, rsync.Watch{Log: func(line string) { t.Log(line) }})
			var e *transport.Error
			if !errors.As(err, &e) {
				t.Fatalf("the error is %v", err)
			}
			if e.Class != test.want.Class || e.ExitCode != test.want.ExitCode || e.Source != test.want.Source || e.Program != "rsync" ||
				!strings.Contains(e.Message, test.want.Message) {
				t.Errorf("got  %+v\nwant %+v", *e, test.want)
			}
		})
	}
}

// TestProgressNeverBlocks: a callback that hangs until the transfer is complete.
func TestProgressNeverBlocks(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	for i := range 3000 {
		write(t, src, map[string]string{fmt.Sprintf("d%d/f%d", i%10, i): "x"})
	}
	p := here(t, transporttest.StartRsyncd(t, "common", src))
	release := make(chan struct{})
	var last rsync.Progress
	done := make(chan error, 1)
	go func() {
		_, err := rsync.Sync(t.Context(), local, p, rsync.Watch{Progress: func(now rsync.Progress) {
			<-release
			last = now
		}})
		done <- err
	}()
	transporttest.Eventually(t, "the transfer is complete", func() bool {
		if _, err := os.Stat(p.Destination); err != nil {
			return false
		}
		names, _ := filepath.Glob(p.Destination + "/d*/f*")
		return len(names) == 3000
	})
	free(t, lockOf(p))
	close(release)
	if err := <-done; err != nil || last.Files != 3000 {
		t.Errorf("%+v, %v", last, err)
	}
}

func TestMissingHere(t *testing.T) {
	transporttest.Need(t, "rsync")
	bin := t.TempDir()
	for _, program := range []string{"sh", "env", "mkdir", "sleep", "mktemp", "head", "wc", "rm"} {
		if err := os.Symlink(transporttest.Need(t, program), filepath.Join(bin, program)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin)
	_, err := rsync.Sync(t.Context(), local, here(t, "rsync://127.0.0.1:1/common"), rsync.Watch{})
	var e *transport.Error
	var missing *transport.MissingError
	if !errors.As(err, &e) || e.Class != transport.ClassMissing || !errors.Is(err, transport.ErrMissing) ||
		!errors.As(err, &missing) || strings.Join(missing.Programs, " ") != "rsync flock" {
		t.Errorf("%#v", err)
	}
	// The same exit code of another machine is not about this one.
	fake := &transporttest.Fake{Answer: func(context.Context, transport.Command) (transport.Result, error) {
		return transport.Result{ExitCode: 127, Stderr: "rsync: not found"}, nil
	}}
	_, err = rsync.Sync(t.Context(), fake, here(t, "rsync://127.0.0.1:1/common"), rsync.Watch{})
	if !errors.As(err, &e) || e.Class != transport.ClassPermanent || e.Error() != "rsync exit 127: rsync: not found" {
		t.Errorf("%#v", err)
	}
}
