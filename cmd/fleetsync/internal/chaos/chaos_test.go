package chaos

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/cmd/internal/testfleet"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling/poolingtest"
)

// Killed at any moment, a run is resumed, or given up on another master: pools come back, and nothing
// is left.
//
// Seen to fail with: receipts that are not written; receipts that are dropped only by repools, so that
// those of hosts that were observed, but not taken out, stay and keep every other run out.
func TestChaos(t *testing.T) {
	t.Parallel()
	start := seed(t)
	rounds := number(t, "CHAOS_ROUNDS", 10)
	if testing.Short() {
		rounds = number(t, "CHAOS_ROUNDS", 6)
	}
	first := number(t, "CHAOS_ROUND", 0)
	if os.Getenv("CHAOS_ROUND") != "" {
		rounds = 1
	}
	var books tally
	each(t, int(rounds), func(t *testing.T) *world {
		return newWorld(t, small())
	}, func(t *testing.T, w *world, i int) {
		i += int(first)
		r := round{world: w, random: rand.New(rand.NewPCG(start, uint64(i))), books: &books}
		w.story = nil
		w.tell("CHAOS_SEED=%d CHAOS_ROUND=%d", start, i)
		r.play(t)
	})
	t.Cleanup(func() { t.Log(books.String()) }) // after the lanes
}

// tally counts what the rounds came to.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func (b *tally) add(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.counts == nil {
		b.counts = map[string]int{}
	}
	b.counts[what]++
}

func (b *tally) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var lines []string
	for what, n := range b.counts {
		lines = append(lines, fmt.Sprintf("%4d %s", n, what))
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[5:], b[5:]) })
	return strings.Join(lines, "\n")
}

// round is one run that is killed, and what follows.
type round struct {
	*world
	random *rand.Rand
	books  *tally
	run    string                        // its name, once it is known
	before map[string]testfleet.Snapshot // what every host had
	broken string                        // a host that cannot be synced, and is not healthy
	stuck  bool                          // it is named as still out
}

func (r *round) chance(percent int) bool { return r.random.IntN(100) < percent }

func (r *round) play(t *testing.T) {
	t.Helper()
	mode := "sync"
	switch {
	case r.chance(10):
		mode = "canary"
	case r.chance(10):
		mode = "resync"
	}
	if r.chance(60) {
		if _, err := testfleet.Edit(r.Source, 1+r.random.IntN(20)); err != nil {
			t.Fatal(err)
		}
	}
	mend := func() {}
	if r.broken = ""; r.chance(20) {
		r.broken = r.hosts[r.random.IntN(len(r.hosts))]
		mend = r.spoil(t, r.broken)
	}
	r.tell("mode %s, broken host %q", mode, r.broken)
	killed := false
	for range 5 { // until it is killed before it ends
		r.begin(t)
		var p *program
		killed, p = r.killed(t, r.here, true, mode)
		r.note(t, p)
		if killed {
			break
		}
		r.books.add("runs that ended before they were to be killed")
		if p.cmd.ProcessState.ExitCode() == 5 {
			break // a host that is not healthy stays out, whoever asks
		}
	}
	r.wantAnOwner(t)
	if killed {
		r.books.add("runs killed")
		if r.out(t) {
			r.books.add("runs killed with objects out")
		}
	}
	r.afterwards(t)
	mend()
	if r.stuck { // it stayed out because it was not healthy; now it is
		r.recover(t, r.here)
	}

	r.wantClean(t)
	r.wantTrees(t)
}

// begin notes what there is before a run.
func (r *round) begin(t *testing.T) {
	t.Helper()
	// Runs are told apart, but not sorted, within a second.
	second := time.Now().Unix()
	if !eventually(5*time.Second, func() bool { return time.Now().Unix() > second }) {
		t.Fatal("the clock stands still")
	}
	r.run, r.before = "", map[string]testfleet.Snapshot{}
	for _, host := range r.hosts {
		r.before[host] = snapshot(t, r.tree(host))
	}
	r.other.front.reset(nil)
}

// note learns the name of the run from its events.
func (r *round) note(t *testing.T, p *program) {
	t.Helper()
	if events := p.seen(); len(events) > 0 {
		r.run, r.known[events[0].Run] = events[0].Run, true
		r.books.add(fmt.Sprintf("last event before: %s %s", events[len(events)-1].Kind,
			strings.Split(string(events[len(events)-1].Step), "/")[0]))
		return
	}
	// The journal may know it all the same, if its first line was not printed any more.
	code, history := r.here.run(t, "--json", "history", "--most", "1")
	var v struct{ Run, Standing string }
	if code == 0 && len(history.lines) > 0 {
		if err := json.Unmarshal([]byte(history.lines[0]), &v); err != nil {
			t.Fatal(err)
		}
	}
	if v.Standing == "died" && !r.known[v.Run] {
		r.run, r.known[v.Run] = v.Run, true
	}
	r.books.add("last event before: none")
}

// killed runs a command and kills it at a random moment, and says whether it still ran.
func (r *round) killed(t *testing.T, m *master, run bool, args ...string) (bool, *program) {
	t.Helper()
	var p *program
	started := make(chan struct{})
	kill := func() {
		<-started
		p.kill()
	}
	var onLine func(int, rollout.Event)
	var timer *time.Timer
	m.front.reset(nil)
	first, requests, lines, most := 1, 66, 40, 1400
	switch {
	case args[0] == "canary":
		requests, lines, most = 22, 14, 600
	case !run:
		requests, most = 20, 1000
	case r.chance(40):
		first = 20 // when there is something to be out
	}
	switch way := r.random.IntN(10); {
	case way < 6: // at a request, before it has its effect or after
		n, after := first+r.random.IntN(requests-first), r.chance(50)
		r.tell("to be killed at request %d (after its effect: %t)", n, after)
		m.front.reset(func(a ask) do {
			switch {
			case a.n != n:
				return do{}
			case after && a.op != opWatch: // which is answered when it is too late
				return do{after: kill}
			default:
				return do{fault: poolingtest.DropRequest, before: kill}
			}
		})
	case way < 8 && run: // soon after an event
		n, wait := 1+r.random.IntN(lines), time.Duration(r.random.IntN(30))*time.Millisecond
		r.tell("to be killed %s after line %d", wait, n)
		onLine = func(at int, _ rollout.Event) {
			if at == n {
				time.AfterFunc(wait, kill)
			}
		}
	default:
		wait := time.Duration(r.random.IntN(most)) * time.Millisecond
		r.tell("to be killed after %s", wait)
		timer = time.AfterFunc(wait, kill)
	}
	p = m.startAfter(t, nil, onLine, append([]string{"--json"}, args...)...)
	close(started)
	code := p.wait(t)
	if timer != nil {
		timer.Stop()
	}
	m.front.heal()
	return code == -1, p
}

// wantAnOwner fails the test unless every object that bears a marker has a receipt, where other masters
// find it.
func (r *round) wantAnOwner(t *testing.T) {
	t.Helper()
	left := r.etcd.left(t)
	for key, value := range r.etcd.pools(t) {
		if !strings.Contains(value, `"fleetsync"`) {
			if value != r.pools[key] {
				r.fail(t, "%s is %s, and bears no marker", key, value)
			}
			continue
		}
		var object struct{ Fleetsync string }
		if err := json.Unmarshal([]byte(value), &object); err != nil {
			r.fail(t, "%s is no JSON: %s", key, value)
		}
		host := key[strings.LastIndex(key, "/")+1:]
		if _, ok := left[sharedPrefix+"/receipts/"+object.Fleetsync+","+host]; !ok {
			r.fail(t, "%s is held by run %s, of which there is no receipt", key, object.Fleetsync)
		}
	}
}

// afterwards does what people do after a crash, and may be killed at that, too.
func (r *round) afterwards(t *testing.T) {
	t.Helper()
	for range 3 {
		if !r.chance(25) {
			break
		}
		m, args := r.means()
		r.tell("%s is to be killed, too", args[0])
		killed, _ := r.killed(t, m, args[0] == "resume", args...)
		if killed {
			r.books.add(args[0] + " killed, too")
		}
		r.wantAnOwner(t)
	}
	resumed := false
	switch {
	case r.run != "" && r.chance(45):
		r.resume(t)
		resumed = true
	case r.chance(60):
		r.recover(t, r.other)
		if r.run != "" && r.chance(25) { // the machine that was lost comes back
			r.resume(t)
			resumed = true
		}
	default:
		r.recover(t, r.here)
	}
	if resumed && r.etcdHasRecord(t) { // it halted with somebody else's lock in the way, or could not tell
		r.recover(t, r.here)
	}
}

func (r *round) etcdHasRecord(t *testing.T) bool { return len(r.etcd.left(t)) > 0 }

// means returns one of the things that can be done after a crash.
func (r *round) means() (*master, []string) {
	switch n := r.random.IntN(3); {
	case n == 0 && r.run != "":
		return r.here, []string{"resume", "--wait", r.run}
	case n == 1:
		return r.here, []string{"recover", "--yes"}
	default:
		return r.other, []string{"recover", "--yes"}
	}
}

// resume goes on with the run. What a resume can find is a lock of a recover that was killed: it waits.
func (r *round) resume(t *testing.T) {
	t.Helper()
	code, p := r.here.run(t, "--json", "resume", "--wait", r.run)
	r.books.add(fmt.Sprintf("resume: exit %d", code))
	switch code {
	case 0, 3, 4:
	case 5:
		r.wantStuck(t, p)
		return
	case 12: // of a recover that died, which did not put back everything
		if strings.Contains(p.stderr.String(), "has not put back") {
			break
		}
		r.fail(t, "resume: exit %d", code)
	default:
		r.fail(t, "resume: exit %d", code)
	}
	r.wantPools(t, "after resume")
}

// recover gives the run up. What it can find is the lock of another recover that was killed: it waits.
func (r *round) recover(t *testing.T, m *master) {
	t.Helper()
	code, p := m.run(t, "recover", "--yes")
	r.books.add(fmt.Sprintf("recover: exit %d", code))
	r.stuck = false
	switch code {
	case 0:
		r.wantPools(t, "after recover")
	case 5:
		r.wantStuck(t, p)
	default:
		r.fail(t, "recover: exit %d", code)
	}
}

// wantStuck fails the test unless the host that is broken is the only one that was left out, and named.
func (r *round) wantStuck(t *testing.T, p *program) {
	t.Helper()
	r.stuck = true
	if r.broken == "" || !strings.Contains(p.stderr.String(), "pool repool "+r.broken) {
		r.fail(t, "%s: exit 5, and %q is not named", p.args[0], r.broken)
	}
	for key, value := range r.etcd.pools(t) {
		if value != r.pools[key] && !strings.HasSuffix(key, "/"+r.broken) {
			r.fail(t, "%s is %s, was %s", key, value, r.pools[key])
		}
	}
}

// wantTrees holds what the program says of the run's hosts against what they have.
func (r *round) wantTrees(t *testing.T) {
	t.Helper()
	want := snapshot(t, r.Source)
	standing := map[string]rollout.Standing{}
	if r.run != "" {
		standing = r.standings(t)
	}
	for _, host := range r.hosts {
		has := snapshot(t, r.tree(host))
		switch is := standing[host]; is {
		case rollout.Synced:
			r.books.add("hosts synced")
			if paths := want.DifferSynced(has); len(paths) > 0 {
				r.fail(t, "%s is said to be synced: %s", host, testfleet.Tell(paths, want, has))
			}
		case rollout.Untouched, "":
			r.books.add("hosts untouched")
			was := r.before[host]
			if paths := was.DifferSynced(has); len(paths) > 0 && host != r.broken {
				r.fail(t, "%s is said to be untouched: %s", host, testfleet.Tell(paths, was, has))
			}
		default:
			r.books.add("hosts reported as " + string(is))
		}
	}
}

// standings returns what status says of the run.
func (r *round) standings(t *testing.T) map[string]rollout.Standing {
	t.Helper()
	code, p := r.here.run(t, "--json", "status")
	var v struct {
		Run   string
		Held  []string
		Hosts []rollout.HostReport
	}
	if code != 0 || len(p.lines) != 1 || json.Unmarshal([]byte(p.lines[0]), &v) != nil || v.Run != r.run {
		r.fail(t, "status of %s: exit %d", r.run, code)
	}
	standing := map[string]rollout.Standing{}
	for _, h := range v.Hosts {
		standing[h.Host] = h.Standing
	}
	return standing
}

// recoverOn gives up on a master whatever died.
func recoverOn(t *testing.T, m *master) {
	t.Helper()
	if code, _ := m.run(t, "recover", "--yes"); code != 0 {
		m.fail(t, "recover: exit %d", code)
	}
}
