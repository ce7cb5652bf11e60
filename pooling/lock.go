package pooling

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
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

// Acquire takes the lock, for as long as ttl unless it is refreshed; a ttl of 0 is for ever, otherwise it is at
// least a second. The error is a *HeldError if somebody else has it. After ErrUnavailable the lock may have been taken
// all the same, by nobody who knows: it runs out, or is broken if its ttl was 0. After a cancelled context it is given back
// if that can be.
func (s *Shared) Acquire(ctx context.Context, h Holder, ttl time.Duration) (*Lease, error) {
	if ttl != 0 && ttl < time.Second {
		return nil, fmt.Errorf("ttl %s: want at least 1s, or 0 for a lock that does not run out", ttl)
	}
	if h.Since.IsZero() {
		h.Since = time.Now()
	}
	h.Since = h.Since.UTC().Truncate(time.Second)
	h.ID = rand.Text()
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

// Holder returns who holds the lock, and how long it lasts unless it is refreshed: 0 is for ever. The error is ErrNotFound
// if nobody does.
func (s *Shared) Holder(ctx context.Context) (h Holder, ttl time.Duration, err error) {
	ctx, cancel := deadline(ctx, s.timeout)
	defer cancel()
	held, _, err := s.held(ctx)
	return held.Holder, held.TTL, err
}

// Break takes the lock from a holder, whose ID decides; that nobody holds it is no error. The error is a *HeldError if
// somebody else does by now. Whoever held it learns so from Refresh; until then Valid may be true for them, for
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

// unlock deletes the lock of that value. That there is none is no error; another is ErrConflict.
func (s *Shared) unlock(ctx context.Context, value string) error {
	err := s.store.DeleteValue(ctx, s.lock(), value)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
