package main

import (
	"bufio"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/fleetsync/fleetsync/cmd/internal/testfleet"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

func TestFullRun(t *testing.T) {
	t.Parallel()
	o := small()
	o.Files = 100
	w := up(t, o)
	w.watched = true
	w.edit(t, "fleetsync.yaml", "parallel: 8", "parallel: 2")
	b := w.sync(t, exitDone, "sync")
	b.wantSynced(w.everybody(t)...)
	w.wantSynced(t, w.everybody(t)...)
	w.wantPools(t)
	if b.most != 2 {
		t.Errorf("at most %d syncs were in flight, want the 2 that the policy allows", b.most)
	}
	for _, host := range ordinary {
		if !slices.Contains(proxies, b.sources[host]) {
			t.Errorf("%s got the tree from %s, not from a proxy", host, b.sources[host])
		}
	}

	w.edit(t, "fleetsync.yaml", "parallel: 2", "parallel: 8")
	edited, err := testfleet.Edit(w.Source, 50)
	if err != nil {
		t.Fatal(err)
	}
	w.wantTransferred(t, w.sync(t, exitDone, "sync"), int64(len(edited)))
	w.wantTransferred(t, w.sync(t, exitDone, "resync"), 0)
}

// wantTransferred fails the test unless every host got that many files, and has the source's tree now.
func (w *world) wantTransferred(t *testing.T, b *books, files int64) {
	t.Helper()
	b.wantSynced(w.everybody(t)...)
	w.wantSynced(t, w.everybody(t)...)
	w.wantPools(t)
	for host, stats := range b.stats {
		if stats.Transferred != files || stats.Deleted != 0 || stats.Created != 0 {
			t.Errorf("%s got %+v, want %d files transferred", host, *stats, files)
		}
	}
}

// A tree that nobody made for this: links, odd modes and names included.
func TestRealTree(t *testing.T) {
	t.Parallel()
	needPrograms(t)
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Skip("no go here: ", err)
	}
	o := small()
	o.Hosts, o.Proxies = 5, 1
	o.Tree = filepath.Join(strings.TrimSpace(string(goroot)), "src")
	if os.Getenv("FLEETSYNC_LONG") == "" {
		o.Tree = filepath.Join(o.Tree, "net")
	}
	w := up(t, o)
	w.sync(t, exitDone, "sync").wantSynced(w.everybody(t)...)
	w.wantSynced(t, w.everybody(t)...)
	w.wantPools(t)
	wantSource := walk(t, o.Tree)
	if names := wantSource.DifferSynced(walk(t, w.Source)); len(names) > 0 {
		t.Errorf("the copy of the tree differs in %d files, such as %s", len(names), names[0])
	}

	edited, err := testfleet.Edit(w.Source, 50)
	if err != nil {
		t.Fatal(err)
	}
	w.wantTransferred(t, w.sync(t, exitDone, "sync"), int64(len(edited)))
}

func TestFailedGate(t *testing.T) {
	t.Parallel()
	w := up(t, small())
	w.sync(t, exitDone, "sync")
	before := w.trees(t, w.everybody(t)...)
	if _, err := testfleet.Edit(w.Source, 5); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(w.host(canaries[1]), "down"), "")
	r := w.run(t, "--json", "sync")
	wantCode(t, r, exitHalted)
	b := w.audit(t, r.events)
	b.wantSynced()
	w.wantRolledBack(t, before, b, canaries...)
	others := slices.DeleteFunc(w.everybody(t), func(name string) bool { return slices.Contains(canaries, name) })
	w.wantUntouched(t, before, others...)
	w.wantPools(t)
	for step := range b.attempts {
		if strings.HasPrefix(string(step), "observe/") || strings.HasPrefix(string(step), "depool/") {
			t.Errorf("%s was started behind a failed gate", step)
		}
	}
	if !strings.Contains(r.stderr, canaries[1]) || !strings.Contains(r.stderr, "front page") {
		t.Errorf("neither the canary nor the check is named:\n%s", r.stderr)
	}
	if gate := b.last.Outcome.Gate; gate != rollout.Fail {
		t.Errorf("the gate is %q", gate)
	}

	// An operator who knows better says so, and why.
	b = w.sync(t, exitDone, "sync", "--force", "the page is down, the tree is good")
	b.wantSynced(w.everybody(t)...)
	w.wantSynced(t, w.everybody(t)...)
	w.wantPools(t)
}

// unknown is not pass: a check that cannot be carried out halts the run like one that fails.
func TestUnknownGate(t *testing.T) {
	t.Parallel()
	w := up(t, small())
	w.edit(t, "fleetsync.yaml", `command: ["test", "-s",`, `command: ["/no/such/program", "-s",`, "interval: 500ms", "interval: 100ms")
	before := w.trees(t, w.everybody(t)...)
	b := w.sync(t, exitHalted, "sync")
	b.wantSynced()
	w.wantRolledBack(t, before, b, canaries...)
	w.wantUntouched(t, before, slices.Concat(proxies, ordinary, []string{comaster})...)
	w.wantPools(t)
}

// wantRolledBack fails the test unless exactly these hosts were rolled back, and have what they had before.
func (w *world) wantRolledBack(t *testing.T, before map[string]testfleet.Snapshot, b *books, hosts ...string) {
	t.Helper()
	if got, want := slices.Sorted(maps.Keys(b.rolled)), slices.Sorted(slices.Values(hosts)); !slices.Equal(got, want) {
		t.Errorf("rolled back are %s, want %s", got, want)
	}
	for _, host := range hosts {
		wantTree(t, host, before[host], walk(t, w.tree(host)), false)
	}
}

// failHost makes the destination of a host a file.
func (w *world) failHost(t *testing.T, host string) {
	t.Helper()
	remove(t, w.tree(host))
	write(t, w.tree(host), "not a directory")
}

func TestFailedHostWithinBudget(t *testing.T) {
	t.Parallel()
	w := up(t, small())
	w.watched = true
	w.edit(t, "fleetsync.yaml", "attempts: 3", "attempts: 2")
	bad := ordinary[0]
	w.failHost(t, bad)
	r := w.run(t, "--json", "sync")
	wantCode(t, r, exitFailures)
	b := w.audit(t, r.events)
	good := slices.DeleteFunc(w.everybody(t), func(name string) bool { return name == bad })
	b.wantSynced(good...)
	w.wantSynced(t, good...)
	w.wantPools(t)
	if n := b.starts("sync/" + bad); n != 2 {
		t.Errorf("%s was tried %d times, want 2", bad, n)
	}
	var sources []string
	for _, e := range r.events {
		if e.Kind == rollout.StepFailed && e.Host == bad {
			sources = append(sources, e.Source)
		}
	}
	if len(sources) != 2 || sources[0] == sources[1] {
		t.Errorf("%s was tried from %s, want two sources", bad, sources)
	}
	if !strings.Contains(r.stderr, bad+": ") || !strings.Contains(r.stderr, "not a directory") {
		t.Errorf("the host or the reason is not named:\n%s", r.stderr)
	}
	if got := w.status(t).standing(bad); got != rollout.Failed {
		t.Errorf("status says that %s is %s", bad, got)
	}
}

func TestFailedHostsBeyondBudget(t *testing.T) {
	t.Parallel()
	w := up(t, small())
	w.edit(t, "fleetsync.yaml", "attempts: 3", "attempts: 2")
	w.failHost(t, ordinary[0])
	w.failHost(t, ordinary[1])
	before := w.trees(t, ordinary[2])
	r := w.run(t, "--json", "sync")
	wantCode(t, r, exitHalted)
	b := w.audit(t, r.events)
	if n := b.starts("sync/" + ordinary[2]); n != 0 {
		t.Errorf("%s was started %d times behind a budget that is spent", ordinary[2], n)
	}
	w.wantUntouched(t, before, ordinary[2])
	w.wantSynced(t, slices.Concat(canaries, proxies)...)
	w.wantPools(t)
	for _, host := range ordinary[:2] {
		if !strings.Contains(r.stderr, host) {
			t.Errorf("%s is not named:\n%s", host, r.stderr)
		}
	}
}

// Seen to fail with paths that do not reach rsync.
func TestPathSubset(t *testing.T) {
	t.Parallel()
	w := up(t, small())
	w.watched = true
	for _, name := range []string{"subset/a/changed", "subset/a/gone", "subset/kept", "named", "gone", "other/changed", "other/gone"} {
		write(t, filepath.Join(w.Source, name), "first\n")
	}
	w.sync(t, exitDone, "sync")
	before := w.trees(t, w.everybody(t)...)
	for _, name := range []string{"subset/a/changed", "subset/a/new/deep", "named", "other/changed", "other/new"} {
		write(t, filepath.Join(w.Source, name), "and second\n")
	}
	for _, name := range []string{"subset/a/gone", "gone", "other/gone"} {
		remove(t, filepath.Join(w.Source, name))
	}
	b := w.sync(t, exitDone, "sync", "--", "subset/", "named", "gone", "never/was")
	b.wantSynced(w.everybody(t)...)
	w.wantPools(t)
	want := []string{"gone", "named", "subset/a/changed", "subset/a/gone", "subset/a/new", "subset/a/new/deep"}
	source := walk(t, w.Source)
	for host, was := range before {
		now := walk(t, w.tree(host))
		if got := was.DifferSynced(now); !slices.Equal(got, want) {
			t.Errorf("%s: changed is %s, want %s", host, got, want)
		}
		for _, name := range want {
			if now[name].Synced != source[name].Synced {
				t.Errorf("%s: %s is not as at the source", host, name)
			}
		}
	}
	status := w.status(t)
	for _, host := range w.everybody(t) {
		if got := status.standing(host); got != rollout.Partial {
			t.Errorf("status says that %s is %s, want partial", host, got)
		}
	}
	if c := b.last.Outcome.Counts; c.Partial != len(before) || c.Synced != 0 {
		t.Errorf("counts %+v", c)
	}
}

// statusJSON is what status --json prints.
type statusJSON struct {
	Run      string
	Standing string
	Held     []string
	Outcome  rollout.Outcome
	Hosts    []rollout.HostReport
	Journal  string
}

func (w *world) status(t *testing.T) statusJSON {
	t.Helper()
	r := w.run(t, "--json", "status")
	wantCode(t, r, exitDone)
	var v statusJSON
	if err := json.Unmarshal([]byte(r.stdout), &v); err != nil {
		t.Fatalf("%v: %s", err, r.stdout)
	}
	return v
}

func (v statusJSON) standing(host string) rollout.Standing {
	for _, h := range v.Hosts {
		if h.Host == host {
			return h.Standing
		}
	}
	return "not there"
}

// Seen to fail with a health check whose verdict nobody heeds.
func TestUnhealthyProxyStaysOut(t *testing.T) {
	t.Parallel()
	w := up(t, small())
	w.watched = true
	w.edit(t, "fleetsync.yaml", "attempts: 3", "attempts: 2")
	down := filepath.Join(w.host(proxy), "down")
	write(t, down, "")
	r := w.run(t, "--json", "sync")
	wantCode(t, r, exitNotRestored)
	b := w.audit(t, r.events)
	b.wantSynced(w.everybody(t)...)
	if out := w.out(); !slices.Equal(out, []string{proxy}) {
		t.Errorf("out are %s, want %s alone", out, proxy)
	}
	if !strings.Contains(r.stderr, proxy) || !strings.Contains(r.stderr, "pool repool "+proxy) {
		t.Errorf("the host or the command is not named:\n%s", r.stderr)
	}
	if held := w.status(t).Held; !slices.Equal(held, []string{proxy}) {
		t.Errorf("status says that %s are held", held)
	}
	w.repool(t, proxy)
}

// repool puts hosts back by hand and wants every object to be what it was.
func (w *world) repool(t *testing.T, hosts ...string) {
	t.Helper()
	r := w.run(t, append([]string{"pool", "repool"}, hosts...)...)
	wantCode(t, r, exitDone)
	w.wantPools(t)
}

// A proxy that has the tree and then can no longer serve it is left for the others.
func TestProxyDiesWhileItServes(t *testing.T) {
	t.Parallel()
	w := up(t, small())
	release := w.hold(t, ordinary...)
	p := w.start(t, false, "--json", "sync")
	// The rsync of the first ordinary host waits; its source has been chosen.
	e := p.await(t, "a sync from a proxy", func(e rollout.Event) bool {
		return e.Kind == rollout.StepStarted && slices.Contains(proxies, e.Source)
	})
	w.awaitHeld(t, e.Host)
	daemon := w.daemon(t, e.Source)
	if err := syscall.Kill(daemon, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the daemon has ended", func() bool { return w.processes(t)[daemon] == "" })
	release()
	r := p.wait(t)
	wantCode(t, r, exitDone)
	b := w.audit(t, r.events)
	b.wantSynced(w.everybody(t)...)
	w.wantSynced(t, w.everybody(t)...)
	w.wantPools(t)
	if b.starts(string(e.Step)) < 2 || b.sources[e.Host] == e.Source {
		t.Errorf("%s was started %d times and got the tree from %s", e.Host, b.starts(string(e.Step)), b.sources[e.Host])
	}
}

// A proxy whose own sync fails never serves, and is put back as it was.
func TestProxyThatFailsIsNoSource(t *testing.T) {
	t.Parallel()
	w := up(t, small())
	w.edit(t, "fleetsync.yaml", "attempts: 3", "attempts: 2")
	// Its destination stays as it is, so that it is healthy; there is no place for locks.
	write(t, filepath.Join(w.host(proxy), "srv", ".fleetsync"), "")
	b := w.sync(t, exitFailures, "sync")
	good := slices.DeleteFunc(w.everybody(t), func(name string) bool { return name == proxy })
	b.wantSynced(good...)
	w.wantSynced(t, good...)
	w.wantPools(t)
	for host, source := range b.sources {
		if source == proxy {
			t.Errorf("%s got the tree from %s, which has not got it itself", host, proxy)
		}
	}
}

// Between the plan and the depool somebody else takes out what the threshold left room for: those
// proxies stay in, and none that is in serves.
func TestCapacityLostMeanwhile(t *testing.T) {
	t.Parallel()
	w := up(t, small())
	release := w.hold(t, canaries[0])
	p := w.start(t, false, "--json", "sync")
	w.awaitHeld(t, canaries[0])
	for key, value := range w.before {
		if host := filepath.Base(key); host == canaries[0] || host == ordinary[0] {
			value = strings.Replace(value, `"yes"`, `"no"`, 1)
			if err := w.Pools.Etcd.Put(key, value); err != nil {
				t.Fatal(err)
			}
			w.before[key] = value
		}
	}
	release()
	r := p.wait(t)
	wantCode(t, r, exitDone)
	b := w.audit(t, r.events)
	b.wantSynced(w.everybody(t)...)
	w.wantSynced(t, w.everybody(t)...)
	w.wantPools(t)
	for _, host := range ordinary {
		if b.sources[host] != proxies[2] {
			t.Errorf("%s got the tree from %s, want the one proxy that could be taken out, %s", host, b.sources[host], proxies[2])
		}
	}
}

func TestThresholdTooHigh(t *testing.T) {
	t.Parallel()
	w := up(t, small())
	w.edit(t, "fleetsync.yaml", "threshold: 50%", "threshold: 100%")
	before := w.trees(t, w.everybody(t)...)
	r := w.run(t, "--json", "sync")
	wantCode(t, r, exitInvalid)
	if r.stdout != "" || !strings.Contains(r.stderr, "no proxy can be taken out") {
		t.Errorf("stdout %q, stderr %s", r.stdout, r.stderr)
	}
	w.wantUntouched(t, before, w.everybody(t)...)
	w.wantPools(t)
	if _, err := os.Stat(filepath.Join(w.host(canaries[0]), "srv", ".fleetsync")); err == nil {
		t.Error("something was made on a canary")
	}
	// No proxy is needed where nobody else is touched.
	w.sync(t, exitDone, "canary").wantSynced(canaries...)
}

func TestSecondRunIsRefused(t *testing.T) {
	t.Parallel()
	w := up(t, small())
	release := w.hold(t, canaries[0])
	p := w.start(t, false, "--json", "sync")
	w.awaitHeld(t, canaries[0])
	for _, mode := range []string{"sync", "canary", "resync"} {
		r := w.run(t, mode)
		wantCode(t, r, exitLocked)
		if !strings.Contains(r.stderr, "is locked by") || !strings.Contains(r.stderr, " status") {
			t.Errorf("%s", r.stderr)
		}
	}
	if v := w.status(t); v.Standing != "running" {
		t.Errorf("the first run is %s", v.Standing)
	}
	release()
	r := p.wait(t)
	wantCode(t, r, exitDone)
	w.audit(t, r.events).wantSynced(w.everybody(t)...)
}

// Seen to fail with a log that the hosts' programs do not reach.
//
// What a run says to machines, what its journal holds and what its log holds are the same story.
func TestJournalAndLog(t *testing.T) {
	t.Parallel()
	w := up(t, small())
	write(t, filepath.Join(w.Source, "unreadable \x1b[31m name"), "x")
	r := w.run(t, "--json", "sync")
	wantCode(t, r, exitDone)
	w.wantSynced(t, w.everybody(t)...)
	shown := w.run(t, "show", w.status(t).Run, "--events")
	wantCode(t, shown, exitDone)
	if shown.stdout != r.stdout {
		t.Error("show --events differs from what the run printed")
	}
	journal := w.status(t).Journal
	data, err := os.ReadFile(journal)
	if err != nil || string(data) != r.stdout {
		t.Errorf("the journal differs from what the run printed: %v", err)
	}

	file, err := os.Open(filepath.Join(filepath.Dir(journal), "run.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // only read
	said, last := map[string]bool{}, int64(0)
	kinds := map[string]int{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if wrong := unclean(lines.Text()); wrong != "" {
			t.Error(wrong)
		}
		var line struct {
			Run, Host, Message, Level, Time string
			Seq                             int64
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("%v: %s", err, lines.Text())
		}
		if line.Run != r.events[0].Run || line.Seq < 1 || line.Time == "" {
			t.Errorf("a line without its run, number or time: %s", lines.Text())
		}
		last = max(last, line.Seq)
		kinds[line.Message]++
		// A line that rsync prints at the end of every sync (rsync(1), --stats).
		if strings.HasPrefix(line.Message, "Number of files:") {
			said[line.Host] = true
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if last != int64(len(r.events)) {
		t.Errorf("the log ends at event %d of %d", last, len(r.events))
	}
	for _, host := range w.everybody(t) {
		if !said[host] {
			t.Errorf("the log does not hold what the rsync of %s said", host)
		}
	}
	events := map[string]int{}
	for _, e := range r.events {
		events[string(e.Kind)]++
	}
	for kind, n := range events {
		if kinds[kind] != n {
			t.Errorf("the log holds %d lines of %s, want %d", kinds[kind], kind, n)
		}
	}
}
