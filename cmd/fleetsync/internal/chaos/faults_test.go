package chaos

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling/poolingtest"
)

// wrong is what goes wrong with etcd.
type wrong string

const (
	stopped   wrong = "stopped"
	paused    wrong = "paused"
	restarted wrong = "restarted"
	lostReply wrong = "lost reply"
	http503   wrong = "503"
	http500   wrong = "500"
	http401   wrong = "401"
	readOnly  wrong = "403 read-only"
	garbage   wrong = "garbage"
)

var wrongs = []wrong{stopped, paused, restarted, lostReply, http503, http500, http401, readOnly, garbage}

// length is for how long.
type length string

const (
	once    length = "once"    // for one request, or until it has been made again
	lasting length = "lasting" // from that request on, for longer than a lease lives
	left    length = "left"    // likewise, and somebody leaves with three Ctrl-C before it is over
)

// outage is how long what lasts does: a lease of 5s is over after 4s.
const outage = 6 * time.Second

// operations are those of a run on etcd, in their order.
var operations = []operation{
	opProbe, opHolder, opAcquire, opReceipts, opInventory, opPools, opRecord, opWatch, opObserve, opReceiptWrite, opRoom,
	opDepool, opCapacity, opRefresh, opRestoreRead, opRestore, opReceiptDrop, opRecordDrop, opRelease,
}

// cell is one of the table.
type cell struct {
	wrong  wrong
	op     operation
	length length
}

func (c cell) String() string { return fmt.Sprintf("%s at %s, %s", c.wrong, c.op, c.length) }

// cells are the whole table.
func cells() (all []cell) {
	for _, op := range operations {
		for _, w := range wrongs {
			for _, l := range []length{once, lasting, left} {
				if w == stopped && l == once || w == restarted && l != once {
					continue // the one is the other
				}
				at := slices.Index(operations, op)
				if l == left && (at < slices.Index(operations, opReceiptWrite) || at > slices.Index(operations, opReceiptDrop)) {
					continue // nothing is out
				}
				all = append(all, cell{w, op, l})
			}
		}
	}
	return all
}

// codes are the exit codes that the program promises in a cell.
func (c cell) codes() []int {
	at := slices.Index(operations, c.op)
	refused := c.wrong == http401 || c.wrong == readOnly // which is not asked again
	before := at <= slices.Index(operations, opPools)
	switch {
	case c.length == left && c.op == opReceiptWrite:
		return []int{130} // nothing was out
	case c.length == left:
		return []int{5}
	case before && (c.length == lasting || refused && c.op != opInventory):
		return []int{11} // nothing was touched, for etcd could not be asked
	case before && c.wrong == restarted:
		return []int{0, 11} // it may be back in time
	case c.length == once:
		return []int{0}
	case at >= slices.Index(operations, opRecordDrop):
		return []int{0} // all is done
	case at < slices.Index(operations, opRoom):
		return []int{0, 4} // if the proxies are left alone first, the origin serves for as long as the lease lasts
	default:
		return []int{4} // the lease is over before etcd is back
	}
}

// At every operation of a run, etcd fails in every way: pools are never left wrong, and nothing hangs.
//
// Seen to fail with: a lock of which only the ttl says how long it lasts, so that recover takes one that
// is over for one that does not run out.
func TestFaults(t *testing.T) {
	t.Parallel()
	all := cells()
	random := rand.New(rand.NewPCG(seed(t), 1))
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	some := len(all) / 24
	switch {
	case wholeTable():
		some = len(all)
	case os.Getenv("CHAOS_TABLE") != "": // the cells of which the name holds that text
		all = slices.DeleteFunc(all, func(c cell) bool { return !strings.Contains(c.String(), os.Getenv("CHAOS_TABLE")) })
		some = len(all)
	case testing.Short():
		some = len(all) / 36
	}
	t.Logf("%d of %d cells", some, len(all))
	var books tally
	o := small()
	o.Drain = 1400 * time.Millisecond // so that leases are refreshed while hosts are out
	each(t, some, func(t *testing.T) *world { return newWorld(t, o) }, func(t *testing.T, w *world, i int) {
		w.story = nil
		all[i].play(t, w, &books)
	})
	t.Cleanup(func() { t.Log(books.String()) })
}

func (c cell) play(t *testing.T, w *world, books *tally) {
	t.Helper()
	w.tell("%s", c)
	w.other.front.reset(nil)
	f := &failing{cell: c, world: w, over: make(chan struct{}), hit: make(chan struct{})}
	w.here.front.reset(f.plan)
	p := w.here.start(t, "--json", "sync")
	if c.length == left {
		f.leave(t, p)
	}
	code := p.wait(t)
	f.end()
	books.add(fmt.Sprintf("%s, %s: exit %d", c.op, c.length, code))
	select {
	case <-f.hit:
	default:
		w.fail(t, "%s: the run never came to that", c)
	}
	if !slices.Contains(c.codes(), code) {
		w.fail(t, "%s: exit %d, want one of %v", c, code, c.codes())
	}
	if code != 5 && c.length != left {
		w.wantPools(t, "before recover")
	}
	if len(w.etcd.left(t)) > 0 || code == 5 {
		m := w.here
		if c.length == left {
			m = w.other
		}
		if code, _ := m.run(t, "recover", "--yes"); code != 0 {
			w.fail(t, "%s: recover: exit %d", c, code)
		}
	}
	w.wantClean(t)
}

// failing is a cell under way.
type failing struct {
	cell  cell
	world *world

	mu     sync.Mutex
	began  bool
	ended  bool
	timer  *time.Timer
	others sync.WaitGroup
	over   chan struct{}
	hit    chan struct{}
}

// plan spoils the first request of the operation, and what comes after it as long as it lasts.
func (f *failing) plan(a ask) do {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended || f.began && f.cell.length == once || !f.began && !f.due(a) {
		return do{}
	}
	first := !f.began
	if first {
		f.began = true
		close(f.hit)
		if f.cell.length == lasting {
			f.timer = time.AfterFunc(outage, f.end)
		}
	}
	e := f.world.etcd
	switch f.cell.wrong {
	case stopped:
		if first {
			e.stop()
			if f.cell.length == once { // until the client has noticed
				f.others.Go(func() { _ = e.start() })
			}
		}
	case paused:
		if first {
			e.pause()
			if f.cell.length == once {
				f.timer = time.AfterFunc(300*time.Millisecond, e.resume)
			}
		}
	case restarted:
		if first {
			e.stop()
			f.others.Go(func() { _ = e.start() })
		}
	case lostReply:
		if a.op != opWatch {
			return do{fault: poolingtest.DropReply}
		}
		return do{fault: poolingtest.DropRequest}
	case http503:
		return do{fault: poolingtest.Unavailable}
	case http500:
		return do{fault: poolingtest.RaftError}
	case http401:
		return do{status: http.StatusUnauthorized, code: 110}
	case readOnly:
		return do{status: http.StatusForbidden, code: 107}
	case garbage:
		return do{fault: poolingtest.Garbage}
	}
	return do{}
}

// due says whether a request is the first of the operation: of a refresh, the first with hosts out.
func (f *failing) due(a ask) bool {
	if a.op != f.cell.op {
		return false
	}
	front := f.world.here.front
	front.mu.Lock()
	defer front.mu.Unlock()
	return a.op != opRefresh || front.depooled
}

// end makes etcd whole again.
func (f *failing) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return
	}
	f.ended = true
	if f.timer != nil {
		f.timer.Stop()
	}
	f.others.Wait()
	f.world.etcd.resume()
	_ = f.world.etcd.start() // what asks it next fails otherwise
}

// leave types Ctrl-C three times once the fault is there.
func (f *failing) leave(t *testing.T, p *program) {
	t.Helper()
	select {
	case <-f.hit:
	case <-time.After(deadline):
		f.world.fail(t, "%s: not within %v", f.cell, deadline)
		return
	}
	for level := rollout.AbortGently; level <= rollout.AbortNow; level++ {
		p.signal(syscall.SIGINT)
		if !p.await(t, fmt.Sprintf("abort_asked of level %d", level), func(e rollout.Event) bool {
			return e.Kind == rollout.AbortAsked && e.Level == level
		}) {
			return // it has ended by itself: nothing was out
		}
	}
	p.signal(syscall.SIGINT)
}
