package session

import (
	"context"
	"errors"
	"time"

	"github.com/fleetsync/fleetsync/orchestrator"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
)

// AwaitDeath waits until the lease of a run of another machine has run out. The error is a pooling.HeldError if somebody lives who
// holds the lock, and otherwise one of Open's.
func (c *Config) AwaitDeath(ctx context.Context) error {
	if c.Shared == nil {
		return nil
	}
	holder, ttl, err := c.Shared.Holder(ctx)
	switch {
	case errors.Is(err, pooling.ErrNotFound):
		return nil
	case err != nil:
		return c.lockError(err)
	case ttl == 0: // by Freeze: it does not run out
		return c.held(holder, ttl)
	case holder.Host == c.Machine && c.has(holder.Run):
		return nil // the file lock will tell
	}
	who := "run " + holder.Run
	if holder.Run == "" {
		who = holder.Reason // another recover, which may have died, too
	}
	c.Printer.Say("waiting %s to see whether %s on %s lives", ttl.Round(time.Second), who, holder.Host)
	deadline := time.Now().Add(ttl + retryEvery)
	for {
		if err := pause(ctx, retryEvery); err != nil {
			return c.lockError(err)
		}
		now, left, err := c.Shared.Holder(ctx)
		switch {
		case errors.Is(err, pooling.ErrNotFound):
			return nil
		case err != nil:
			return c.lockError(err)
		case now.ID != holder.ID, left > ttl, time.Now().After(deadline):
			return c.held(now, left) // refreshed, or somebody else's by now: somebody lives
		}
		ttl = left
	}
}

func (c *Config) held(holder pooling.Holder, ttl time.Duration) error {
	return c.lockError(&pooling.HeldError{Fleet: c.Fleet.Name, Holder: holder, TTL: ttl})
}

// Restore puts back what runs that died have left, each in its own name, and returns the hosts that are still out.
func (s *Session) Restore(ctx context.Context, found []Leftover) []rollout.Out {
	var out []rollout.Out
	for _, l := range found {
		stuck := s.restore(ctx, l)
		out = append(out, stuck...)
		if len(stuck) == 0 && l.recorded {
			if err := s.Shared.DropRun(ctx, l.Run); err != nil {
				s.Printer.Warn("%s: still listed as unfinished: %v", l.Run, err)
			}
		}
	}
	return out
}

// restore puts back the hosts of one run. If its journal is here, the run itself does it, so that the journal tells what became of it;
// else the receipts do.
func (s *Session) restore(ctx context.Context, l Leftover) []rollout.Out {
	var out []rollout.Out
	local := l.local
	if local {
		var err error
		if out, err = s.abandon(ctx, l.Run); err != nil {
			local = false
			s.Printer.Warn("run %s cannot be ended in its journal, so its receipts decide: %v", l.Run, err)
		}
	}
	if !local {
		out = s.restoreReceipts(ctx, l.Receipts)
	}
	more, known := s.finalize(ctx, l.Run, out)
	if !known {
		more = append(more, rollout.Out{Host: "?", Error: "the receipts cannot be read"})
	}
	return append(out, more...)
}

// abandon resumes a run only to end it: it puts back what it holds and does nothing else.
func (s *Session) abandon(ctx context.Context, run string) (out []rollout.Out, err error) {
	r, events, err := s.reopen(run)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	var quarantined []pooling.Quarantined
	if s.Shared != nil {
		receipts, err := s.Shared.Receipts(ctx)
		if quarantined, _, err = s.quarantined(ctx, receipts, err); err != nil {
			return nil, err
		}
	}
	loop := orchestrator.Run{
		State: r.State, Journal: r.journal, Writer: writer(), Doer: s.executor(r.State.Plan),
		Observers: []orchestrator.Observer{r.log, tellBack{s}}, World: s.world,
	}
	GiveUp(&loop, events, quarantined, "given up by recover")
	outcome, err := loop.Do(ctx)
	return outcome.Out, err
}

// tellBack tells of every host that is put back.
type tellBack struct{ session *Session }

// Observe implements orchestrator.Observer.
func (t tellBack) Observe(turn []rollout.Event, _ *rollout.Snapshot) {
	for _, e := range turn {
		switch {
		case e.Kind != rollout.StepDone:
		case e.StepKind == rollout.StepQuarantine:
			t.session.sayBack(e.Host, StaysOut)
		default:
			t.session.sayBack(e.Host, e.Detail)
		}
	}
}
