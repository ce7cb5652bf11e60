//go:build linux

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/cmd/fleetlab/lab"
	"github.com/fleetsync/fleetsync/cmd/internal/testfleet"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// patience is how long anything may take before a test gives it up, on a machine that is busy.
const patience = 90 * time.Second

// longest is how long any run may take, however it is spoilt.
const longest = 5 * time.Minute

const (
	source      = "/srv/mediawiki-staging"
	destination = "/srv/mediawiki"
)

// policy is that of all runs here; a test replaces parts of it. Its times are short, because what they bound is
// near: a stopped transfer is given up after three seconds.
const policy = `inventory: inventory.yaml
state: /var/lib/fleetsync
pooling:
  endpoints: ["http://conf1:2379"]
  prefix: /conftool/v1/pools
  threshold: 50%
  timeout: 3s
  drain: 100ms
  health: {http: {url: "http://{host}/healthz"}}
lock: {ttl: 5s}
batches: {parallel: 40, ramp: [100%], max_failures: 20%, attempts: 2, timeout: 30s}
rsync: {timeout: 3s}
ssh: {client: native, connect_timeout: 1s}
gate:
  soak: 100ms
  interval: 100ms
  checks:
    - {name: front page, http: {url: "http://{host}/wiki/Main_Page", headers: {Host: en.wikipedia.org}, body: "Main Page"}}
    - {name: tree, command: [test, -s, "{destination}/wikiversions.php"]}
guard: {required: [wikiversions.php], max_delete: 50%}   # a host that missed two runs is to delete what both did
`

// fleet is a lab, and what its hosts are to fleetsync.
type fleet struct {
	*lab.Lab
	program                             string // fleetsync
	origin, comaster                    string
	canaries, proxies, ordinary, synced []string // synced are all that a run syncs
	pooled                              map[string]object
	policies, changes                   int
}

// object is a pool object.
type object struct {
	Value string
	Index int // of its last change
}

// up brings a lab up that ends with the test.
func up(t *testing.T, o lab.Options) *fleet {
	t.Helper()
	lab.Need(t)
	program, err := built()
	if err != nil {
		t.Fatal(err)
	}
	o.Dir = filepath.Join(t.TempDir(), "lab")
	l, err := lab.Up(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	masters := l.Named(lab.RoleMaster)
	f := &fleet{Lab: l, program: program, origin: masters[0], comaster: masters[1],
		canaries: l.Named(lab.RoleCanary), proxies: l.Named(lab.RoleProxy), ordinary: l.Named(lab.RoleHost)}
	f.synced = slices.Concat(masters[1:], f.canaries, f.proxies, f.ordinary)
	// A peer that is gone is noticed within some seconds rather than a minute; and the program's own choice of a key
	// exchange costs 80 ms of a processor for each connection.
	for _, m := range masters {
		at := l.Path(m, "/etc/ssh/ssh_config")
		text, err := os.ReadFile(at)
		done(t, err)
		done(t, os.WriteFile(at, append([]byte("ServerAliveInterval 2\nServerAliveCountMax 2\nKexAlgorithms curve25519-sha256\n"), text...),
			0o644))
	}
	f.pooled = f.pools(t)
	return f
}

// must returns what a script prints on a host.
func (f *fleet) must(t *testing.T, host, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := f.Exec(ctx, host, "sh", "-euc", script)
	done(t, err)
	return out
}

// ask has a host run this test binary, and decodes what it tells.
func (f *fleet) ask(t *testing.T, host, what, of string, answer any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	self, err := os.Executable()
	done(t, err)
	c := f.Command(ctx, host, self)
	c.Env = append(os.Environ(), what+"="+of)
	var said strings.Builder
	c.Stderr = &said
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %s %s: %v: %s", host, what, of, err, said.String())
	}
	done(t, json.Unmarshal(out, answer))
}

// tree returns what a host has.
func (f *fleet) tree(t *testing.T, host string) (w testfleet.Snapshot) {
	t.Helper()
	f.ask(t, host, walkOf, f.place(host), &w)
	return w
}

// place returns where a host has the tree.
func (f *fleet) place(host string) string {
	if host == f.origin || host == f.comaster {
		return source
	}
	return destination
}

// trees returns what hosts have.
func (f *fleet) trees(t *testing.T, hosts ...string) map[string]testfleet.Snapshot {
	t.Helper()
	all := map[string]testfleet.Snapshot{}
	for _, h := range hosts {
		all[h] = f.tree(t, h)
	}
	return all
}

// wantSynced fails the test unless the hosts have the source's tree.
func (f *fleet) wantSynced(t *testing.T, hosts ...string) {
	t.Helper()
	want := f.tree(t, f.origin)
	for _, h := range hosts {
		wantTree(t, h, want, f.tree(t, h), false)
	}
}

// pools returns the pool objects of all hosts. It asks where they are, because masters may be cut off.
func (f *fleet) pools(t *testing.T) map[string]object {
	t.Helper()
	var text string
	f.ask(t, lab.Conf, getOf, f.Pools+"/v2/keys/conftool/v1/pools?recursive=true&quorum=true", &text)
	type node struct {
		Key, Value    string
		ModifiedIndex int
		Nodes         []node
	}
	var reply struct{ Node node }
	done(t, json.Unmarshal([]byte(text), &reply))
	all := map[string]object{}
	var collect func(n node)
	collect = func(n node) {
		if len(n.Nodes) == 0 {
			all[n.Key] = object{n.Value, n.ModifiedIndex}
		}
		for _, n := range n.Nodes {
			collect(n)
		}
	}
	collect(reply.Node)
	if len(all) != 2*(len(f.synced)-1) {
		t.Fatalf("%d pool objects: %v", len(all), all)
	}
	return all
}

// wantPools fails the test unless all pool objects but those of the named hosts are what they were when the lab came
// up, and those are out.
func (f *fleet) wantPools(t *testing.T, out ...string) {
	t.Helper()
	for key, now := range f.pools(t) {
		was := f.pooled[key]
		if slices.Contains(out, filepath.Base(key)) {
			if !strings.Contains(now.Value, `"pooled": "no"`) || !strings.Contains(now.Value, `"fleetsync"`) {
				t.Errorf("%s should be out: %s", key, now.Value)
			}
		} else if now.Value != was.Value {
			t.Errorf("%s is %s, was %s", key, now.Value, was.Value)
		}
	}
}

// out returns the hosts of which an object bears a run's marker.
func (f *fleet) out(t *testing.T) []string {
	t.Helper()
	hosts := map[string]bool{}
	for key, now := range f.pools(t) {
		if strings.Contains(now.Value, `"fleetsync"`) {
			hosts[filepath.Base(key)] = true
		}
	}
	return slices.Sorted(maps.Keys(hosts))
}

// skew sets a host's clock wrong; false: this machine cannot, which only CI minds.
func (f *fleet) skew(t *testing.T, host string, by time.Duration) bool {
	t.Helper()
	err := f.Skew(t.Context(), host, by)
	if os.Getenv("CI") == "" && errors.As(err, new(*lab.MissingError)) {
		return false
	}
	done(t, err)
	return true
}

// bigSize is that of a file with which a transfer can be met half-way.
const bigSize = 1_500_000

// change changes the source: content, a mode, a link; what the last change made is gone. With big that file has
// new content, of which no host has anything; it stays, or the guard would see the tree shrink.
func (f *fleet) change(t *testing.T, big bool) {
	t.Helper()
	f.changes++
	f.must(t, f.origin, fmt.Sprintf(`cd %s; n=%d
rm -rf new-*; mkdir -p new-$n/empty; echo $n >new-$n/file; ln -s file new-$n/link; chmod 0700 new-$n/empty
for f in $(find php-* -type f ! -name '* *' | sort | sed -n "$((n %% 7 + 1))p;$((n %% 7 + 9))p"); do echo "// $n" >>$f; done
chmod $((600 + n %% 5 * 11)) wikiversions.php; chmod u+r wikiversions.php
%t && head -c %d /dev/urandom >big || true`, source, f.changes, big, bigSize))
}

// inTransfer waits until the big file is on its way to a host.
func (f *fleet) inTransfer(t *testing.T, r *run, host string) {
	t.Helper()
	r.await(t, rollout.StepStarted, "sync/"+host) // what an earlier run left may still be about its file
	// Its name differs: a transfer that was broken off goes on in the file that it left (rsync(1), --partial-dir).
	f.must(t, host, `until ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q '/srv/.*big'; do sleep 0.02; done`)
}

// write writes a policy: that of all runs, with each first string of a pair replaced by its second.
func (f *fleet) write(t *testing.T, pairs ...string) string {
	t.Helper()
	f.policies++
	name := filepath.Join(f.Dir, fmt.Sprintf("policy%d.yaml", f.policies))
	text := policy
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("the policy holds no %q", pairs[i])
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	done(t, os.WriteFile(name, []byte(text), 0o644))
	t.Cleanup(func() { _ = os.Remove(name) })
	return name
}

// run is fleetsync at work on a master, with --json.
type run struct {
	command *exec.Cmd
	began   time.Time
	took    time.Duration // once it has ended
	stderr  strings.Builder
	read    sync.WaitGroup
	ended   bool

	mutex  sync.Mutex
	lines  []json.RawMessage
	events []rollout.Event
	more   chan struct{} // closed when there is more, or the end of it
	closed bool
}

// start starts fleetsync on a master.
func (f *fleet) start(t *testing.T, on, policy string, args ...string) *run {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	r := &run{began: time.Now(), more: make(chan struct{})}
	r.command = f.Command(ctx, on, append([]string{f.program, "--config", policy, "--json"}, args...)...)
	out, in, err := os.Pipe()
	done(t, err)
	r.command.Stdout, r.command.Stderr = in, &r.stderr
	done(t, r.command.Start())
	done(t, in.Close())
	r.read.Go(func() {
		defer func() { _ = out.Close() }()
		r.follow(json.NewDecoder(out))
	})
	t.Cleanup(func() {
		cancel()
		if !r.ended {
			_ = r.command.Wait()
		}
		r.read.Wait()
		if t.Failed() {
			t.Logf("fleetsync %s said:\n%s", strings.Join(args, " "), r.stderr.String())
		}
	})
	return r
}

func (r *run) follow(d *json.Decoder) {
	for closed := false; !closed; {
		var line json.RawMessage
		err := d.Decode(&line)
		r.mutex.Lock()
		if closed = err != nil; !closed {
			r.lines = append(r.lines, line)
			var e rollout.Event
			if json.Unmarshal(line, &e) == nil && e.Kind != "" {
				r.events = append(r.events, e)
			}
		}
		r.closed = closed
		close(r.more)
		r.more = make(chan struct{})
		r.mutex.Unlock()
	}
}

// await returns the first event of a kind and a step, which may end in *, from any source or the one that is given.
func (r *run) await(t *testing.T, kind rollout.EventKind, step string, from ...string) (found rollout.Event) {
	t.Helper()
	what := fmt.Sprintf("%s of %s %v", kind, step, from)
	if !r.until(t, 0, what, func(e rollout.Event) bool {
		found = e
		prefix, begins := strings.CutSuffix(step, "*")
		return e.Kind == kind && (string(e.Step) == step || begins && strings.HasPrefix(string(e.Step), prefix)) &&
			(len(from) == 0 || slices.Contains(from, e.Source))
	}) {
		t.Fatalf("the run ended without %s", what)
	}
	return found
}

// until shows a function all events since so many until it says that it has seen what it waits for; false: the run
// has ended without.
func (r *run) until(t *testing.T, since int, what string, seen func(rollout.Event) bool) bool {
	t.Helper()
	limit := time.After(patience)
	for {
		r.mutex.Lock()
		events, more, closed := r.events, r.more, r.closed
		r.mutex.Unlock()
		for ; since < len(events); since++ {
			if seen(events[since]) {
				return true
			}
		}
		if closed {
			return false
		}
		select {
		case <-more:
		case <-limit:
			t.Fatalf("no %s within %v", what, patience)
		}
	}
}

// said returns how many events there have been.
func (r *run) said() int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return len(r.events)
}

// outcome returns what a run that has ended says that it came to; nil if it has not begun.
func (r *run) outcome() *rollout.Outcome {
	if n := len(r.events); n > 0 {
		return r.events[n-1].Outcome
	}
	return nil
}

// wait returns how fleetsync ended.
func (r *run) wait(t *testing.T) (code int) {
	t.Helper()
	err := r.command.Wait()
	r.ended, r.took = true, time.Since(r.began)
	r.read.Wait()
	t.Logf("%v: %s", r.took.Round(10*time.Millisecond), strings.Join(r.command.Args[5:], " "))
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return r.command.ProcessState.ExitCode()
}

// fleetsync runs fleetsync on the origin until it ends, as it must.
func (f *fleet) fleetsync(t *testing.T, code int, policy string, args ...string) *run {
	t.Helper()
	return f.on(t, f.origin, code, policy, args...)
}

func (f *fleet) on(t *testing.T, host string, code int, policy string, args ...string) *run {
	t.Helper()
	r := f.start(t, host, policy, args...)
	r.wantCode(t, code)
	return r
}

func (r *run) wantCode(t *testing.T, want int) {
	t.Helper()
	if code := r.wait(t); code != want {
		t.Fatalf("exit %d, want %d", code, want)
	}
}

// status is what fleetsync status --json says.
type status struct {
	Run     string               `json:"run"`
	Outcome *rollout.Outcome     `json:"outcome"`
	Hosts   []rollout.HostReport `json:"hosts"`
	Trees   []struct {
		Host     string           `json:"host"`
		Standing rollout.Standing `json:"standing"`
		Run      string           `json:"run"`
	} `json:"trees"`
}

// status returns what the program says of the last run.
func (f *fleet) status(t *testing.T, policy string) (s status) {
	t.Helper()
	r := f.fleetsync(t, 0, policy, "status")
	if len(r.lines) != 1 {
		t.Fatalf("status says %d lines", len(r.lines))
	}
	done(t, json.Unmarshal(r.lines[0], &s))
	return s
}

// wantTruth fails the test unless the last run's report says of every host what is so: these failed, for a
// reason that holds this text, and have not the source's tree; all others have it.
func (f *fleet) wantTruth(t *testing.T, policy string, failed map[string]string) status {
	t.Helper()
	s := f.status(t, policy)
	if s.Outcome == nil {
		t.Fatal("the run has no outcome")
	}
	want := f.tree(t, f.origin)
	var reported []string
	for _, h := range s.Hosts {
		reported = append(reported, h.Host)
		why, fails := failed[h.Host]
		switch {
		case fails:
			if h.Standing != rollout.Failed || !strings.Contains(h.Error, why) {
				t.Errorf("%s is said to be %s: %q, want failed: %q", h.Host, h.Standing, h.Error, why)
			}
		case h.Standing != rollout.Synced:
			t.Errorf("%s is said to be %s: %q, want synced", h.Host, h.Standing, h.Error)
		}
		// What is said and what is, whatever was expected.
		if is := len(want.DifferSynced(f.tree(t, h.Host))) == 0; is != (h.Standing == rollout.Synced) {
			t.Errorf("%s is said to be %s, and has the source's tree: %v", h.Host, h.Standing, is)
		}
	}
	if slices.Sort(reported); !slices.Equal(reported, slices.Sorted(slices.Values(f.synced))) {
		t.Errorf("the report is about %v", reported)
	}
	if c := s.Outcome.Counts; c.Synced+c.Failed+c.Down+c.Untouched != c.Hosts || c.Failed != len(failed) {
		t.Errorf("the outcome counts %+v", c)
	}
	return s
}

func done(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
