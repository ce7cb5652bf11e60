package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fleetsync/fleetsync/orchestrator/journal"
	"github.com/fleetsync/fleetsync/orchestrator/monitor"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
)

// Session is the right to run something on a fleet: from this machine by a file lock, and from all masters by a lease in the shared
// store, if there is one. It is for one goroutine.
type Session struct {
	Config
	file  *journal.Lock
	lease *pooling.Lease     // nil: there is no shared store
	world chan rollout.Event // learns of the loss of the lease
	stop  context.CancelFunc // of what refreshes the lease; nil without one
	done  chan struct{}      // it has stopped
}

// Claim is what the lock is taken for.
type Claim struct {
	Run    string // empty: for no run
	Reason string // for those who find the fleet locked
	Wait   bool   // until whoever holds the lock gives it up
}

// retryEvery is how often a lock that is waited for is tried.
const retryEvery = time.Second

// Open takes the fleet's lock. Who gets a Session must Close it. The error is ErrInterrupted if ctx ended before it was taken; a
// pooling.HeldError or journal.ErrLocked if somebody else has it; a StateError, a WriteError or a LockError.
func Open(ctx context.Context, c Config, claim Claim) (*Session, error) {
	s := &Session{Config: c, world: make(chan rollout.Event, 1)}
	err := s.retryWhileHeld(ctx, claim.Wait, func() (err error) {
		s.file, err = c.Store.Lock()
		return err
	})
	switch {
	case err == nil:
	case errors.Is(err, journal.ErrLocked):
		return nil, c.lockError(c.whoHolds(ctx, err))
	case errors.Is(err, context.Canceled):
		return nil, ErrInterrupted
	default:
		return nil, &StateError{"no journal can be made", err}
	}
	if c.Shared == nil {
		c.Printer.Say("note: no shared store is configured (lock.endpoints): only this machine is kept from running two at once")
		return s, nil
	}
	if err := s.acquire(ctx, claim); err != nil {
		return nil, errors.Join(err, s.file.Release())
	}
	return s, nil
}

// acquire takes the lease of the shared store, and refreshes it until the session is closed.
func (s *Session) acquire(ctx context.Context, claim Claim) error {
	switch err := s.Shared.Writable(ctx); {
	case errors.Is(err, context.Canceled):
		return ErrInterrupted
	case err != nil:
		return &WriteError{err}
	}
	ttl := s.Policy.Lock.TTL
	err := s.retryWhileHeld(ctx, claim.Wait, func() error {
		err := s.breakOwn(ctx)
		if err == nil {
			s.lease, err = s.Shared.Acquire(ctx, s.holder(claim.Run, claim.Reason), ttl)
		}
		return err
	})
	if err != nil {
		return s.lockError(err)
	}
	refresh, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop, s.done = stop, make(chan struct{})
	go func() {
		defer close(s.done)
		monitor.KeepAlive(refresh, s.lease, ttl, s.world)
	}()
	return nil
}

// Close gives the lock up. A lease that cannot be given up runs out by itself.
func (s *Session) Close(ctx context.Context) {
	if s.stop != nil {
		s.stop()
		<-s.done
		_ = s.lease.Release(context.WithoutCancel(ctx))
	}
	_ = s.file.Release() // the end of the process would do it too
}

// World takes what the session's run is to be told from outside, as that it shall end.
func (s *Session) World() chan<- rollout.Event { return s.world }

// leased says whether the lock among all masters is certainly still ours; it is not if there is none.
func (s *Session) leased() bool { return s.lease != nil && s.lease.Valid() }

// breakOwn breaks the lease of a run of this machine that died: that we have the file lock says that none of them lives.
func (s *Session) breakOwn(ctx context.Context) error {
	holder, _, err := s.Shared.Holder(ctx)
	switch {
	case errors.Is(err, pooling.ErrNotFound):
		return nil
	case err != nil:
		return err
	case holder.Run == "" || holder.Host != s.Machine || !s.has(holder.Run):
		return nil
	}
	return s.Shared.Break(ctx, holder)
}

// retryWhileHeld tries again as long as it is a held lock that is in the way.
func (c *Config) retryWhileHeld(ctx context.Context, wait bool, try func() error) error {
	told := false
	for {
		err := try()
		if !wait || !errors.Is(err, journal.ErrLocked) && !errors.Is(err, pooling.ErrHeld) {
			return err
		}
		if !told {
			told = true
			c.Printer.Say("waiting: %v", err)
		}
		if err := pause(ctx, retryEvery); err != nil {
			return err
		}
	}
}

// pause waits, and returns the error of a context that ends meanwhile.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// whoHolds says who has the lock of this machine: the shared store knows owner and reason, the journals at least the run.
func (c *Config) whoHolds(ctx context.Context, err error) error {
	if c.Shared != nil {
		ctx, cancel := context.WithTimeout(ctx, storeTimeout)
		defer cancel()
		if holder, ttl, err := c.Shared.Holder(ctx); err == nil && holder.Host == c.Machine {
			return &pooling.HeldError{Fleet: c.Fleet.Name, Holder: holder, TTL: ttl}
		}
	}
	runs, _ := c.Store.Runs() // what cannot be listed cannot be named
	for _, run := range runs {
		if c.Store.Alive(run) {
			return fmt.Errorf("%w: run %s", err, run)
		}
	}
	return err
}

// lockError returns an error as Open returns it, and warns of a holder whose fleet is another one.
func (c *Config) lockError(err error) error {
	held, ok := errors.AsType[*pooling.HeldError](err)
	switch {
	case ok:
		if i := held.Holder.Inventory; held.Holder.Run != "" && i != "" && i != c.Fleet.Digest {
			c.Printer.Warn("its inventory differs from the one of this machine (%s)", c.Policy.Inventory)
		}
		return err
	case errors.Is(err, journal.ErrLocked):
		return err
	case errors.Is(err, context.Canceled):
		return ErrInterrupted
	default:
		return &LockError{err}
	}
}
