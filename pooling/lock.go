package pooling

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

var (
	// ErrHeld says that somebody else holds the lock; who is in the HeldError.
	ErrHeld = errors.New("the fleet is locked")
	// ErrLockLost says that a lease has run out, or that its lock was broken: start nothing more.
	ErrLockLost = errors.New("the lock is lost")
)

// Holder is who holds a fleet's lock. All texts are shown: whatever is not printable, or beyond 200
// characters, is left out when it is written and when it is read.
type Holder struct {
	Owner     string    `json:"owner"`         // a user
	Host      string    `json:"host"`          // the machine
	Run       string    `json:"run,omitempty"` // empty: held by a person
	Reason    string    `json:"reason,omitempty"`
	Since     time.Time `json:"since"`               // the zero time is now for Acquire
	Inventory string    `json:"inventory,omitempty"` // its digest
	ID        string    `json:"id"`                  // of the acquisition, unique; made by Acquire
}

func (h Holder) clean() Holder {
	for _, text := range []*string{&h.Owner, &h.Host, &h.Run, &h.Reason, &h.Inventory, &h.ID} {
		*text = Clean(*text)
	}
	return h
}

// HeldError says who holds the lock. It is an ErrHeld.
type HeldError struct {
	Fleet  string
	Holder Holder
	TTL    time.Duration // until the lock runs out unless it is refreshed; 0: it does not
}

func (e *HeldError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "fleet %s is locked by %s on %s", Clean(e.Fleet), e.Holder.Owner, e.Holder.Host)
	if e.Holder.Run != "" {
		fmt.Fprintf(&b, " for run %s", e.Holder.Run)
	}
	fmt.Fprintf(&b, " since %s", e.Holder.Since.UTC().Format(time.RFC3339))
	if e.Holder.Reason != "" {
		fmt.Fprintf(&b, ": %s", e.Holder.Reason)
	}
	if e.TTL > 0 {
		fmt.Fprintf(&b, " (runs out in %s unless it is refreshed)", e.TTL)
	} else {
		b.WriteString(" (does not run out by itself)")
	}
	return b.String()
}

// Unwrap returns ErrHeld.
func (e *HeldError) Unwrap() error { return ErrHeld }

// Lease is the lock as its holder has it. It is safe for concurrent use.
//
// What it cannot do: stop an effect that has already begun when the lease runs out, or one whose process is stopped
// between asking Valid and acting. It also trusts the clocks of etcd's members: a v2 time to live is a moment of
// the clock of the member that took the request, and is judged by that of the leader, so that clocks
// further apart than a fifth of the TTL may end a lock before its lease.
type Lease struct {
	Holder Holder // as it was written

	shared *Shared
	value  string // as it was written
	ttl    time.Duration

	mu    sync.Mutex
	began time.Duration // by shared.clock: the start of the last call that made or renewed the lock
	over  bool          // released or lost
}

// margin is what a lease is shorter than its lock, for clocks that run at different speeds and for
// what is still on its way when Valid has said yes.
func margin(ttl time.Duration) time.Duration { return ttl / 5 }

// Acquire takes the lock, for as long as ttl unless it is refreshed; a ttl of 0 is for ever, otherwise it is at
// least a second. The error is a *HeldError if somebody else has it. After ErrUnavailable the lock may have been taken
// all the same, by nobody who knows: it runs out, or is broken if its ttl was 0. After a cancelled context it is given back if that can be.
func (s *Shared) Acquire(ctx context.Context, h Holder, ttl time.Duration) (*Lease, error) {
	if ttl != 0 && ttl < time.Second {
		return nil, fmt.Errorf("ttl %s: want at least 1s, or 0 for a lock that does not run out", ttl)
	}
	if h.Since.IsZero() {
		h.Since = time.Now()
	}
	h.Since = h.Since.UTC().Truncate(time.Second)
	h.ID = randomID()
	h = h.clean()
	text, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	l := &Lease{Holder: h, shared: s, value: string(text), ttl: ttl, began: s.clock()}
	parent := ctx
	ctx, cancel := deadline(ctx, s.timeout)
	defer cancel()
	for range tries {
		err = s.store.Create(ctx, s.lock(), l.value, ttl)
		if err == nil {
			return l, nil
		}
		if !errors.Is(err, ErrConflict) {
			break
		}
		var held HeldError
		held, _, err = s.held(ctx)
		switch {
		case err == nil && held.Holder.ID == h.ID:
			return l, nil // the reply was lost
		case err == nil:
			return nil, &held
		case errors.Is(err, ErrMalformed):
			return nil, fmt.Errorf("%w, by whom is not known: %w", ErrHeld, err)
		}
		if !errors.Is(err, ErrNotFound) { // otherwise it has just become free
			break
		}
	}
	if parent.Err() != nil {
		_ = l.Release(context.WithoutCancel(parent)) // what was asked for is to stop, and that has happened
	}
	return nil, fmt.Errorf("cannot lock fleet %s: %w", Clean(s.fleet), err)
}

// Refresh renews the lock for another ttl if it is still this lease's. The error is ErrLockLost if it is not, for good:
// Refresh never takes a lock again. After any other error the lock may be ours or not: try again; until it succeeds Valid
// judges by the last time that did.
func (l *Lease) Refresh(ctx context.Context) error {
	s := l.shared
	began := s.clock()
	ctx, cancel := deadline(ctx, s.timeout)
	defer cancel()
	l.mu.Lock()
	over := l.over
	l.mu.Unlock()
	if over {
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

// Valid reports whether the lock is certainly still ours, as far as this machine can tell without asking: less than
// four fifths of ttl, suspend included, have passed since the start of the last Acquire or Refresh that
// succeeded. It is false once the lease is released or known to be lost. Ask immediately before each effect.
func (l *Lease) Valid() bool {
	left, over := l.left()
	return !over && left > 0
}

// Until returns until when Valid will be true unless something happens, by the machine's clock: the zero time if the lock does
// not run out by itself, a moment that is past if Valid is false.
func (l *Lease) Until() time.Time {
	left, over := l.left()
	switch {
	case over:
		left = min(left, 0)
	case l.ttl == 0:
		return time.Time{}
	}
	return time.Now().Add(left)
}

func (l *Lease) left() (left time.Duration, over bool) {
	l.mu.Lock()
	began, over := l.began, l.over
	l.mu.Unlock()
	if l.ttl == 0 {
		return 1, over
	}
	return began + l.ttl - margin(l.ttl) - l.shared.clock(), over
}

// Release gives the lock back if it is still this lease's, and is content if it is not. Valid is false from
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

// Holder returns who holds the lock, and how long it lasts unless it is refreshed: 0 is for ever. The error is ErrNotFound
// if nobody does.
func (s *Shared) Holder(ctx context.Context) (h Holder, ttl time.Duration, err error) {
	ctx, cancel := deadline(ctx, s.timeout)
	defer cancel()
	held, _, err := s.held(ctx)
	return held.Holder, held.TTL, err
}

// Break takes the lock from a holder, whose ID decides, and is content if nobody holds it. The error is a *HeldError if
// somebody else does by now. Whoever held it learns so from Refresh; until then Valid may tell them otherwise, for
// as long as their ttl.
func (s *Shared) Break(ctx context.Context, h Holder) error {
	if h.ID == "" {
		return errors.New("cannot break a lock of which the ID is not known")
	}
	ctx, cancel := deadline(ctx, s.timeout)
	defer cancel()
	held, value, err := s.held(ctx)
	if err == nil && held.Holder.ID != h.ID {
		return &held
	}
	if err == nil {
		err = s.unlock(ctx, value)
	}
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case errors.Is(err, ErrConflict): // a value never changes: it is somebody else's
		if held, _, err = s.held(ctx); err == nil {
			return &held
		}
		if errors.Is(err, ErrNotFound) {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("cannot break the lock of fleet %s: %w", Clean(s.fleet), err)
	}
	return nil
}

func (s *Shared) lock() string { return s.dir + "/lock" }

// held reads the lock and returns it decoded and as it is.
func (s *Shared) held(ctx context.Context) (held HeldError, value string, err error) {
	e, err := s.store.Get(ctx, s.lock())
	switch {
	case errors.Is(err, ErrNotFound):
		return held, "", fmt.Errorf("fleet %s is not locked: %w", Clean(s.fleet), err)
	case err != nil && !errors.Is(err, ErrMalformed):
		return held, "", fmt.Errorf("cannot read the lock of fleet %s: %w", Clean(s.fleet), err)
	}
	held = HeldError{Fleet: s.fleet, TTL: e.TTL}
	if err != nil || json.Unmarshal([]byte(e.Value), &held.Holder) != nil || held.Holder.ID == "" {
		return HeldError{}, e.Value, fmt.Errorf("%s: %w: not a lock of ours; look at it and delete it by hand", Clean(s.lock()), ErrMalformed)
	}
	held.Holder = held.Holder.clean()
	return held, e.Value, nil
}

// unlock deletes the lock of that value, and is content if there is none. The error is ErrConflict if there is another.
func (s *Shared) unlock(ctx context.Context, value string) error {
	err := s.store.DeleteValue(ctx, s.lock(), value)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

func randomID() string { return rand.Text() }
