package main

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling/poolingtest"
)

// startHeld starts a run on a terminal, or without one, and returns while the rsyncs of the first two
// ordinary hosts wait to be released, with every proxy out of its pools.
func (w *world) startHeld(t *testing.T, terminal bool) (p *program, release func()) {
	t.Helper()
	release = w.hold(t, ordinary[:2]...)
	p = w.start(t, terminal, "--json", "sync")
	for _, host := range ordinary[:2] {
		w.awaitHeld(t, host)
	}
	if out := w.out(); !slices.Equal(out, proxies) {
		t.Fatalf("out are %s, want %s", out, proxies)
	}
	return p, release
}

// The first Ctrl-C goes to every process of the terminal's foreground group. The rsyncs are not among
// them: they end by themselves, and their hosts are synced. Seen to
// fail with rsyncs in the program's own session, and with hosts that start after it.
func TestFirstInterrupt(t *testing.T) {
	t.Parallel()
	w := up(t, small())
	before := w.trees(t, ordinary[2])
	p, release := w.startHeld(t, true)
	p.interrupt(t)
	p.awaitAbort(t, rollout.AbortGently)
	release()
	r := p.wait(t)
	wantCode(t, r, exitInterrupted)
	b := w.audit(t, r.events) // nothing new started
	b.wantSynced(slices.Concat(canaries, proxies, ordinary[:2], []string{comaster})...)
	w.wantSynced(t, ordinary[:2]...)
	w.wantUntouched(t, before, ordinary[2])
	w.wantPools(t)
	if b.last.Kind != rollout.RunFinished || b.last.Outcome.Result != rollout.ResultAborted {
		t.Errorf("the run ended with %+v", b.last)
	}
	if !strings.Contains(r.stderr, "ABORTED") {
		t.Errorf("the report does not say so:\n%s", r.stderr)
	}
}

// The second ends the transfers that run; the pools are put back all the same.
func TestSecondInterrupt(t *testing.T) {
	t.Parallel()
	w := up(t, small())
	w.slow(t, ordinary...)
	before := w.trees(t, ordinary[2])
	p := w.start(t, true, "--json", "sync")
	w.awaitTransfer(t, p, ordinary[0])
	p.interrupt(t)
	p.awaitAbort(t, rollout.AbortGently)
	if len(w.transfers(t)) == 0 {
		t.Error("the first Ctrl-C ended the transfers")
	}
	p.interrupt(t)
	r := p.wait(t)
	wantCode(t, r, exitInterrupted)
	b := w.audit(t, r.events)
	b.wantSynced(slices.Concat(canaries, proxies, []string{comaster})...)
	for _, host := range ordinary[:2] {
		e := r.events[slices.IndexFunc(r.events, func(e rollout.Event) bool { return e.Kind == rollout.StepFailed && e.Host == host })]
		if e.Class != rollout.Stopped || e.Blame {
			t.Errorf("%s ended as %s: %s", host, e.Class, e.Error)
		}
	}
	w.wantUntouched(t, before, ordinary[2])
	w.wantPools(t)
	if left := w.transfers(t); len(left) > 0 {
		t.Errorf("still running: %v", left)
	}
}

// The third leaves at once, and says what it leaves. Seen to fail with exit code 130.
func TestThirdInterrupt(t *testing.T) {
	t.Parallel()
	w := up(t, small())
	p, _ := w.startHeld(t, true)
	// The pool API does not answer any more, so that the pools cannot be put back.
	var asked atomic.Bool
	w.Pools.Faults.Plan(func(*http.Request) poolingtest.Fault {
		asked.Store(true)
		return poolingtest.Hang
	})
	p.interrupt(t)
	p.awaitAbort(t, rollout.AbortGently)
	p.interrupt(t)
	p.awaitAbort(t, rollout.AbortNow)
	eventually(t, "the run asks the pool API", asked.Load)
	p.interrupt(t)
	r := p.wait(t)
	wantCode(t, r, exitNotRestored)
	for _, host := range proxies {
		if !strings.Contains(r.stderr, host) {
			t.Errorf("%s is not named:\n%s", host, r.stderr)
		}
	}
	if !strings.Contains(r.stderr, "fleetsync.yaml recover") {
		t.Errorf("the command is not named:\n%s", r.stderr)
	}
	w.Pools.Faults.Plan(nil)
	w.wantDied(t, proxies...)
	w.repool(t, proxies...)
	w.wantNoTransfer(t)
}

// Seen to fail with a signal that is forgotten once it is passed on.
func TestTerminate(t *testing.T) {
	t.Parallel()
	w := up(t, small())
	p, release := w.startHeld(t, false)
	p.signal(t, syscall.SIGTERM)
	p.awaitAbort(t, rollout.AbortGently)
	release()
	r := p.wait(t)
	wantCode(t, r, exitTerminated)
	w.audit(t, r.events)
	w.wantSynced(t, ordinary[:2]...)
	w.wantPools(t)
}

// A run whose terminal goes away ends gently too.
func TestHangUp(t *testing.T) {
	t.Parallel()
	w := up(t, small())
	p, release := w.startHeld(t, true)
	if err := p.tty.Close(); err != nil { // to the program: SIGHUP, and no terminal to write to
		t.Fatal(err)
	}
	p.awaitAbort(t, rollout.AbortGently)
	release()
	r := p.wait(t)
	wantCode(t, r, exitInterrupted)
	w.audit(t, r.events)
	w.wantPools(t)
}

// Ctrl-C during the canaries, before anything is out of its pools.
func TestInterruptBeforeTheGate(t *testing.T) {
	t.Parallel()
	w := up(t, small())
	release := w.hold(t, canaries[0])
	p := w.start(t, true, "--json", "sync")
	w.awaitHeld(t, canaries[0])
	p.interrupt(t)
	p.awaitAbort(t, rollout.AbortGently)
	release()
	r := p.wait(t)
	wantCode(t, r, exitInterrupted)
	w.audit(t, r.events).wantSynced(canaries...)
	w.wantPools(t)
}

// Seen to fail with a wrapper around rsync that does not heed the end of its standard input.
func TestKilled(t *testing.T) {
	t.Parallel()
	w := up(t, small())
	w.slow(t, ordinary...)
	p := w.start(t, false, "--json", "sync")
	w.awaitTransfer(t, p, ordinary[0])
	p.signal(t, os.Kill)
	p.wait(t)
	w.wantNoTransfer(t)
	if out := w.out(); !slices.Equal(out, proxies) {
		t.Errorf("out are %s, want %s", out, proxies)
	}
	v := w.wantDied(t, proxies...)
	if got := v.standing(ordinary[0]); got != rollout.Unknowable {
		t.Errorf("status says that %s is %s", ordinary[0], got)
	}
	r := w.run(t, "status")
	wantCode(t, r, exitDone)
	for _, text := range append([]string{"DIED", "recover"}, proxies...) {
		if !strings.Contains(r.stdout, text) {
			t.Errorf("status does not say %q:\n%s", text, r.stdout)
		}
	}
	w.repool(t, proxies...)

	// The next run mends what the dead one left, once its receipts are settled.
	wantCode(t, w.run(t, "recover", "--yes"), exitDone)
	w.edit(t, "fleetsync.yaml", "\nrsync: {bandwidth_limit: 8}\n", "\n")
	w.sync(t, exitDone, "sync").wantSynced(w.everybody(t)...)
	w.wantSynced(t, w.everybody(t)...)
	w.wantPools(t)
}

// wantDied fails the test unless status says that the run died and these hosts are out because of it.
func (w *world) wantDied(t *testing.T, held ...string) statusJSON {
	t.Helper()
	v := w.status(t)
	if v.Standing != "died" || !slices.Equal(v.Held, held) {
		t.Errorf("status says %s, held %s; want died, held %s", v.Standing, v.Held, held)
	}
	return v
}

func (w *world) wantNoTransfer(t *testing.T) {
	t.Helper()
	eventually(t, "no rsync writes a destination", func() bool { return len(w.transfers(t)) == 0 })
}

// slow makes a sync of these hosts take a minute, by a file that only they have not got and a limit
// of the bandwidth.
func (w *world) slow(t *testing.T, hosts ...string) {
	t.Helper()
	w.edit(t, "fleetsync.yaml", "\nbatches:", "\nrsync: {bandwidth_limit: 8}\nbatches:")
	text := strings.Repeat("0123456789abcde\n", 1<<15)
	write(t, filepath.Join(w.Source, "large"), text)
	source := walk(t, w.Source)
	for _, host := range w.everybody(t) {
		if slices.Contains(hosts, host) {
			continue
		}
		// rsync takes a file of this size and time for the same (rsync(1), quick check).
		for name := range source {
			info, err := os.Lstat(filepath.Join(w.Source, name))
			if err != nil {
				t.Fatal(err)
			}
			if !info.Mode().IsRegular() {
				continue
			}
			data, err := os.ReadFile(filepath.Join(w.Source, name))
			if err != nil {
				t.Fatal(err)
			}
			copied := filepath.Join(w.tree(host), name)
			write(t, copied, string(data))
			if err := os.Chtimes(copied, info.ModTime(), info.ModTime()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// awaitTransfer waits until rsync has begun to write the large file of a host.
func (w *world) awaitTransfer(t *testing.T, p *program, host string) {
	t.Helper()
	p.awaitStep(t, rollout.StepStarted, "sync/"+host)
	eventually(t, "the large file comes to "+host, func() bool {
		// Temporary names of rsync: .NAME.XXXXXX (rsync(1), --temp-dir).
		found, err := filepath.Glob(filepath.Join(w.tree(host), ".large.*"))
		return err == nil && len(found) > 0
	})
}
