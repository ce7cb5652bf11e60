package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/cmd/internal/testfleet"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// Of two runs that are started at once on two masters, one runs, and the other says who does.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	n := 12
	switch {
	case testing.Short():
		n = 6
	case wholeTable():
		n = 50
	}
	var books tally
	each(t, n, func(t *testing.T) *world { return newWorld(t, small()) }, func(t *testing.T, w *world, _ int) {
		w.story = nil
		if _, err := testfleet.Edit(w.Source, 3); err != nil {
			t.Fatal(err)
		}
		w.here.front.reset(nil)
		w.other.front.reset(nil)
		both := [2]*program{w.here.start(t, "--json", "sync"), w.other.start(t, "--json", "sync")}
		codes := [2]int{both[0].wait(t), both[1].wait(t)}
		winner, loser := 0, 1
		if codes[0] == 12 {
			winner, loser = 1, 0
		}
		books.add("the first wins: " + fmt.Sprint(winner == 0))
		if codes[winner] != 0 || codes[loser] != 12 {
			w.fail(t, "exit %d and %d, want 0 and 12", codes[0], codes[1])
			return
		}
		if n := len(both[loser].seen()); n > 0 {
			w.fail(t, "the one that was refused printed %d events", n)
		}
		run, host := both[winner].seen()[0].Run, both[winner].master.name
		if said := both[loser].stderr.String(); !strings.Contains(said, run) || !strings.Contains(said, host) {
			w.fail(t, "the one that was refused does not name run %s on %q", run, host)
		}
		w.wantClean(t)
	})
	t.Cleanup(func() { t.Log(books.String()) })
}

// A run whose process is stopped for longer than its lease lives, and goes on while another run has
// taken over, starts nothing more, and changes nothing of the other's.
//
// Seen to fail with: steps that begin without asking the lease; a restore that takes whatever bears a
// marker for ours.
func TestStoppedHolder(t *testing.T) {
	t.Parallel()
	points := []string{
		"step_done sync/mw2019", "step_done depool/", "step_started sync/mw1018", "step_started repool/",
		"step_started sync/mw1017", "step_started observe/", "step_started depool/", "step_done repool/",
	}
	if random := rand.New(rand.NewPCG(seed(t), 2)); !wholeTable() {
		random.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
		points = points[:2]
	}
	o := small()
	o.Drain = 3 * time.Second // the new run holds hosts for that long
	each(t, len(points), func(t *testing.T) *world { return newWorld(t, o) }, func(t *testing.T, w *world, i int) {
		w.story = nil
		w.tell("stopped at %s", points[i])
		w.here.front.reset(nil)
		w.other.front.reset(nil)
		holdUp(t, w, points[i])
	})
}

func holdUp(t *testing.T, w *world, point string) {
	t.Helper()
	var late *program
	stop := make(chan *program, 1)
	done := make(chan struct{})
	reached := false
	late = w.here.startAfter(t, nil, func(_ int, e rollout.Event) {
		if !reached && strings.HasPrefix(string(e.Kind)+" "+string(e.Step), point) {
			reached = true
			(<-stop).signal(syscall.SIGSTOP)
			close(done)
		}
	}, "--json", "sync")
	stop <- late
	select {
	case <-done:
	case <-time.After(deadline):
		w.fail(t, "the run never came to %s", point)
		return
	}
	stopped := time.Now()
	if code, _ := w.other.run(t, "recover", "--yes"); code != 0 {
		w.fail(t, "recover: exit %d", code)
	}
	w.wantPools(t, "after recover")

	next := w.other.start(t, "--json", "sync")
	if !next.await(t, "two depools", func(rollout.Event) bool {
		n := 0
		for _, e := range next.seen() {
			if e.Kind == rollout.StepDone && strings.HasPrefix(string(e.Step), "depool/") {
				n++
			}
		}
		return n == 2
	}) {
		w.fail(t, "the new run ended without depools: exit %d", next.wait(t))
		return
	}
	asked, known := len(w.here.front.said()), len(late.seen())
	held := w.etcd.pools(t)
	w.tell("%s the stopped one goes on", time.Now().Format("05.000"))
	late.signal(syscall.SIGCONT)
	lateCode := late.wait(t)
	if now := w.etcd.pools(t); len(next.repools()) == 0 { // nothing but the late one could have changed them
		for key, value := range held {
			if now[key] != value {
				w.fail(t, "%s is %s, was %s", key, now[key], value)
			}
		}
	}
	if code := next.wait(t); code != 0 {
		w.fail(t, "the new run: exit %d", code)
	}
	out := 0 // and not back when it was stopped; with none, there is nothing left that it would have to ask the lease for
	for _, e := range late.seen()[:known] {
		switch {
		case e.Kind != rollout.StepDone:
		case strings.HasPrefix(string(e.Step), "depool/"):
			out++
		case strings.HasPrefix(string(e.Step), "repool/"):
			out--
		}
	}
	finished := slices.ContainsFunc(late.seen()[:known], func(e rollout.Event) bool { return e.Kind == rollout.RunFinished }) ||
		out == 0 && point == "step_done repool/"
	if lateCode != 4 && lateCode != 5 && (lateCode != 0 || !finished) {
		w.fail(t, "the late run: exit %d, want 4 or 5", lateCode)
	}
	for _, line := range w.here.front.said()[asked:] {
		if strings.Contains(line, "PUT "+poolsPrefix) && strings.Contains(line, "-> 200") {
			w.fail(t, "the late run wrote: %s", line)
		}
	}
	refused := map[rollout.StepID]bool{}
	for _, e := range late.seen()[known:] {
		switch {
		case e.Kind == rollout.StepFailed && strings.Contains(e.Error, "lock is lost"):
			delete(refused, e.Step)
		case e.At.Before(stopped): // printed late, that is all
		case e.Kind == rollout.StepStarted && !strings.HasPrefix(string(e.Step), "repool/"):
			refused[e.Step] = true // unless it failed for want of the lock, before it had any effect
		}
	}
	for step := range refused {
		w.fail(t, "the late run started %s", step)
	}
	if len(w.etcd.left(t)) > 0 {
		if code, _ := w.here.run(t, "recover", "--yes"); code != 0 {
			w.fail(t, "recover at the end: exit %d", code)
		}
	}
	w.wantClean(t)
}

// repools returns the events of repools so far.
func (p *program) repools() (all []rollout.Event) {
	for _, e := range p.seen() {
		if strings.HasPrefix(string(e.Step), "repool/") {
			all = append(all, e)
		}
	}
	return all
}
