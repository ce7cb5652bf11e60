//go:build linux

package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/cmd/internal/testfleet"
)

// TestLab sees what a lab is and what can be done to its hosts, on one lab, because bringing one up is most of
// the time.
//
// Tried with these faults, each of which it reports: the link stays up in kill (the connection is closed, not
// silent); partition that does nothing; heal without the link; disks not mounted; fill that stops early, and one
// of the machine's disk; shape of one end only, of either; heal without the shape; a relay that does not wait,
// or carries one way only, or is not taken away; certificates with another principal, and for any; the host's
// own /run left out; signals not handed on; a command that outlives its client.
func TestLab(t *testing.T) {
	o := Defaults()
	o.Hosts, o.SrvSize, o.Files = 6, "24M", 300
	before := machine(t)
	l := bringUp(t, o)
	master, host, other := l.Named(RoleMaster)[0], l.Named(RoleHost)[0], l.Named(RoleCanary)[0]
	if n := len(l.Named(RoleMaster)) + len(l.Named(RoleHost)) + len(l.Named(RoleCanary)) + len(l.Named(RoleProxy)); n != 8 {
		t.Fatalf("%d hosts and masters, want 6 and 2: %v", n, l.Hosts)
	}
	if after := machine(t); after != before {
		t.Errorf("the machine has changed, from\n%s\nto\n%s", before, after)
	}

	t.Run("Hosts", func(t *testing.T) {
		for _, h := range l.Hosts {
			out := must(t, l, h.Name, "sh", "-c", "hostname; id -u; echo $HOME $FLEETSYNC_CONFIG; cat /proc/1/cmdline | tr '\\0' ' '; ls -A /srv")
			lines := strings.Split(out, "\n")
			if lines[0] != h.Name || lines[1] != "0" || lines[2] != home+" "+l.Config || !strings.HasPrefix(lines[3], asHost) {
				t.Errorf("%s says %q", h.Name, out)
			}
		}
	})
	t.Run("SSH", func(t *testing.T) {
		if out := must(t, l, master, "ssh", "-F", l.SSHConfig, host, "hostname"); out != host+"\n" {
			t.Errorf("ssh to %s: %q", host, out)
		}
		if out := must(t, l, master, "ssh", host, "hostname"); out != host+"\n" {
			t.Errorf("ssh to %s without -F: %q", host, out)
		}
		out, err := l.Exec(t.Context(), master, "ssh", "-o", "BatchMode=yes", "-o", "UserKnownHostsFile=/dev/null", host, "hostname")
		if err == nil || !strings.Contains(err.Error(), "Host key verification failed") {
			t.Errorf("ssh to an unknown host: %q, %v", out, err)
		}
		// The certificate is the host's own: under another name it is refused.
		if out, err := l.Exec(t.Context(), master, "ssh", "-o", "BatchMode=yes", "-o", "HostKeyAlias="+other, host, "hostname"); err == nil {
			t.Errorf("ssh to a host that is not who it should be: %q", out)
		}
	})
	t.Run("Tree", func(t *testing.T) {
		if answer, err := get(t, l, master, "http://"+host+"/wiki/Main_Page"); err != nil || !strings.HasPrefix(answer, "404\n") {
			t.Errorf("before a sync: %q, %v", answer, err)
		}
		must(t, l, host, "rsync", "-a", "rsync://"+master+"/"+module+"/", destination+"/")
		if n := must(t, l, host, "sh", "-c", "find "+destination+" -type f | wc -l"); strings.TrimSpace(n) != "300" {
			t.Errorf("%s files, want 300", n)
		}
		if answer, err := get(t, l, master, "http://"+host+"/wiki/Main_Page"); err != nil ||
			answer != "200\nMain Page: MediaWiki 1.27.0-wmf.11\n" {
			t.Errorf("after a sync: %q, %v", answer, err)
		}
		must(t, l, host, "rm", destination+"/"+testfleet.Versions)
		if answer, err := get(t, l, master, "http://"+host+"/wiki/Main_Page"); err != nil || !strings.HasPrefix(answer, "500\n") {
			t.Errorf("of a broken tree: %q, %v", answer, err)
		}
		if answer, err := get(t, l, master, "http://"+host+"/healthz"); err != nil || answer != "200\nok\n" {
			t.Errorf("health: %q, %v", answer, err)
		}
		// What was synced is what others get.
		if out := must(t, l, other, "rsync", "rsync://"+host+"/"+module+"/"); !strings.Contains(out, "php-1.27.0-wmf.11") {
			t.Errorf("the host serves %q", out)
		}
	})
	t.Run("Pools", func(t *testing.T) {
		answer, err := get(t, l, master, l.Pools+"/v2/keys"+testfleet.PoolPrefix+"?recursive=true")
		if err != nil {
			t.Fatal(err, answer)
		}
		if n := strings.Count(answer, `\"pooled\": \"yes\"`); n != 6*len(testfleet.Services) {
			t.Errorf("%d pool objects, want %d:\n%s", n, 6*len(testfleet.Services), answer)
		}
	})
	t.Run("Command", func(t *testing.T) {
		c := l.Command(t.Context(), host, "sh", "-c", "cat; echo said >&2; pwd; exit 7")
		c.Stdin, c.Dir = strings.NewReader("read\n"), "/etc"
		var out, said strings.Builder
		c.Stdout, c.Stderr = &out, &said
		err := c.Run()
		if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 7 || out.String() != "read\n/etc\n" ||
			said.String() != "said\n" {
			t.Errorf("%v, %q, %q", err, out.String(), said.String())
		}
		if _, err := l.Exec(t.Context(), host, "no-such-program"); err == nil || !strings.Contains(err.Error(), "127") {
			t.Errorf("no such program: %v", err)
		}
		// A signal that can be caught is handed on.
		c, _ = say(t, l, host, `trap "exit 9" TERM; echo up; while :; do sleep 0.01; done`)
		done(t, c.Process.Signal(syscall.SIGTERM))
		if err := c.Wait(); err == nil || c.ProcessState.ExitCode() != 9 {
			t.Errorf("after SIGTERM: %v", err)
		}
		// One that cannot ends both, so the pipe of both ends.
		c, both := say(t, l, host, "echo up; while :; do :; done")
		done(t, c.Process.Kill())
		if rest, err := io.ReadAll(both); err != nil || len(rest) > 0 {
			t.Errorf("after SIGKILL: %q, %v", rest, err)
		}
		_ = c.Wait()
	})
	t.Run("Slow", func(t *testing.T) {
		const bytes, rate = 600_000, "4mbit" // of which 256 KB go at once, the rest takes 0.7 s
		done(t, l.Slow(t.Context(), host, rate))
		for what, argv := range map[string][]string{
			"up":   {master, "ssh", host, fmt.Sprintf("head -c %d /dev/zero", bytes)},
			"down": {host, "ssh", master, fmt.Sprintf("head -c %d /dev/zero", bytes)},
		} {
			began := time.Now()
			if out := must(t, l, argv[0], argv[1:]...); len(out) != bytes {
				t.Errorf("%s: %d bytes", what, len(out))
			}
			if took := time.Since(began); took < 600*time.Millisecond {
				t.Errorf("%s: %d bytes took %v at %s", what, bytes, took, rate)
			}
		}
		done(t, l.Heal(t.Context(), host))
		began := time.Now()
		must(t, l, master, "ssh", host, "true")
		idle := time.Since(began)
		began = time.Now()
		must(t, l, master, "ssh", host, "head -c 20000000 /dev/zero")
		if took := time.Since(began) - idle; took > 20*time.Second {
			t.Errorf("20 MB took %v after heal", took)
		}
		if out := must(t, l, host, "tc", "qdisc", "show", "dev", "eth0"); strings.Contains(out, "tbf") {
			t.Errorf("after heal: %s", out)
		}
		if err := l.Slow(t.Context(), host, "fast; reboot"); err == nil {
			t.Error("no rate was taken for one")
		}
	})
	t.Run("Delay", func(t *testing.T) {
		const longer = 100 * time.Millisecond
		done(t, l.Delay(t.Context(), host, longer))
		if took := roundTrip(t, l, master, host); took < longer {
			t.Errorf("a round trip takes %v with %v of delay", took, longer)
		}
		if out := must(t, l, host, "ssh", master, "head -c 1000000 /dev/zero"); len(out) != 1_000_000 {
			t.Errorf("%d bytes came through", len(out))
		}
		if answer, err := get(t, l, host, "http://"+other+"/healthz"); err != nil {
			t.Errorf("from a host with a delay: %q, %v", answer, err)
		}
		done(t, l.Partition(t.Context(), host))
		if answer, err := get(t, l, master, "http://"+host+"/healthz"); err == nil {
			t.Errorf("a host without a link: %q", answer)
		}
		done(t, l.Heal(t.Context(), host))
		if answer, err := get(t, l, master, "http://"+host+"/healthz"); err != nil {
			t.Errorf("after heal: %q, %v", answer, err)
		}
		done(t, l.Delay(t.Context(), host, longer))
		done(t, l.Delay(t.Context(), host, 0))
		if took := roundTrip(t, l, master, host); took >= longer {
			t.Errorf("a round trip takes %v without delay", took)
		}
		if out := must(t, l, host, "ssh", master, "head -c 1000000 /dev/zero"); len(out) != 1_000_000 {
			t.Errorf("%d bytes came through without delay", len(out))
		}
		done(t, l.Delay(t.Context(), host, longer))
		done(t, l.Kill(t.Context(), host))
		done(t, l.Start(t.Context(), host))
		must(t, l, master, "ssh", host, "true")
	})
	t.Run("Skew", func(t *testing.T) {
		if _, err := faketime(); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
		wantClock := func(ahead time.Duration, argv ...string) {
			t.Helper()
			var off time.Duration
			for range 200 { // a file's new offset is read within a second
				began := time.Now()
				said, err := strconv.ParseFloat(strings.TrimSpace(must(t, l, argv[0], argv[1:]...)), 64)
				done(t, err)
				off = time.Unix(0, int64(said*1e9)).Sub(began) - ahead
				if off.Abs() < 30*time.Second {
					return
				}
			}
			t.Errorf("%v: the clock is %v off, not %v", argv, off+ahead, ahead)
		}
		const now = "date +%s.%N"
		wantClock(0, master, "ssh", host, now)
		done(t, l.Skew(t.Context(), host, time.Hour))
		wantClock(time.Hour, master, "ssh", host, now)
		wantClock(time.Hour, host, "sh", "-c", now)
		wantClock(0, other, "sh", "-c", now)
		// What somebody computes is of the wrong clock; times of files are what they are.
		must(t, l, host, "sh", "-euc", `cd /srv; rm -rf s; mkdir s; touch -d @1.000000002 s/old; touch s/now
test "$(stat -c %.9Y s/old)" = 1.000000002; test -n "$(find s/now -mmin -1)"
touch -d '-59 min' s/past; test $(stat -c %Y s/past) -lt $(($(date +%s) - 3000))
rsync -a s/ t; test "$(stat -c %.9Y t/old)" = 1.000000002; test "$(stat -c %.9Y t/now)" = "$(stat -c %.9Y s/now)"`)
		info := strings.Fields(must(t, l, other, "sh", "-c", "date +%s; touch /srv/now; stat -c %Y /srv/now"))
		if len(info) != 2 || info[0] > info[1] {
			t.Errorf("on another host it is %v", info)
		}
		done(t, l.Skew(t.Context(), host, -time.Hour))
		wantClock(-time.Hour, master, "ssh", host, now)
		done(t, l.Heal(t.Context(), host))
		wantClock(0, master, "ssh", host, now)
		wantClock(0, host, "sh", "-c", now)
		done(t, l.Skew(t.Context(), host, time.Hour))
		done(t, l.Kill(t.Context(), host))
		done(t, l.Start(t.Context(), host))
		wantClock(0, master, "ssh", host, now)
	})
	t.Run("FillDisk", func(t *testing.T) {
		done(t, l.FillDisk(t.Context(), host))
		if _, err := l.Exec(t.Context(), host, "cp", "/bin/sh", "/srv/x"); err == nil || !strings.Contains(err.Error(), "o space left") {
			t.Errorf("writing to a full disk: %v", err)
		}
		must(t, l, other, "sh", "-c", "echo x > /srv/x")
		done(t, l.Heal(t.Context(), host))
		must(t, l, host, "sh", "-c", "echo x > /srv/x")
	})
	t.Run("Partition", func(t *testing.T) {
		done(t, l.Partition(t.Context(), host))
		if answer, err := get(t, l, master, "http://"+host+"/healthz"); err == nil || !strings.Contains(answer, "timeout") {
			t.Errorf("a host without a link: %q, %v", answer, err)
		}
		if answer, err := get(t, l, host, "http://"+master+"/healthz"); err == nil {
			t.Errorf("from a host without a link: %q", answer)
		}
		if answer, err := get(t, l, master, "http://"+other+"/healthz"); err != nil {
			t.Errorf("another host: %q, %v", answer, err)
		}
		if out := must(t, l, host, "hostname"); out != host+"\n" {
			t.Errorf("a command on it: %q", out)
		}
		done(t, l.Heal(t.Context(), host))
		if answer, err := get(t, l, master, "http://"+host+"/healthz"); err != nil {
			t.Errorf("after heal: %q, %v", answer, err)
		}
	})
	t.Run("PowerCut", func(t *testing.T) {
		must(t, l, host, "sh", "-c", "echo kept > /srv/kept; echo kept > /var/lib/fleetsync/kept; echo lost > /run/lost")
		local, _ := say(t, l, host, "echo up; while :; do :; done")
		remote, _ := say(t, l, master, "exec ssh "+host+" 'echo up; exec sleep 1000'")
		done(t, l.Kill(t.Context(), host))
		if err := local.Wait(); err == nil || local.ProcessState.ExitCode() != 255 {
			t.Errorf("a command on it: %v", err)
		}
		// The other side has not been told: its connection is established (state 01), not closed (08).
		port22 := l.hex(t, host) + ":0016 01 "
		if out := must(t, l, master, "cat", "/proc/net/tcp"); !strings.Contains(out, port22) {
			t.Errorf("connections of %s to %s:\n%s", master, port22, out)
		}
		done(t, remote.Process.Kill())
		_ = remote.Wait()
		if err := l.Kill(t.Context(), host); err == nil {
			t.Error("a host that is down was killed")
		}
		if err := l.Partition(t.Context(), host); err == nil {
			t.Error("a host that is down was partitioned")
		}
		if answer, err := get(t, l, master, "http://"+host+"/healthz"); err == nil {
			t.Errorf("a host that is down: %q", answer)
		}
		done(t, l.Start(t.Context(), host))
		if err := l.Start(t.Context(), host); err == nil {
			t.Error("a host that is up was started")
		}
		if out := must(t, l, master, "ssh", host,
			"cat /srv/kept /var/lib/fleetsync/kept; cat /run/lost 2>/dev/null || echo gone"); out != "kept\nkept\ngone\n" {
			t.Errorf("after it booted: %q", out)
		}
		if answer, err := get(t, l, master, "http://"+host+"/healthz"); err != nil {
			t.Errorf("after it booted: %q, %v", answer, err)
		}
	})
	t.Run("Etcd", func(t *testing.T) {
		done(t, l.Kill(t.Context(), Conf))
		if answer, err := get(t, l, master, l.Pools+"/version"); err == nil {
			t.Errorf("a dead etcd: %q", answer)
		}
		done(t, l.Start(t.Context(), Conf))
		answer, err := get(t, l, master, l.Pools+"/v2/keys"+testfleet.PoolPrefix+"?recursive=true")
		if err != nil || !strings.Contains(answer, host) {
			t.Errorf("after it booted: %q, %v", answer, err)
		}
	})
	t.Run("Two", func(t *testing.T) {
		second := Defaults()
		second.Hosts, second.Proxies, second.Masters = 2, 1, 1
		l2 := bringUp(t, second)
		one := l2.Named(RoleCanary)[0]
		done(t, l.Kill(t.Context(), one))
		if answer, err := get(t, l2, l2.Named(RoleMaster)[0], "http://"+one+"/healthz"); err != nil {
			t.Errorf("the other lab's host: %q, %v", answer, err)
		}
		done(t, l.Start(t.Context(), one))
		done(t, l2.Close())
		if _, err := os.Stat(l2.Dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("its directory: %v", err)
		}
		if answer, err := get(t, l, master, "http://"+one+"/healthz"); err != nil {
			t.Errorf("the first lab's host: %q, %v", answer, err)
		}
	})
	t.Run("Close", func(t *testing.T) {
		all := descendants(t, l.pid(t))
		if len(all) < 1+3*8+2 { // the world, three on each host, two for etcd
			t.Errorf("only %d processes: %v", len(all), all)
		}
		done(t, l.Close())
		for _, p := range all { // none is waited for: Close has
			if started(p.pid) == p.since {
				t.Errorf("process %d is left", p.pid)
			}
		}
		if _, err := os.Stat(l.Dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("its directory: %v", err)
		}
		if after := machine(t); after != before {
			t.Errorf("the machine has changed, from\n%s\nto\n%s", before, after)
		}
		if _, err := l.Exec(t.Context(), master, "true"); err == nil {
			t.Error("a host of a lab that has ended ran a command")
		}
	})
}

// roundTrip returns the shortest round trip that TCP saw on a connection of ssh's.
func roundTrip(t *testing.T, l *Lab, from, to string) time.Duration {
	t.Helper()
	out := must(t, l, from, "ssh", to, "ss --tcp --info --numeric --no-header state established sport = :22")
	found := regexp.MustCompile(`minrtt:([0-9.]+)`).FindAllStringSubmatch(out, -1)
	if len(found) != 1 {
		t.Fatalf("%d connections to %s:\n%s", len(found), to, out)
	}
	d, err := time.ParseDuration(found[0][1] + "ms")
	done(t, err)
	return d
}

// say starts a script on a host, and returns once it has said something.
func say(t *testing.T, l *Lab, host, script string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	// A command that should end and does not must not keep the test for ever.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	c := l.Command(ctx, host, "sh", "-c", script)
	r, w, err := os.Pipe()
	done(t, err)
	t.Cleanup(func() { _ = r.Close() })
	done(t, r.SetReadDeadline(time.Now().Add(20*time.Second)))
	c.Stdout = w
	done(t, c.Start())
	done(t, w.Close())
	out := bufio.NewReader(r)
	if _, err := out.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return c, out
}

// hex returns a host's address as /proc/net/tcp writes it.
func (l *Lab) hex(t *testing.T, host string) string {
	t.Helper()
	for _, h := range l.Hosts {
		if h.Name == host {
			var a, b, c, d int
			if _, err := fmt.Sscanf(h.Address, "%d.%d.%d.%d", &a, &b, &c, &d); err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf("%02X%02X%02X%02X", d, c, b, a)
		}
	}
	t.Fatalf("no host %s", host)
	return ""
}

// pid returns the process of the lab's world.
func (l *Lab) pid(t *testing.T) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(l.Dir, pidFile))
	done(t, err)
	var pid int
	_, err = fmt.Sscan(string(data), &pid)
	done(t, err)
	return pid
}

// TestKilled ends who brought a lab up by a signal that nobody can catch: nothing of the lab is left but its files,
// and those Down deletes. Tried without the world's watch over its standard input, and with a Down that
// deletes nothing.
func TestKilled(t *testing.T) {
	Need(t)
	dir := filepath.Join(t.TempDir(), "lab")
	before := machine(t)
	owner, all := elsewhere(t, dir)
	done(t, owner.Process.Kill())
	_ = owner.Wait()
	waitGone(t, all)
	if after := machine(t); after != before {
		t.Errorf("the machine has changed, from\n%s\nto\n%s", before, after)
	}
	if _, err := Up(t.Context(), Options{Dir: dir, Hosts: 2, Masters: 1, Files: 1}); err == nil ||
		!strings.Contains(err.Error(), "fleetlab down") {
		t.Errorf("another lab in its place: %v", err)
	}
	done(t, Down(t.Context(), dir))
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its directory: %v", err)
	}
}

// TestDown ends a lab from outside.
func TestDown(t *testing.T) {
	Need(t)
	dir := filepath.Join(t.TempDir(), "lab")
	owner, all := elsewhere(t, dir)
	l, err := Open(dir)
	done(t, err)
	if out := must(t, l, "mw01", "hostname"); out != "mw01\n" {
		t.Errorf("from outside: %q", out)
	}
	done(t, Down(t.Context(), dir))
	for _, p := range all[1:] {
		if p.pid != owner.Process.Pid && started(p.pid) == p.since {
			t.Errorf("process %d is left", p.pid)
		}
	}
	done(t, owner.Process.Signal(syscall.SIGTERM))
	if err := owner.Wait(); err != nil {
		t.Errorf("who brought it up: %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its directory: %v", err)
	}
	if err := Down(t.Context(), dir); err == nil {
		t.Error("a lab that is not there was ended")
	}
}

// TestDownEarly ends a lab that has not come up yet. Tried with a Down that gives up when the lab does not answer.
func TestDownEarly(t *testing.T) {
	Need(t)
	dir := filepath.Join(t.TempDir(), "lab")
	self, err := os.Executable()
	done(t, err)
	owner := exec.Command(self)
	owner.Env = append(os.Environ(), upIn+"="+dir)
	var said strings.Builder
	owner.Stdout = &said
	done(t, owner.Start())
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(filepath.Join(dir, pidFile)); err == nil {
			break
		}
		select {
		case <-t.Context().Done():
			t.Fatal("the lab has no process")
		case <-tick.C:
		}
	}
	all := descendants(t, owner.Process.Pid)
	done(t, Down(t.Context(), dir))
	if err := owner.Wait(); err == nil {
		t.Errorf("who brought it up says %q", said.String())
	}
	waitGone(t, all)
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its directory: %v", err)
	}
}

// elsewhere brings a lab up in another process.
func elsewhere(t *testing.T, dir string) (*exec.Cmd, []process) {
	t.Helper()
	self, err := os.Executable()
	done(t, err)
	c := exec.Command(self)
	c.Env = append(os.Environ(), upIn+"="+dir)
	out, err := c.StdoutPipe()
	done(t, err)
	done(t, c.Start())
	t.Cleanup(func() { _ = c.Process.Kill() })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "up\n" {
		t.Fatalf("%q, %v", line, err)
	}
	return c, descendants(t, c.Process.Pid)
}

// TestUpFails sees that nothing is left of a lab that did not come up.
func TestUpFails(t *testing.T) {
	Need(t)
	dir := filepath.Join(t.TempDir(), "lab")
	o := Options{Dir: dir, Hosts: 3, Masters: 1, Files: 2, SrvSize: "1M", BytesPerFile: 2 << 20}
	if _, err := Up(t.Context(), o); err == nil || !strings.Contains(err.Error(), "o space left") {
		t.Errorf("a tree that its disk cannot hold: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Up(ctx, Options{Dir: dir, Hosts: 3, Masters: 1, Files: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its directory: %v", err)
	}
	t.Setenv("PATH", "/nowhere")
	var missing *MissingError
	if _, err := Up(t.Context(), o); !errors.As(err, &missing) || !strings.Contains(err.Error(), "apt-get install etcd-server") {
		t.Errorf("without programs: %v", err)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	good := func() Options {
		o := Defaults()
		o.Dir = "/tmp/lab"
		return o
	}
	if err := good().Validate(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*Options){
		"needs a directory":    func(o *Options) { o.Dir = "" },
		"cannot hold a lab: c": func(o *Options) { o.Dir = "/tmp/a lab" },
		"/run of its own":      func(o *Options) { o.Dir = "/run/lab" },
		"/srv of its own":      func(o *Options) { o.Dir = "/srv" },
		"needs a master":       func(o *Options) { o.Masters = 0 },
		"too few":              func(o *Options) { o.Proxies = o.Hosts },
		"fewer than none":      func(o *Options) { o.Proxies = -1 },
		"bridge":               func(o *Options) { o.Hosts = 1001 },
		"needs a file":         func(o *Options) { o.Files = 0 },
		"no rate":              func(o *Options) { o.Rate = "10mbit drop" },
		"no size":              func(o *Options) { o.SrvSize = "1g,exec" },
		"negative":             func(o *Options) { o.Soak = -1 },
		"copy the tree":        func(o *Options) { o.Tree = "/nowhere" },
		"lies in the tree":     func(o *Options) { o.Tree = "/tmp" },
	} {
		o := good()
		change(&o)
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// TestLay sees that every lab has the roles that it should, whatever its size, and files that can be read.
func TestLay(t *testing.T) {
	t.Parallel()
	for hosts := 1; hosts <= 300; hosts = hosts*2 + 1 {
		for proxies := 0; proxies < min(hosts, 9); proxies++ {
			o := Defaults()
			o.Dir, o.Hosts, o.Proxies = t.TempDir(), hosts, proxies
			all := lay(o)
			seen := map[string]bool{}
			for _, h := range all {
				if seen[h.Name] || seen[h.Address] {
					t.Errorf("%d hosts: %v is there twice", hosts, h)
				}
				seen[h.Name], seen[h.Address] = true, true
			}
			if len(all) != hosts+o.Masters+1 || len(named(all, RoleProxy)) != proxies || len(named(all, RoleCanary)) == 0 {
				t.Errorf("%d hosts, %d proxies: %v", hosts, proxies, all)
			}
			if err := writeFleet(o, all); err != nil {
				t.Errorf("%d hosts, %d proxies: %v", hosts, proxies, err)
			}
		}
	}
}

// TestSpec sees that what hosts are told is what was asked for.
func TestSpec(t *testing.T) {
	t.Parallel()
	o := Defaults()
	o.Dir, o.Rate = t.TempDir(), "10mbit"
	s := &spec{Options: o, Hosts: lay(o)}
	done(t, s.write())
	back, err := readSpec(o.Dir)
	done(t, err)
	a, _ := json.Marshal(s)
	b, _ := json.Marshal(back)
	if string(a) != string(b) {
		t.Errorf("%s\n%s", a, b)
	}
}
