package pooling

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Lease is the lock as its holder has it. It is safe for concurrent use. Its states, and what moves it:
//
//	valid     from Acquire on          Valid is true
//	expired   four fifths of its ttl   Valid is false: the lock may be gone; a Refresh that succeeds makes it valid again,
//	          after the last success   as nobody else had the lock meanwhile
//	over      Release, or a Refresh    Valid is false, for good: the lock is not taken again
//	          that finds it gone
//
// What it cannot do: stop an effect that has already begun when the lease runs out, or one whose process is stopped
// between asking Valid and acting. It also trusts the clocks of the store: in etcd v2 a time to live is a moment of
// the clock of the member that took the request, and is judged by that of the leader, so that clocks
// further apart than a fifth of the ttl may end a lock before its lease.
type Lease struct {
	Holder Holder // as it was written

	shared *Shared
	value  string // as it was written
	ttl    time.Duration

	mu    sync.Mutex
	began time.Duration // by shared.clock: the start of the last call that made or refreshed the lock
	over  bool          // released or lost
}

// margin is what a lease is shorter than its lock, for clocks that run at different speeds and for
// what is still on its way when Valid has said yes.
func margin(ttl time.Duration) time.Duration { return ttl / 5 }

// Refresh renews the lock for another ttl if it is still this lease's. The error is ErrLockLost if it is not, for good:
// Refresh never takes a lock again. After any other error the lock may be ours or not: try again; until it succeeds Valid
// judges by the last time that did.
func (l *Lease) Refresh(ctx context.Context) error {
	s := l.shared
	began := s.clock()
	ctx, cancel := deadline(ctx, s.timeout)
	defer cancel()
	if l.isOver() {
		return fmt.Errorf("fleet %s: %w", Clean(s.fleet), ErrLockLost)
	}
	var err error
	if l.ttl > 0 {
		// The value is unique, so that comparing it is comparing the acquisition, and doing so twice does no harm.
		err = s.store.Refresh(ctx, s.lock(), l.value, l.ttl)
	} else {
		var value string
		if _, value, err = s.held(ctx); err == nil && value != l.value || errors.Is(err, ErrMalformed) {
			err = ErrConflict
		}
	}
	switch {
	case err == nil:
		l.mu.Lock()
		l.began = max(l.began, began)
		l.mu.Unlock()
		return nil
	case !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrConflict):
		return fmt.Errorf("cannot refresh the lock of fleet %s: %w", Clean(s.fleet), err)
	}
	l.end()
	if held, _, err := s.held(ctx); err == nil {
		return fmt.Errorf("%w: %w", ErrLockLost, &held)
	}
	return fmt.Errorf("fleet %s: %w: it ran out or was broken", Clean(s.fleet), ErrLockLost)
}

func (l *Lease) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
}

func (l *Lease) isOver() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}

// Valid reports whether the lock is certainly still ours, as far as this machine can tell without asking: less than
// four fifths of ttl, suspend included, have passed since the start of the last Acquire or Refresh that
// succeeded. It is false once the lease is released or known to be lost. Ask immediately before each effect.
func (l *Lease) Valid() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.over && (l.ttl == 0 || l.shared.clock() < l.began+l.ttl-margin(l.ttl))
}

// Release gives the lock back if it is still this lease's; that it is not is no error. Valid is false from
// its start on, whatever it returns. It can be repeated.
func (l *Lease) Release(ctx context.Context) error {
	l.end()
	s := l.shared
	ctx, cancel := deadline(ctx, s.timeout)
	defer cancel()
	err := s.unlock(ctx, l.value)
	if err != nil && !errors.Is(err, ErrConflict) {
		return fmt.Errorf("cannot unlock fleet %s: %w", Clean(s.fleet), err)
	}
	return nil
}
