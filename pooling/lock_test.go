package pooling_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/pooling/poolingtest"
	"github.com/fleetsync/fleetsync/pooling/storetest"
)

const (
	fleet   = "mediawiki"
	below   = pooling.DefaultSharedPrefix + "/" + fleet
	lockKey = below + "/lock"
)

var alice = pooling.Holder{Owner: "alice", Host: "tin", Run: "r1", Reason: "a full run", Inventory: "sha256:1"}

func share(t testing.TB, store pooling.Store) *pooling.Shared {
	t.Helper()
	s, err := pooling.NewShared(store, pooling.SharedConfig{Fleet: fleet})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func acquire(t testing.TB, s *pooling.Shared, h pooling.Holder, ttl time.Duration) *pooling.Lease {
	t.Helper()
	l, err := s.Acquire(t.Context(), h, ttl)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// gone waits, by a watch, until the lock is.
func gone(t testing.TB, s pooling.Store) {
	t.Helper()
	l, err := s.List(t.Context(), below)
	for after := l.Index; err == nil && len(l.Entries) > 0; {
		var e pooling.Event
		if e, err = s.Wait(soon(t), below, after); e.Deleted {
			return
		}
		after = e.Entry.Index
	}
	if err != nil && !errors.Is(err, pooling.ErrNotFound) {
		t.Fatal(err)
	}
}

// TestLock is the life of a lock.
//
// Seen to fail with: the lock written without prevExist=false; Refresh without prevValue; Release without prevValue, or with it in the
// body of the DELETE (etcd reads none, and deletes anybody's); Break that does not compare the ID; a lost lease that stays
// valid; a probe that stays.
func TestLock(t *testing.T) {
	both(t, func(t *testing.T, a others) {
		ctx := t.Context()
		tin, mira := share(t, a.store), share(t, a.store)
		if _, _, err := tin.Holder(ctx); !errors.Is(err, pooling.ErrNotFound) {
			t.Errorf("free: %v", err)
		}
		l := acquire(t, tin, alice, 30*time.Second)
		if !l.Valid() {
			t.Error("not valid")
		}
		if l.Holder.ID == "" || l.Holder.Since.IsZero() {
			t.Errorf("%+v", l.Holder)
		}

		bob := pooling.Holder{Owner: "bob", Host: "mira", Run: "r2"}
		_, err := mira.Acquire(ctx, bob, 30*time.Second)
		var held *pooling.HeldError
		if !errors.Is(err, pooling.ErrHeld) || !errors.As(err, &held) {
			t.Fatalf("held: %v", err)
		}
		if diff := cmp.Diff(l.Holder, held.Holder); diff != "" || held.TTL <= 20*time.Second || held.TTL > 30*time.Second {
			t.Errorf("%s: %s", held.TTL, diff)
		}
		for _, word := range []string{"mediawiki", "alice", "tin", "r1", "a full run", "since"} {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%q is not in %q", word, err)
			}
		}
		if h, ttl, err := mira.Holder(ctx); err != nil || h != l.Holder || ttl <= 0 || ttl > 30*time.Second {
			t.Errorf("%+v, %s, %v", h, ttl, err)
		}
		// bob's hands are bound
		if err := mira.Break(ctx, pooling.Holder{}); err == nil {
			t.Error("broke a lock of nobody")
		}
		if err := mira.Break(ctx, pooling.Holder{ID: "another", Owner: "alice"}); !errors.As(err, &held) || held.Holder != l.Holder {
			t.Errorf("broke another's: %v", err)
		}
		if err := l.Refresh(ctx); err != nil || !l.Valid() {
			t.Errorf("refresh: %v", err)
		}
		if h, _, err := mira.Holder(ctx); err != nil || h != l.Holder {
			t.Errorf("after refresh: %+v, %v", h, err)
		}

		for range 2 {
			if err := l.Release(ctx); err != nil || l.Valid() {
				t.Errorf("release: %v", err)
			}
		}
		if err := l.Refresh(ctx); !errors.Is(err, pooling.ErrLockLost) {
			t.Errorf("refresh of a released lease: %v", err)
		}
		if keys := a.below(pooling.DefaultSharedPrefix); keys != nil {
			t.Errorf("left: %v", keys)
		}

		// the late one changes nothing of the next one's
		l2 := acquire(t, mira, bob, 30*time.Second)
		if err := l.Release(ctx); err != nil {
			t.Errorf("late release: %v", err)
		}
		if err := l2.Refresh(ctx); err != nil || !l2.Valid() {
			t.Errorf("%v", err)
		}
		// broken
		for range 2 {
			if err := tin.Break(ctx, l2.Holder); err != nil {
				t.Errorf("break: %v", err)
			}
		}
		if err := l2.Refresh(ctx); !errors.Is(err, pooling.ErrLockLost) || l2.Valid() {
			t.Errorf("refresh of a broken lock: %v", err)
		}
		l3 := acquire(t, tin, alice, 30*time.Second)
		if err := mira.Break(ctx, l2.Holder); !errors.As(err, &held) || held.Holder != l3.Holder {
			t.Errorf("break of one that has changed hands: %v", err)
		}
		if err := l2.Refresh(ctx); !errors.Is(err, pooling.ErrLockLost) || l2.Valid() {
			t.Errorf("refresh: %v", err)
		}
		if err := l3.Release(ctx); err != nil {
			t.Error(err)
		}

		// one that was lost to somebody else says to whom
		l4 := acquire(t, tin, alice, 30*time.Second)
		if err := mira.Break(ctx, l4.Holder); err != nil {
			t.Error(err)
		}
		l5 := acquire(t, mira, bob, 0)
		if err := l4.Refresh(ctx); !errors.Is(err, pooling.ErrLockLost) || !errors.As(err, &held) || held.Holder != l5.Holder || l4.Valid() {
			t.Errorf("%v", err)
		}
		// a freeze
		if err := l5.Refresh(ctx); err != nil || !l5.Valid() {
			t.Errorf("refresh of one that does not run out: %v", err)
		}
		if h, ttl, err := tin.Holder(ctx); err != nil || ttl != 0 || h != l5.Holder {
			t.Errorf("%s, %v", ttl, err)
		}
		if err := tin.Break(ctx, l5.Holder); err != nil {
			t.Error(err)
		}
		if err := l5.Refresh(ctx); !errors.Is(err, pooling.ErrLockLost) || l5.Valid() {
			t.Errorf("refresh of a broken one: %v", err)
		}

		for _, ttl := range []time.Duration{-time.Second, 1, 999 * time.Millisecond} {
			if _, err := tin.Acquire(ctx, alice, ttl); err == nil {
				t.Errorf("ttl %s", ttl)
			}
		}
		for range 2 {
			if err := tin.Writable(ctx); err != nil {
				t.Error(err)
			}
		}
		if keys := a.below(pooling.DefaultSharedPrefix); keys != nil {
			t.Errorf("left: %v", keys)
		}
	})
}

// TestLockHostile: what somebody else put there harms no terminal, and is not overwritten.
func TestLockHostile(t *testing.T) {
	both(t, func(t *testing.T, a others) {
		s := share(t, a.store)
		for _, value := range []string{
			"", "x", "{}", `{"id":""}`, `{"id":5}`, `[]`, "\x1b[31m", `{"owner":"\u001b[31malice\n","id":"1\u202e"}`,
			`{"id":"1","since":"yesterday"}`,
		} {
			a.set(lockKey, value)
			h, _, holderErr := s.Holder(t.Context())
			_, err := s.Acquire(t.Context(), alice, 30*time.Second)
			if !errors.Is(err, pooling.ErrHeld) || (holderErr == nil) == errors.Is(err, pooling.ErrMalformed) {
				t.Errorf("%q: %v, %v", value, holderErr, err)
			}
			for _, text := range []string{fmt.Sprint(err), fmt.Sprint(holderErr), h.Owner, h.ID} {
				if strings.ContainsAny(text, "\x1b\n\u202e") {
					t.Errorf("%q: not clean: %q", value, text)
				}
			}
			if now := a.read(lockKey).Value; now != value {
				t.Errorf("%q: overwritten: %s", value, now)
			}
			a.delete(lockKey)
		}
		long := strings.Repeat("x", 5000)
		l := acquire(t, s, pooling.Holder{Owner: "a\x1bb", Host: "c\nd", Run: "r\u202e", Reason: long, Inventory: long}, time.Second)
		if h := l.Holder; h.Owner != "ab" || h.Host != "cd" || h.Run != "r" || len(h.Reason) > 300 {
			t.Errorf("%+v", h)
		}
		if h, _, err := s.Holder(t.Context()); err != nil || h != l.Holder {
			t.Errorf("%+v, %v", h, err)
		}
		if err := s.Break(t.Context(), l.Holder); err != nil {
			t.Error(err)
		}
	})
}

// TestLockExpires: a lock that is not refreshed is free after its ttl, not before; one that is refreshed stays.
//
// Seen to fail with: a Refresh that only reads.
func TestLockExpires(t *testing.T) {
	t.Parallel()
	a := others{t, etcdStore(t, poolingtest.StartEtcd(t))}
	s := share(t, a.store)
	began := time.Now()
	l := acquire(t, s, alice, time.Second)
	gone(t, a.store)
	if took := time.Since(began); took < time.Second {
		t.Errorf("gone after %s", took)
	}
	if l.Valid() {
		t.Error("valid after its lock is gone")
	}
	if err := l.Refresh(t.Context()); !errors.Is(err, pooling.ErrLockLost) {
		t.Errorf("refresh: %v", err)
	}
	if keys := a.below(pooling.DefaultSharedPrefix); keys != nil {
		t.Errorf("refresh made %v", keys)
	}
	// refreshed until after it would have run out: another key that runs out is the clock
	l = acquire(t, s, alice, 2*time.Second)
	if err := a.store.Create(t.Context(), "/clock", "x", 3*time.Second); err != nil {
		t.Fatal(err)
	}
	for a.read("/clock").Index != 0 {
		if err := l.Refresh(t.Context()); err != nil || !l.Valid() {
			t.Fatalf("refresh: %v", err)
		}
	}
	if h, _, err := s.Holder(t.Context()); err != nil || h != l.Holder {
		t.Errorf("%+v, %v", h, err)
	}
}

// TestValid: by a clock of the test's own.
//
// Seen to fail with: the end of a call taken for its start; a lease as long as the lock; a failed Refresh that counts.
func TestValid(t *testing.T) {
	m := &storetest.Memory{}
	faults := &storetest.Faults{Next: m}
	s := share(t, faults)
	var now time.Duration
	s.SetClock(func() time.Duration { return now })
	pass := func(d time.Duration) { now += d }
	slow := func(d time.Duration) { // calls that take so long
		faults.Plan = func(storetest.Op, string) storetest.Fault { pass(d); return storetest.None }
	}
	pass(time.Hour)
	slow(5 * time.Second)
	l := acquire(t, s, alice, 30*time.Second)
	slow(0)
	expect := func(what string, valid bool) {
		t.Helper()
		if l.Valid() != valid {
			t.Errorf("%s: valid %t", what, l.Valid())
		}
	}
	expect("a call of 5s", true)
	pass(19*time.Second - 1)
	expect("at the end", true)
	pass(1)
	expect("after it", false)
	slow(time.Second)
	if err := l.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	slow(0)
	expect("refreshed: nobody else had it meanwhile", true)
	pass(20 * time.Second)
	faults.Plan = func(storetest.Op, string) storetest.Fault { return storetest.Unavailable }
	if err := l.Refresh(t.Context()); !errors.Is(err, pooling.ErrUnavailable) {
		t.Error(err)
	}
	expect("a refresh that failed", true)
	pass(3*time.Second - 1)
	expect("at the end of the one that did not", true)
	pass(1)
	expect("after it", false)
	faults.Plan = nil
	m.Advance(31 * time.Second)
	if err := l.Refresh(t.Context()); !errors.Is(err, pooling.ErrLockLost) {
		t.Error(err)
	}
	expect("lost", false)
}

// TestLockFaults: every call against every way in which a store fails, once and for ever.
//
// Seen to fail with: a conflict with what the same call has made taken for somebody else's lock; what the same call has
// deleted taken for a failure of Release or Break; PutReceipt that does not re-read; a failed Refresh that ends the lease.
func TestLockFaults(t *testing.T) {
	t.Parallel()
	receipt := pooling.Receipt{Run: "r1", Host: "mw1", Purpose: pooling.Serving,
		Objects: []pooling.Object{{Key: "eqiad/appserver/apache2/mw1", Value: yes, Index: 7}}}
	type situation struct {
		s *pooling.Shared
		l *pooling.Lease // held before, but by acquire
	}
	type ops = []storetest.Op
	operations := []struct {
		name  string
		ops   ops  // that are spoiled
		held  bool // before
		run   func(ctx context.Context, w situation) error
		after []string // keys
	}{
		{"acquire", ops{storetest.Create}, false, func(ctx context.Context, w situation) error {
			l, err := w.s.Acquire(ctx, alice, time.Minute)
			if err == nil && !l.Valid() {
				return errors.New("not valid")
			}
			return err
		}, []string{lockKey}},
		{"refresh", ops{storetest.Refresh}, true, func(ctx context.Context, w situation) error {
			err := w.l.Refresh(ctx)
			if !w.l.Valid() {
				return errors.Join(err, errors.New("not valid"))
			}
			return err
		}, []string{lockKey}},
		{"release", ops{storetest.DeleteValue}, true, func(ctx context.Context, w situation) error { return w.l.Release(ctx) }, nil},
		{"break", ops{storetest.Get, storetest.DeleteValue}, true, func(ctx context.Context,
			w situation) error {
			return w.s.Break(ctx, w.l.Holder)
		}, nil},
		{"writable", ops{storetest.Create}, false, func(ctx context.Context, w situation) error { return w.s.Writable(ctx) }, nil},
		{"writable, deleting", ops{storetest.DeleteValue}, false, func(ctx context.Context, w situation) error { return w.s.Writable(ctx) }, nil},
		{"put receipt", ops{storetest.Create}, false, func(ctx context.Context, w situation) error { return w.s.PutReceipt(ctx, receipt) },
			[]string{below + "/receipts/r1,mw1"}},
		{"replace receipt", ops{storetest.Get, storetest.Create, storetest.Swap}, false, func(ctx context.Context, w situation) error {
			was := receipt
			was.Owner = "bob"
			return errors.Join(w.s.PutReceipt(ctx, was), w.s.PutReceipt(ctx, receipt))
		}, []string{below + "/receipts/r1,mw1"}},
		{"receipts", ops{storetest.List}, false, func(ctx context.Context, w situation) error {
			_, err := w.s.Receipts(ctx)
			return err
		}, nil},
		{"drop receipt", ops{storetest.Delete}, false, func(ctx context.Context, w situation) error {
			return errors.Join(w.s.PutReceipt(ctx, receipt), w.s.DropReceipt(ctx, "r1", "mw1"))
		}, nil},
		{"put run", ops{storetest.Create}, false, func(ctx context.Context, w situation) error {
			return w.s.PutRun(ctx, pooling.RunRecord{Run: "r1"})
		}, []string{below + "/runs/r1"}},
		{"drop run", ops{storetest.Get, storetest.Delete}, false, func(ctx context.Context, w situation) error {
			return errors.Join(w.s.PutRun(ctx, pooling.RunRecord{Run: "r1"}), w.s.DropRun(ctx, "r1"))
		}, nil},
	}
	for _, fault := range []storetest.Fault{storetest.Again, storetest.Lost, storetest.Unavailable, storetest.Unauthorized,
		storetest.ReadOnly, storetest.Hang, storetest.HangLost} {
		for _, op := range operations {
			for _, times := range []int64{1, 1 << 40} {
				t.Run(fmt.Sprintf("%s/%s/%t", fault, op.name, times == 1), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						m := &storetest.Memory{}
						left := times
						faults := &storetest.Faults{Next: m}
						w := situation{s: share(t, faults)}
						if op.held {
							w.l = acquire(t, w.s, alice, time.Minute)
						}
						faults.Plan = func(o storetest.Op, _ string) storetest.Fault {
							if slices.Contains(op.ops, o) {
								if left--; left >= 0 {
									return fault
								}
							}
							return storetest.None
						}
						expect := map[storetest.Fault]error{
							storetest.Again: nil, storetest.Unauthorized: pooling.ErrUnauthorized, storetest.ReadOnly: pooling.ErrReadOnly,
							storetest.Lost: pooling.ErrUnavailable, storetest.Unavailable: pooling.ErrUnavailable,
							storetest.Hang: pooling.ErrUnavailable, storetest.HangLost: pooling.ErrUnavailable,
						}[fault]
						began := time.Now()
						err := op.run(t.Context(), w)
						if !errors.Is(err, expect) {
							t.Errorf("got %v, want %v", err, expect)
						}
						if took := time.Since(began); took > 2*pooling.DefaultTimeout {
							t.Errorf("took %s", took)
						}
						if err != nil {
							// It can be called again, whatever its effect was. A lock may be taken by nobody who knows.
							faults.Plan = nil
							if err := op.run(t.Context(), w); err != nil && (op.name != "acquire" || !errors.Is(err, pooling.ErrHeld)) {
								t.Errorf("again, without faults: %v", err)
							}
						}
						keys := slices.DeleteFunc(others{t, m}.below(pooling.DefaultSharedPrefix), func(key string) bool {
							return err != nil && strings.Contains(key, "/probe-") // runs out
						})
						if !slices.Equal(op.after, keys) {
							t.Errorf("left %v, want %v", keys, op.after)
						}
					})
				})
			}
		}
	}
}

// interrupted is a store that is not waited for any more once it has created a key.
type interrupted struct {
	pooling.Store
	stop func()
}

func (i interrupted) Create(ctx context.Context, key, value string, ttl time.Duration) error {
	err := i.Store.Create(ctx, key, value, ttl)
	i.stop()
	return errors.Join(err, context.Cause(ctx))
}

// TestAcquireCanceled: whoever gives up does not leave a lock behind.
//
// Seen to fail with: no undo after a cancelled context.
func TestAcquireCanceled(t *testing.T) {
	m, why := &storetest.Memory{}, errors.New("asked to stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	s := share(t, interrupted{m, func() { cancel(why) }})
	if _, err := s.Acquire(ctx, alice, 0); !errors.Is(err, why) {
		t.Error(err)
	}
	if keys := m.Values(pooling.DefaultSharedPrefix); len(keys) > 0 {
		t.Errorf("left: %v", keys)
	}
}

// TestLockRace: two masters, many rounds, replies lost at random: never two at once, and never none for want of a reply.
// FLEETSYNC_LONG plays more of them.
//
// Seen to fail with: prevExist left out; a re-read that compares owner and host in place of the ID.
func TestLockRace(t *testing.T) {
	race := func(t *testing.T, a others, lossy pooling.Store, requests func() int64) {
		rounds := 40
		if os.Getenv("FLEETSYNC_LONG") != "" {
			rounds = 500
		}
		var inside, taken atomic.Int64
		var ready, all sync.WaitGroup
		for range rounds {
			var got atomic.Int64
			ready.Add(2)
			for range 2 {
				s := share(t, lossy)
				all.Go(func() {
					ready.Done()
					ready.Wait()
					l, err := s.Acquire(t.Context(), alice, time.Minute)
					if errors.Is(err, pooling.ErrHeld) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					got.Add(1)
					taken.Add(1)
					if n := inside.Add(1); n != 1 {
						t.Errorf("%d hold it", n)
					}
					if err := l.Refresh(t.Context()); err != nil || !l.Valid() {
						t.Errorf("refresh: %v", err)
					}
					inside.Add(-1)
					if err := l.Release(t.Context()); err != nil {
						t.Errorf("release: %v", err)
					}
				})
			}
			all.Wait()
			if got.Load() == 0 {
				t.Fatal("nobody got it")
			}
			if keys := a.below(pooling.DefaultSharedPrefix); keys != nil {
				t.Fatalf("left: %v", keys)
			}
		}
		t.Logf("%d rounds, taken %d times, %d requests", rounds, taken.Load(), requests())
	}
	t.Parallel()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		m := &storetest.Memory{}
		var calls atomic.Int64
		race(t, others{t, m}, &storetest.Faults{Next: m, Plan: func(storetest.Op, string) storetest.Fault {
			if calls.Add(1)%5 == 0 {
				return storetest.Again
			}
			return storetest.None
		}}, calls.Load)
	})
	t.Run("etcd 3.4", func(t *testing.T) {
		t.Parallel()
		base := poolingtest.StartEtcd(t)
		var requests atomic.Int64
		faults := &poolingtest.Faults{Next: forward(t, base)}
		faults.Plan(func(*http.Request) poolingtest.Fault {
			if requests.Add(1)%5 == 0 {
				return poolingtest.DropReply
			}
			return poolingtest.None
		})
		race(t, others{t, etcdStore(t, base)}, etcdStore(t, frontend(t, faults)), requests.Load)
	})
}

// TestStopped: a process that is stopped past its ttl learns that at once when it goes on, before any refresh.
//
// Seen to fail with: Valid that asks no clock.
func TestStopped(t *testing.T) {
	const child = "FLEETSYNC_TEST_LEASE"
	if base := os.Getenv(child); base != "" {
		s := share(t, etcdStore(t, base))
		l := acquire(t, s, alice, 2*time.Second)
		fmt.Println("valid", l.Valid())
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			fmt.Println("valid", l.Valid())
		}
		return
	}
	t.Parallel()
	base := poolingtest.StartEtcd(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStopped$")
	cmd.Env = append(os.Environ(), child+"="+base)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := bufio.NewScanner(out)
	said := func() string {
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "valid ") {
				return lines.Text()
			}
		}
		return ""
	}
	if s := said(); s != "valid true" {
		t.Fatal(s)
	}
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	gone(t, etcdStore(t, base))
	if _, err := io.WriteString(in, "?\n"); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if s := said(); s != "valid false" {
		t.Error(s)
	}
	_ = in.Close()
}
