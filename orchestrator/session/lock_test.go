package session_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/orchestrator/journal"
	"github.com/fleetsync/fleetsync/orchestrator/session"
	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/pooling/poolingtest"
)

// TestOpen: one at a time has the fleet, on this machine and on all, and who is refused learns who it is.
//
// Seen to fail with: a file lock that is kept by who was refused the lease; a lease that is not given up.
func TestOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tin, mira := w.master("tin"), w.master("mira")
	s := tin.open(session.Claim{Run: "r1", Reason: "sync"})
	w.wantShared("lock")
	for _, m := range []*master{tin, mira} {
		_, err := session.Open(t.Context(), m.Config, session.Claim{Run: "r2"})
		held, ok := errors.AsType[*pooling.HeldError](err)
		if !ok || held.Holder.Run != "r1" || held.Holder.Host != "tin" || held.Holder.Owner != "alice" || held.Holder.Reason != "sync" {
			t.Errorf("on %s: %v", m.Machine, err)
		}
	}
	s.Close(t.Context())
	w.wantShared()
	mira.open(session.Claim{Run: "r3"})
	if _, err := session.Open(t.Context(), tin.Config, session.Claim{}); !errors.Is(err, pooling.ErrHeld) {
		t.Errorf("%v", err)
	}
	if lock, err := tin.Store.Lock(); err != nil {
		t.Errorf("who was refused keeps the machine's lock: %v", err)
	} else if err := lock.Release(); err != nil {
		t.Error(err)
	}
}

// TestOpenHereOnly: without a shared store the lock of the machine is all there is, and that is said.
func TestOpenHereOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.master("tin")
	m.Shared, m.Pools = nil, nil
	m.open(session.Claim{Run: "r1"})
	m.wantSaid("note: no shared store is configured")
	if _, err := session.Open(t.Context(), m.Config, session.Claim{}); !errors.Is(err, journal.ErrLocked) {
		t.Errorf("%v", err)
	}
}

// TestOpenWaits: who waits is told once for whom, and gets the lock when that is done, or gives up at a signal.
//
// Seen to fail with: an error that is returned at once; a wait that a signal does not end.
func TestOpenWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tin, mira := w.master("tin"), w.master("mira")
	s := tin.open(session.Claim{Run: "r1", Reason: "sync"})
	ended := make(chan error)
	open := func(ctx context.Context, c session.Config) {
		s, err := session.Open(ctx, c, session.Claim{Run: "r2", Wait: true})
		if err == nil {
			s.Close(t.Context())
		}
		ended <- err
	}
	for m, waiting := range map[*master]string{
		tin: "waiting: another run of this fleet is under way on this machine", mira: "waiting: fleet test is locked by alice on tin for run r1",
	} {
		ctx, interrupt := context.WithCancel(t.Context())
		go open(ctx, m.Config)
		m.await(waiting)
		interrupt()
		if err := <-ended; !errors.Is(err, session.ErrInterrupted) {
			t.Errorf("on %s: %v", m.Machine, err)
		}
	}
	go open(t.Context(), mira.Config)
	mira.await("waiting: ")
	s.Close(t.Context())
	if err := <-ended; err != nil {
		t.Errorf("%v", err)
	}
	mira.wantSaid()
	w.wantShared()
}

// TestOpenBreaks: the lease of a run of this machine that died is broken, because the lock of the machine is free; no other is, nor
// one of whose run there is no journal here: another machine may have the same name.
//
// Seen to fail with: a lease that is broken for the name of its machine alone; one that is never broken.
func TestOpenBreaks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tin, mira := w.master("tin"), w.master("mira")
	tin.die("r1", "p1")
	namesake := w.master("tin")
	for _, m := range []*master{mira, namesake} {
		_, err := session.Open(t.Context(), m.Config, session.Claim{Run: "r2"})
		if held, ok := errors.AsType[*pooling.HeldError](err); !ok || held.Holder.Run != "r1" {
			t.Errorf("%v", err)
		}
	}
	tin.open(session.Claim{Run: "r2"}).Close(t.Context())
	w.wantShared("receipts/r1,p1", "runs/r1")
}

// TestOpenFails: what keeps the lock from being taken is told by its type, and leaves the machine's lock to others.
func TestOpenFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.master("tin")
	open := func(ctx context.Context) error {
		s, err := session.Open(ctx, m.Config, session.Claim{Run: "r1"})
		if err == nil {
			t.Error("the lock is taken")
			s.Close(t.Context())
		}
		return err
	}
	interrupted, interrupt := context.WithCancel(t.Context())
	interrupt()
	if err := open(interrupted); !errors.Is(err, session.ErrInterrupted) {
		t.Errorf("interrupted: %v", err)
	}
	w.put(sharedKeys+"lock", "{")
	if err := open(t.Context()); !errors.Is(err, pooling.ErrMalformed) {
		t.Errorf("a lock that makes no sense: %v", err)
	} else if _, ok := errors.AsType[*session.LockError](err); !ok {
		t.Errorf("a lock that makes no sense: %v", err)
	}
	w.api.Etcd.Delete(sharedKeys + "lock")
	w.plan(func(r *http.Request) poolingtest.Fault {
		if r.Method == http.MethodPut {
			return poolingtest.Proxy403
		}
		return poolingtest.None
	})
	if _, ok := errors.AsType[*session.WriteError](open(t.Context())); !ok {
		t.Errorf("a store that takes no writes: %v", open(t.Context()))
	}
	w.plan(func(*http.Request) poolingtest.Fault { return poolingtest.None })
	m.Store.Dir = "/dev/null/state"
	if _, ok := errors.AsType[*session.StateError](open(t.Context())); !ok {
		t.Errorf("no place for a journal: %v", open(t.Context()))
	}
	w.wantShared()
}

// TestFreeze: a freeze keeps everybody out until it is ended, by anybody; what else holds the lock is not ended by hand.
func TestFreeze(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tin, mira := w.master("tin"), w.master("mira")
	if _, frozen, err := tin.Unfreeze(t.Context()); frozen || err != nil {
		t.Errorf("nothing is frozen: %v, %v", frozen, err)
	}
	if holder, err := tin.Freeze(t.Context(), "row C"); err != nil || holder.Reason != "row C" || holder.Run != "" {
		t.Errorf("%+v, %v", holder, err)
	}
	_, again := mira.Freeze(t.Context(), "again")
	for what, err := range map[string]error{"again": again, "recover": tin.AwaitDeath(t.Context())} {
		if held, ok := errors.AsType[*pooling.HeldError](err); !ok || held.Holder.Reason != "row C" || held.TTL != 0 {
			t.Errorf("%s: %v", what, err)
		}
	}
	if holder, frozen, err := mira.Unfreeze(t.Context()); !frozen || err != nil || holder.Reason != "row C" {
		t.Errorf("%+v, %v, %v", holder, frozen, err)
	}
	w.wantShared()
	for _, claim := range []session.Claim{{Run: "r1", Reason: "sync"}, {Reason: "recover"}} {
		s := tin.open(claim)
		_, _, err := mira.Unfreeze(t.Context())
		if e, ok := errors.AsType[*session.NotFrozenError](err); !ok || e.Holder.Run != claim.Run {
			t.Errorf("%+v: %v", claim, err)
		}
		s.Close(t.Context())
	}
	tin.Shared = nil
	_, err := tin.Freeze(t.Context(), "alone")
	if _, _, again := tin.Unfreeze(t.Context()); !errors.Is(err, session.ErrNoShared) || !errors.Is(again, session.ErrNoShared) {
		t.Errorf("%v, %v", err, again)
	}
}

// TestAwaitDeath: a lease that is not refreshed runs out, and its run was dead; one that is refreshed is of a run that lives.
//
// Seen to fail with: a wait that does not look whether the lease is refreshed.
func TestAwaitDeath(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tin, mira := w.master("tin"), w.master("mira")
	if err := mira.AwaitDeath(t.Context()); err != nil {
		t.Errorf("nobody has the lock: %v", err)
	}
	tin.die("r1", "p1")
	if err := tin.AwaitDeath(t.Context()); err != nil {
		t.Errorf("of this machine: %v", err)
	}
	tin.wantSaid()
	ended := make(chan error)
	go func() { ended <- mira.AwaitDeath(t.Context()) }()
	mira.await("to see whether run r1 on tin lives")
	w.api.Etcd.Advance(time.Minute)
	if err := <-ended; err != nil {
		t.Errorf("dead: %v", err)
	}
	tin.open(session.Claim{Run: "r2", Reason: "sync"}) // which refreshes it every quarter of 5s
	_, ok := errors.AsType[*pooling.HeldError](mira.AwaitDeath(t.Context()))
	if !ok {
		t.Error("a run that lives is taken for dead")
	}
}
