package orchestrator_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetsync/fleetsync/orchestrator"
	"github.com/fleetsync/fleetsync/orchestrator/execute"
	"github.com/fleetsync/fleetsync/orchestrator/hosts"
	"github.com/fleetsync/fleetsync/orchestrator/monitor"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
)

// lease is one that lasts for four fifths of its time to live after it was refreshed, as a real one does.
type lease struct {
	refresh func(ctx context.Context, n int) error // of the nth time

	mu    sync.Mutex
	began time.Time
	n     int
	over  bool
}

func newLease(refresh func(ctx context.Context, n int) error) *lease {
	return &lease{refresh: refresh, began: time.Now()}
}

func (l *lease) Valid() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.over && time.Since(l.began) < lockTTL*4/5
}

func (l *lease) Refresh(ctx context.Context) error {
	began := time.Now()
	l.mu.Lock()
	l.n++
	n := l.n
	l.mu.Unlock()
	err := l.refresh(ctx, n)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.began = began
	}
	l.over = l.over || errors.Is(err, pooling.ErrLockLost)
	return err
}

var errAway = errors.New("no endpoint answers")

func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// refreshes are ways in which the refreshes of a lease go.
var refreshes = []struct {
	name    string
	refresh func(ctx context.Context, n int) error
	lost    bool          // the lease is
	within  time.Duration // in that time
}{
	{"all goes well", func(context.Context, int) error { return nil }, false, 0},
	{"two of three fail", func(_ context.Context, n int) error {
		if n%3 != 0 {
			return errAway
		}
		return nil
	}, false, 0},
	{"one in two hangs", func(ctx context.Context, n int) error {
		if n%2 != 0 {
			return hang(ctx)
		}
		return nil
	}, false, 0},
	{"the store goes away", func(_ context.Context, n int) error {
		if n > 2 {
			return errAway
		}
		return nil
	}, true, 2*lockTTL/4 + lockTTL},
	{"the store hangs", func(ctx context.Context, _ int) error { return hang(ctx) }, true, lockTTL},
	{"somebody breaks it", func(_ context.Context, n int) error {
		if n > 2 {
			return pooling.ErrLockLost
		}
		return nil
	}, true, 3 * lockTTL / 4},
}

// TestKeepAlive sees that a lease is lost when it has run out or was broken, that this is told once and in
// time, and that no failure that passes is told.
//
// Planted, one at a time, and seen to fail here or in TestLostLease: a loss that is told nobody, again
// and again, or by waiting for ever for somebody to listen; one failure as a loss; a broken lock that is
// refreshed on, a lease that has run out and is not lost; a refresh without a limit; one in a time to
// live. Steps that begin without asking the lease; repools that ask it; a loss that lets transfers go on,
// or that does not halt the run.
func TestKeepAlive(t *testing.T) {
	for _, test := range refreshes {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, l := time.Now(), newLease(test.refresh)
				world := make(chan rollout.Event, 10)
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					monitor.KeepAlive(ctx, l, lockTTL, world)
				}()
				select {
				case e := <-world:
					if took := time.Since(began); !test.lost || took > test.within {
						t.Errorf("%+v after %v", e, took)
					}
					if e.Kind != rollout.LockLost || e.Error == "" || l.Valid() {
						t.Errorf("%+v, and the lease is valid: %v", e, l.Valid())
					}
				case <-time.After(time.Hour):
					if test.lost || !l.Valid() {
						t.Error("the loss is not told")
					}
				}
				<-time.After(time.Minute)
				cancel()
				<-ended
				if len(world) > 0 {
					t.Errorf("told again: %+v", <-world)
				}
			})
		})
	}
}

// TestKeepAliveEnds when it is told to, though nobody listens.
func TestKeepAliveEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		monitor.KeepAlive(ctx, newLease(func(context.Context, int) error { return pooling.ErrLockLost }), lockTTL, make(chan rollout.Event))
		if ctx.Err() == nil {
			t.Error("the loss was told nobody")
		}
	})
}

// TestLostLease runs with the leases of TestKeepAlive, with transfers that take longer than a lease lasts
// and others that begin all the time.
// From the moment at which a lease is not valid nothing begins but repools; what is in flight is ended
// soon after, all pools are put back, and the outcome says why. A lease that lasts disturbs nothing.
func TestLostLease(t *testing.T) {
	for _, test := range refreshes {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, s := fleet(70), settings()
				s.Batches.Parallel, s.Batches.Ramp = 6, nil
				p := plan(t, f, s)
				state, err := rollout.NewState(p)
				if err != nil {
					t.Fatal(err)
				}
				e := newEtcd(t, f, 4, func() string { return "yes" })
				us := e.connect(t)
				defer us.close()
				// The lease is kept well until the fleet is being synced.
				fails := make(chan struct{})
				failed := 0
				l := newLease(func(ctx context.Context, n int) error {
					select {
					case <-fails:
						failed++
						return test.refresh(ctx, failed)
					default:
						return nil
					}
				})
				world := make(chan rollout.Event, 1)
				j := &memory{}
				begun := &leasedDoer{lease: l, fails: fails}
				begun.Doer = &someTransfers{
					Executor: &execute.Executor{
						Plan: p, Restorer: execute.Restorer{Hosts: &hosts.Asker{Fleet: f}, Pools: us.pools, Receipts: us.shared}, Lease: l, Owner: "o",
						Machine: "m1",
					},
					takes: begun.takes,
				}
				ctx, cancel := context.WithCancel(t.Context())
				var others sync.WaitGroup
				others.Go(func() { monitor.KeepAlive(ctx, l, lockTTL, world) })
				outcome, err := (&orchestrator.Run{State: state, Journal: j, Doer: begun, World: world}).Do(t.Context())
				cancel()
				others.Wait()
				switch {
				case err != nil:
					t.Error(err)
				case !test.lost && (outcome.Result != rollout.ResultDone || outcome.Counts.Synced != outcome.Counts.Hosts):
					t.Errorf("outcome %+v", outcome)
				case test.lost && (outcome.Result != rollout.ResultHalted || !strings.HasPrefix(outcome.Why, "the lock was lost")):
					t.Errorf("outcome %+v", outcome)
				}
				for key, was := range e.before {
					if is := e.value(key); is != was {
						t.Errorf("%s is %s at the end, was %s", key, is, was)
					}
				}
				if left := e.store.Values(sharedPrefix); len(left) > 0 || len(outcome.Out) > 0 {
					t.Errorf("left are %v, out %v", left, outcome.Out)
				}
				begun.check(t, j)
				if test.name == "the store goes away" && begun.refused == 0 {
					t.Error("no step came while the lease had run out and that was not known yet")
				}
			})
		})
	}
}

// leasedDoer sees which steps begin while the lease is valid, and which while it is not.
type leasedDoer struct {
	orchestrator.Doer
	lease *lease
	fails chan struct{} // closed when the fleet is being synced

	mu    sync.Mutex
	wrong []string
	slow  bool
	begun int // since

	refused int // steps that did not begin, for want of the lock
}

func (b *leasedDoer) Do(ctx context.Context, step rollout.Step) rollout.Event {
	valid := b.lease.Valid()
	b.mu.Lock()
	if step.ID == "sync/h0005" && !b.slow {
		b.slow = true
		close(b.fails)
	}
	b.mu.Unlock()
	var e rollout.Event
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch refused := e.Class == rollout.Stopped && strings.Contains(e.Error, pooling.ErrLockLost.Error()); {
		case valid || step.Kind == rollout.StepRepool:
		case refused:
			b.refused++
		default:
			b.wrong = append(b.wrong, string(step.ID)+" begins without the lock: "+string(e.Kind)+" "+e.Error)
		}
	}()
	e = b.Doer.Do(ctx, step)
	return e
}

// takes is how long a transfer takes: the first of the fleet longer than any lease, while others begin.
func (b *leasedDoer) takes() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.slow {
		return 2 * time.Second
	}
	if b.begun++; b.begun <= 2 {
		return 3 * lockTTL
	}
	return 3 * time.Second
}

// check sees that nothing was wrong, and that the loss ended all transfers at once.
func (b *leasedDoer) check(t *testing.T, j *memory) {
	t.Helper()
	for _, text := range b.wrong {
		t.Error(text)
	}
	var lost time.Time
	for _, e := range j.events {
		switch {
		case e.Kind == rollout.LockLost:
			lost = e.At
		case lost.IsZero():
		case e.Kind == rollout.StepStarted && !strings.HasPrefix(string(e.Step), "repool/"):
			t.Errorf("%s starts after the lock was lost", e.Step)
		case e.At.Sub(lost) > 2*time.Second:
			t.Errorf("%s %s happens %v after the lock was lost", e.Kind, e.Step, e.At.Sub(lost))
		}
	}
}
