package session

import (
	"errors"
	"fmt"
	"strings"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
)

// Errors without anything to tell beyond their text. Others of this package's functions are the types below; pooling.HeldError and
// journal.ErrLocked, if somebody else has the lock; those of package journal; and what an effect could not be done for.
var (
	// ErrInterrupted says that the context ended before anything was touched.
	ErrInterrupted = errors.New("interrupted; nothing was touched")
	// ErrNoPools says that the fleet has no pools.
	ErrNoPools = errors.New("the policy names no pools")
	// ErrNoShared says that the masters of the fleet share no store.
	ErrNoShared = errors.New("the policy names no shared store, so there is nothing that other machines would see")
)

// StateError says that this machine cannot keep what it must of a run: its journal, its log or its manifest.
type StateError struct {
	What string // a sentence without its reason
	Err  error
}

func (e *StateError) Error() string { return e.What + ": " + e.Err.Error() }

// Unwrap returns the reason.
func (e *StateError) Unwrap() error { return e.Err }

// JournalError says that the journal of a run makes no sense, or cannot be read.
type JournalError struct {
	Path string
	Err  error
}

func (e *JournalError) Error() string { return e.Path + ": " + e.Err.Error() }

// Unwrap returns what is wrong with it.
func (e *JournalError) Unwrap() error { return e.Err }

// StoreError says that the store that the masters share does not tell what must be known. Nothing was touched.
type StoreError struct {
	What string // a sentence without its reason
	Err  error
}

func (e *StoreError) Error() string { return e.What + ": " + e.Err.Error() }

// Unwrap returns the reason.
func (e *StoreError) Unwrap() error { return e.Err }

// WriteError says that the store that the masters share takes no writes. Nothing was touched.
type WriteError struct{ Err error }

func (e *WriteError) Error() string { return "the shared store cannot be written: " + e.Err.Error() }

// Unwrap returns the reason.
func (e *WriteError) Unwrap() error { return e.Err }

// LockError says that it cannot be told who has the lock, or that it can be neither taken nor given up. Nothing was touched.
type LockError struct{ Err error }

func (e *LockError) Error() string { return "the lock cannot be taken: " + e.Err.Error() }

// Unwrap returns the reason.
func (e *LockError) Unwrap() error { return e.Err }

// NotFrozenError says that the lock is held, but not by Freeze: it ends with what it is held for.
type NotFrozenError struct{ Holder pooling.Holder }

func (e *NotFrozenError) Error() string {
	if h := e.Holder; h.Run == "" {
		return fmt.Sprintf("%s of %s on %s holds the lock: it ends with that", h.Reason, h.Owner, h.Host)
	}
	return fmt.Sprintf("run %s of %s on %s holds the lock: it ends with the run", e.Holder.Run, e.Holder.Owner, e.Holder.Host)
}

// OvertakenError says that a run cannot be resumed, because a later one has changed some of its hosts.
type OvertakenError struct {
	Run   string
	By    string // the latest
	Hosts int    // how many were changed
}

func (e *OvertakenError) Error() string {
	return fmt.Sprintf("run %s has changed %d of its hosts since", e.By, e.Hosts)
}

// GoneHostsError says that a run cannot be resumed, because the inventory does not name some of its hosts any more.
type GoneHostsError struct {
	Hosts     []string
	Inventory string // its file
}

func (e *GoneHostsError) Error() string {
	return "the run is about hosts that the inventory does not name any more: " + strings.Join(e.Hosts[:min(len(e.Hosts), 5)], ", ")
}

// PoolsError says that the pools cannot be read. Nothing was touched.
type PoolsError struct{ Err error }

func (e *PoolsError) Error() string { return "the pools cannot be read: " + e.Err.Error() }

// Unwrap returns the reason.
func (e *PoolsError) Unwrap() error { return e.Err }

// NotRestoredError says that hosts are out of their pools that should be back.
type NotRestoredError struct{ Out []rollout.Out }

func (e *NotRestoredError) Error() string {
	return fmt.Sprintf("%d hosts are not back in their pools", len(e.Out))
}

// RepoolError says why hosts that were to be put back by hand are not, or not all of them.
type RepoolError struct{ Err error }

func (e *RepoolError) Error() string { return e.Err.Error() }

// Unwrap returns the reasons.
func (e *RepoolError) Unwrap() error { return e.Err }

// DepoolError says why hosts that were to be taken out by hand are not, or not all of them.
type DepoolError struct {
	Err     error
	Changed int // objects that are out by now
}

func (e *DepoolError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *DepoolError) Unwrap() error { return e.Err }
