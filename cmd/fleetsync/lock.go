package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/orchestrator"
	"github.com/fleetsync/fleetsync/orchestrator/journal"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/transport"
)

// fleetLock is the right to run something on the fleet: from this machine by a file, and from all
// masters by a lease in the shared store, if there is one.
type fleetLock struct {
	file   *journal.Lock
	shared *pooling.Shared // nil: there is none
	lease  *pooling.Lease
	world  chan rollout.Event // learns of the loss of the lease
	stop   context.CancelFunc
	done   chan struct{}
}

// lockWait is how often a lock that is waited for is tried.
const lockWait = time.Second

// shared returns the store that the masters of the fleet share, or nil if the policy names none.
func (s *setup) shared() (*pooling.Shared, error) {
	c := s.poolConfig()
	if len(s.policy.Lock.Endpoints) > 0 {
		c.Endpoints = s.policy.Lock.Endpoints
	}
	if len(c.Endpoints) == 0 {
		return nil, nil
	}
	c.Prefix, c.Select = s.policy.Lock.Prefix, pooling.Selection{}
	if c.Timeout == 0 || c.Timeout > s.policy.Lock.TTL/2 {
		c.Timeout = s.policy.Lock.TTL / 2 // what takes longer comes too late for a lease
	}
	shared, err := pooling.NewShared(pooling.SharedConfig{Config: c, Fleet: s.fleet.Name})
	if err != nil {
		return nil, fail(exitInvalid, fmt.Errorf("lock: %w", err), "")
	}
	return shared, nil
}

// lock takes the lock of the fleet for a run, or waits until it can.
func (a *app) lock(ctx context.Context, s *setup, run, reason string, wait bool) (*fleetLock, error) {
	l := &fleetLock{world: make(chan rollout.Event, 1)}
	err := a.patiently(ctx, wait, func() (err error) {
		l.file, err = s.store.Lock()
		return err
	})
	switch {
	case err == nil:
	case errors.Is(err, journal.ErrLocked):
		return nil, a.lockError(s, s.whoHolds(ctx, err))
	case errors.Is(err, context.Canceled):
		return nil, a.lockError(s, err)
	default:
		return nil, fail(exitJournal, fmt.Errorf("no journal can be made: %w", err), stateHint)
	}
	if l.shared, err = s.shared(); err != nil || l.shared == nil {
		if err == nil && s.policy.Pooling == nil {
			a.say().Say("note: no shared store is configured (lock.endpoints): only this machine is kept from running two at once")
		}
		return l, errors.Join(err, l.onError(err))
	}
	if err := l.shared.Writable(ctx); err != nil {
		return nil, errors.Join(fail(exitInvalid, fmt.Errorf("the shared store cannot be written: %w", err),
			"receipts of what is taken out of the pools are kept there; check lock.endpoints and lock.prefix. Nothing was touched"), l.file.Release())
	}
	err = a.patiently(ctx, wait, func() error {
		if err := s.breakOwn(ctx, l.shared); err != nil {
			return err
		}
		l.lease, err = l.shared.Acquire(ctx, s.holder(run, reason), s.policy.Lock.TTL)
		return err
	})
	if err != nil {
		return nil, errors.Join(a.lockError(s, err), l.file.Release())
	}
	l.keep(ctx, s.policy.Lock.TTL)
	return l, nil
}

// whoHolds says who is in the way on this machine: the shared store knows owner and reason, the journals
// at least the run.
func (s *setup) whoHolds(ctx context.Context, err error) error {
	ctx, cancel := context.WithTimeout(ctx, elsewherePatience)
	defer cancel()
	if shared, serr := s.shared(); serr == nil && shared != nil {
		defer shared.Close()
		if holder, ttl, serr := shared.Holder(ctx); serr == nil && holder.Host == s.machine() {
			return &pooling.HeldError{Fleet: s.fleet.Name, Holder: holder, TTL: ttl}
		}
	}
	runs, _ := s.store.Runs() // what cannot be listed cannot be named
	for _, run := range runs {
		if s.store.Alive(run) {
			return fmt.Errorf("%w: run %s", err, run)
		}
	}
	return err
}

// onError gives up the file if err is one.
func (l *fleetLock) onError(err error) error {
	if err == nil {
		return nil
	}
	return l.file.Release()
}

// held tells whether the lock among all masters is certainly still ours; it is not if there is none.
func (l *fleetLock) held() bool { return l.lease != nil && l.lease.Valid() }

// breakOwn breaks the lease of a run of this machine that died: the file lock, which we have, says
// that none of them lives.
func (s *setup) breakOwn(ctx context.Context, shared *pooling.Shared) error {
	holder, _, err := shared.Holder(ctx)
	if errors.Is(err, pooling.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if holder.Run == "" || holder.Host != s.machine() || !s.has(holder.Run) {
		return nil
	}
	return shared.Break(ctx, holder)
}

// has says whether a run's journal is in this machine's store, which its file lock guards.
func (s *setup) has(run string) bool {
	_, err := os.Stat(s.store.JournalPath(run))
	return err == nil
}

// patiently tries until it is not a held lock that is in the way.
func (a *app) patiently(ctx context.Context, wait bool, try func() error) error {
	told := false
	for {
		err := try()
		if !wait || !errors.Is(err, journal.ErrLocked) && !errors.Is(err, pooling.ErrHeld) {
			return err
		}
		if !told {
			told = true
			a.say().Say("waiting: %v", err)
		}
		timer := time.NewTimer(lockWait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// lockError says who holds the lock.
func (a *app) lockError(s *setup, err error) error {
	var held *pooling.HeldError
	switch {
	case errors.As(err, &held):
		if held.Holder.Run == "" {
			return fail(exitLocked, err, a.command()+" unlock   (once "+held.Holder.Owner+" agrees), or --wait")
		}
		if held.Holder.Inventory != "" && held.Holder.Inventory != s.fleet.Digest {
			a.say().Warn("its inventory differs from the one of this machine (%s)", s.policy.Inventory)
		}
		return fail(exitLocked, err, a.command()+" status, or --wait")
	case errors.Is(err, journal.ErrLocked):
		return fail(exitLocked, err, a.command()+" status, or --wait")
	case errors.Is(err, context.Canceled):
		return fail(exitInterrupted, errors.New("interrupted; nothing was touched"), "")
	default:
		return fail(exitInvalid, fmt.Errorf("the lock cannot be taken: %w", err), "check lock.endpoints; nothing was touched")
	}
}

// keep refreshes the lease until the lock is released.
func (l *fleetLock) keep(ctx context.Context, ttl time.Duration) {
	ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	l.done = make(chan struct{})
	go func() {
		defer close(l.done)
		orchestrator.Keep(ctx, l.lease, ttl, l.world)
	}()
}

// release gives the lock up. A lease that cannot be given up runs out by itself.
func (l *fleetLock) release(ctx context.Context) {
	if l.stop != nil {
		l.stop()
		<-l.done
		_ = l.lease.Release(context.WithoutCancel(ctx))
	}
	if l.shared != nil {
		l.shared.Close()
	}
	_ = l.file.Release() // the end of the process would do it too
}

func (s *setup) machine() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}

// person is who types: the user behind sudo, if there is one.
func (a *app) person() string {
	if name := a.getenv("SUDO_USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}

func (s *setup) holder(run, reason string) pooling.Holder {
	return pooling.Holder{Owner: s.owner, Host: s.machine(), Run: run, Reason: reason, Inventory: s.fleet.Digest}
}

func (a *app) lockCommand() *cobra.Command {
	reason := ""
	c := &cobra.Command{
		Use:     "lock --reason TEXT",
		GroupID: groupHand,
		Short:   "Keep everybody from running anything on the fleet, until unlock",
		Long:    "Keep everybody from running anything on the fleet, on every master, until unlock:\na maintenance freeze. It does not run out.\n\n" + exitCodes,
		Example: `  fleetsync lock --reason "row C is being recabled, T1234"`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if reason == "" {
				return usage(errors.New("--reason must not be empty"), `fleetsync lock --reason "row C is being recabled"`)
			}
			s, shared, err := a.sharedOnly()
			if err != nil {
				return err
			}
			defer shared.Close()
			lease, err := shared.Acquire(c.Context(), s.holder("", reason), 0)
			if err != nil {
				return a.lockError(s, err)
			}
			return a.printLock(lease.Holder, "locked")
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for those who find it locked")
	_ = c.MarkFlagRequired("reason") // fails only for a flag that does not exist
	return c
}

func (a *app) unlockCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "unlock",
		GroupID: groupHand,
		Short:   "End what lock began",
		Long:    "End what lock began. The lock of a run is not ended: see recover.\n\n" + exitCodes,
		Example: "  fleetsync unlock",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, shared, err := a.sharedOnly()
			if err != nil {
				return err
			}
			defer shared.Close()
			holder, ttl, err := shared.Holder(c.Context())
			switch {
			case errors.Is(err, pooling.ErrNotFound):
				return a.printLock(pooling.Holder{}, "not locked")
			case err != nil:
				return a.lockError(s, err)
			case holder.Run != "":
				return fail(exitLocked, fmt.Errorf("run %s of %s on %s holds the lock: it ends with the run", holder.Run, holder.Owner, holder.Host),
					a.command()+" recover, if the run died")
			case ttl > 0:
				return fail(exitLocked, fmt.Errorf("%s of %s on %s holds the lock: it ends with that", holder.Reason, holder.Owner, holder.Host),
					"it runs out by itself if that died")
			}
			if err := shared.Break(c.Context(), holder); err != nil {
				return a.lockError(s, err)
			}
			return a.printLock(holder, "unlocked")
		},
	}
}

// sharedOnly loads what lock and unlock need.
func (a *app) sharedOnly() (*setup, *pooling.Shared, error) {
	s, err := a.load()
	if err != nil {
		return nil, nil, err
	}
	shared, err := s.shared()
	if err == nil && shared == nil {
		err = fail(exitInvalid, errors.New("the policy names no shared store, so there is nothing that other machines would see"), "add pooling.endpoints or lock.endpoints to "+a.config)
	}
	return s, shared, err
}

func (a *app) printLock(h pooling.Holder, what string) error {
	if a.json {
		return printJSON(a.stdout, struct {
			Lock   string         `json:"lock"`
			Holder pooling.Holder `json:"holder"`
		}{what, h})
	}
	line := what
	if h.Owner != "" {
		line += fmt.Sprintf(": %s on %s since %s: %s", h.Owner, h.Host, h.Since.UTC().Format(time.DateTime)+"Z", h.Reason)
	}
	_, err := fmt.Fprintln(a.stdout, transport.Neutral(line))
	return err
}
