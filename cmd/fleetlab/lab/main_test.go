//go:build linux

package lab

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What this test binary does when it is started by a test, on a host or beside it.
const (
	fetchURL = "LABTEST_FETCH" // prints what a URL answers
	upIn     = "LABTEST_UP"    // brings a lab up in a directory, says so, and stays
)

func TestMain(m *testing.M) {
	if code, is := Child(); is {
		os.Exit(code)
	}
	switch {
	case os.Getenv(fetchURL) != "":
		os.Exit(fetch(os.Getenv(fetchURL)))
	case os.Getenv(upIn) != "":
		os.Exit(stayUp(os.Getenv(upIn)))
	}
	// A program with the race detector waits for a second before it exits, unless it is told not to.
	if err := os.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=0"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func fetch(url string) int {
	c := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DialContext: (&net.Dialer{Timeout: time.Second}).DialContext,
	}}
	reply, err := c.Get(url)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer reply.Body.Close()
	fmt.Println(reply.StatusCode)
	_, _ = io.Copy(os.Stdout, reply.Body)
	return 0
}

func stayUp(dir string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	o := Defaults()
	o.Dir, o.Hosts, o.Proxies = dir, 3, 1
	l, err := Up(ctx, o)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("up")
	<-ctx.Done()
	if err := l.Close(); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// bringUp returns a lab that ends with the test.
func bringUp(t *testing.T, o Options) *Lab {
	t.Helper()
	Need(t)
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "lab")
	}
	l, err := Up(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			said, _ := os.ReadFile(filepath.Join(l.Dir, logFile))
			t.Logf("the lab's log:\n%s", said)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// get returns what a URL answers when it is asked from a host.
func get(t *testing.T, l *Lab, from, url string) (answer string, err error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := l.Command(t.Context(), from, self)
	c.Env = append(os.Environ(), fetchURL+"="+url)
	out, err := c.CombinedOutput()
	return string(out), err
}

// must returns what a command on a host prints.
func must(t *testing.T, l *Lab, host string, argv ...string) string {
	t.Helper()
	out, err := l.Exec(t.Context(), host, argv...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func done(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// process is one that no other can be taken for.
type process struct {
	pid   int
	since string
}

// descendants returns all processes that come from one, itself included.
func descendants(t *testing.T, root int) []process {
	t.Helper()
	parents := map[int]int{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		parents[pid], _ = strconv.Atoi(f[1])
	}
	var all []process
	for pid := range parents {
		for p := pid; p > 1; p = parents[p] {
			if p == root {
				all = append(all, process{pid, started(pid)})
				break
			}
		}
	}
	return all
}

// machine is what of the machine a lab must leave as it is: interfaces, named namespaces and mounts.
func machine(t *testing.T) string {
	t.Helper()
	var all []string
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		addresses, err := i.Addrs()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprint(i.Index, i.Name, i.Flags, addresses))
	}
	for _, file := range []string{"/proc/self/net/route", "/proc/self/net/dev_mcast"} {
		data, _ := os.ReadFile(file)
		all = append(all, string(data))
	}
	named, _ := filepath.Glob("/run/netns/*")
	all = append(all, named...)
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(append(all, string(mounts)), "\n")
}

// waitGone waits until none of the processes is left.
func waitGone(t *testing.T, all []process) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); ; <-tick.C {
		left := slices.DeleteFunc(slices.Clone(all), func(p process) bool { return started(p.pid) != p.since })
		if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			for _, p := range left {
				line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.pid))
				t.Errorf("%d is left: %q", p.pid, line)
			}
			return
		}
	}
}
