package storetest

import (
	"context"
	"time"

	"github.com/fleetsync/fleetsync/pooling"
)

// Op is a method of a store that can fail.
type Op string

// The methods.
const (
	Get         Op = "get"
	List        Op = "list"
	Create      Op = "create"
	Swap        Op = "swap"
	Delete      Op = "delete"
	Refresh     Op = "refresh"
	DeleteValue Op = "delete value"
	Wait        Op = "wait"
)

// Fault is a way in which a call can fail.
type Fault string

// The faults.
const (
	None         Fault = ""
	Again        Fault = "again"         // the store does it twice, as when the first reply was lost, and returns what it is told then
	Lost         Fault = "lost"          // it has its effect, and ErrUnavailable is returned
	Unavailable  Fault = "unavailable"   // without effect
	Unauthorized Fault = "unauthorized"  // without effect
	ReadOnly     Fault = "read-only"     // without effect
	Hang         Fault = "hang"          // without effect, until the context ends
	HangLost     Fault = "hang and lost" // it has its effect, and does not return until the context ends
)

// Faults hands calls on to Next and spoils those that Plan says. It is as safe for concurrent use as both are.
type Faults struct {
	Next pooling.Store

	// Plan is asked before a call has any effect, and may do what somebody else would do at that moment. Nil is no faults.
	Plan func(op Op, key string) Fault
}

var _ pooling.Store = (*Faults)(nil)

// spoil makes a call as Plan says.
func (f *Faults) spoil(ctx context.Context, op Op, key string, call func() error) error {
	fault := None
	if f.Plan != nil {
		fault = f.Plan(op, key)
	}
	switch fault {
	case None:
		return call()
	case Again:
		_ = call()
		return call()
	case Lost:
		_ = call()
		return pooling.ErrUnavailable
	case Unauthorized:
		return pooling.ErrUnauthorized
	case ReadOnly:
		return pooling.ErrReadOnly
	case Hang:
		<-ctx.Done()
		return context.Cause(ctx)
	case HangLost:
		_ = call()
		<-ctx.Done()
		return context.Cause(ctx)
	case Unavailable:
	}
	return pooling.ErrUnavailable
}

// Get implements pooling.Store.
func (f *Faults) Get(ctx context.Context, key string) (e pooling.Entry, err error) {
	err = f.spoil(ctx, Get, key, func() (err error) {
		e, err = f.Next.Get(ctx, key)
		return err
	})
	return e, err
}

// List implements pooling.Store.
func (f *Faults) List(ctx context.Context, dir string) (l pooling.Listing, err error) {
	err = f.spoil(ctx, List, dir, func() (err error) {
		l, err = f.Next.List(ctx, dir)
		return err
	})
	return l, err
}

// Create implements pooling.Store.
func (f *Faults) Create(ctx context.Context, key, value string, ttl time.Duration) error {
	return f.spoil(ctx, Create, key, func() error { return f.Next.Create(ctx, key, value, ttl) })
}

// Swap implements pooling.Store.
func (f *Faults) Swap(ctx context.Context, key, value string, index uint64) (now uint64, err error) {
	err = f.spoil(ctx, Swap, key, func() (err error) {
		now, err = f.Next.Swap(ctx, key, value, index)
		return err
	})
	return now, err
}

// Delete implements pooling.Store.
func (f *Faults) Delete(ctx context.Context, key string, index uint64) error {
	return f.spoil(ctx, Delete, key, func() error { return f.Next.Delete(ctx, key, index) })
}

// Refresh implements pooling.Store.
func (f *Faults) Refresh(ctx context.Context, key, value string, ttl time.Duration) error {
	return f.spoil(ctx, Refresh, key, func() error { return f.Next.Refresh(ctx, key, value, ttl) })
}

// DeleteValue implements pooling.Store.
func (f *Faults) DeleteValue(ctx context.Context, key, value string) error {
	return f.spoil(ctx, DeleteValue, key, func() error { return f.Next.DeleteValue(ctx, key, value) })
}

// Wait implements pooling.Store.
func (f *Faults) Wait(ctx context.Context, dir string, after uint64) (e pooling.Event, err error) {
	err = f.spoil(ctx, Wait, dir, func() (err error) {
		e, err = f.Next.Wait(ctx, dir, after)
		return err
	})
	return e, err
}

// Close implements pooling.Store.
func (f *Faults) Close() { f.Next.Close() }
