package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/orchestrator"
	"github.com/fleetsync/fleetsync/orchestrator/journal"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/transport"
)

func (a *app) recoverCommand() *cobra.Command {
	yes := false
	c := &cobra.Command{
		Use:     "recover",
		GroupID: groupRun,
		Short:   "Put back what runs that died have left out of its pools",
		Long: `Put back what runs that died have left out of its pools, on whichever master they
ran, and release their lock. It shows first what it will do. What somebody else
has changed meanwhile is left alone. A host whose health check says no stays
out, and is named.

A run of this machine is dead when its process is. One of another machine is
dead when its lease has run out: recover waits for that, and refuses if the run
turns out to live.

` + exitCodes,
		Example: "  fleetsync recover\n  fleetsync recover --yes",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.recover(c.Context(), yes) },
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

// lost is what a dead run has left to be put back.
type lost struct {
	run      string
	receipts []pooling.Receipt // of hosts that it may have taken out
	stays    []string          // hosts that it has taken into quarantine, whatever its journal says
	local    bool              // its journal is here
	recorded bool              // other masters list it as unfinished
}

func (a *app) recover(ctx context.Context, yes bool) error {
	s, err := a.load()
	if err != nil {
		return err
	}
	prep, stop := untilSignal(ctx)
	defer stop()
	if err := a.awaitDeath(prep, s); err != nil {
		return err
	}
	j, err := a.begin(prep, s, "", "recover", false)
	if err != nil {
		return err
	}
	defer j.end(ctx)
	if j.pools == nil {
		return fail(exitInvalid, errors.New("the policy names no pools: nothing can be out of them"), "")
	}
	found, err := j.findLost(prep)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return j.say(nil, "nothing to recover: no run has left anything out of its pools")
	}
	if err := j.confirm(found, yes); err != nil {
		return err
	}
	stop()
	return j.restoreAll(ctx, found)
}

// awaitDeath waits until the lease of a run of another machine has run out.
func (a *app) awaitDeath(ctx context.Context, s *setup) error {
	shared, err := s.shared()
	if err != nil || shared == nil {
		return err
	}
	defer shared.Close()
	holder, ttl, err := shared.Holder(ctx)
	if errors.Is(err, pooling.ErrNotFound) {
		return nil
	}
	if err != nil {
		return a.lockError(s, err)
	}
	held := &pooling.HeldError{Fleet: s.fleet.Name, Holder: holder, TTL: ttl}
	switch {
	case ttl == 0: // a person's: it does not run out
		return a.lockError(s, held)
	case holder.Host == s.machine() && s.has(holder.Run):
		return nil // the file lock will tell
	}
	who := "run " + holder.Run
	if holder.Run == "" {
		who = holder.Reason // another recover, which may have died, too
	}
	a.say().Say("waiting %s to see whether %s on %s lives", ttl.Round(time.Second), who, holder.Host)
	deadline := time.Now().Add(ttl + lockWait)
	for {
		timer := time.NewTimer(lockWait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return a.lockError(s, ctx.Err())
		}
		now, left, err := shared.Holder(ctx)
		switch {
		case errors.Is(err, pooling.ErrNotFound):
			return nil
		case err != nil:
			return a.lockError(s, err)
		case now.ID != holder.ID, left > ttl, time.Now().After(deadline):
			// Refreshed, or somebody else's by now: somebody lives.
			return a.lockError(s, &pooling.HeldError{Fleet: s.fleet.Name, Holder: now, TTL: left})
		}
		ttl = left
	}
}

// findLost returns what dead runs have left, by the receipts in the shared store and the journals of
// this machine, whose runs are all dead: we have its file lock.
func (j *job) findLost(ctx context.Context) ([]lost, error) {
	byRun := map[string]*lost{}
	var outcasts []pooling.Outcast
	var receipts []pooling.Receipt
	get := func(run string) *lost {
		if byRun[run] == nil {
			byRun[run] = &lost{run: run, local: j.setup.has(run)}
		}
		return byRun[run]
	}
	if shared := j.lock.shared; shared != nil {
		var err error
		if receipts, err = shared.Receipts(ctx); err != nil {
			return nil, fail(exitInvalid, fmt.Errorf("the receipts cannot be read: %w", err), "")
		}
		for _, r := range receipts {
			if r.Purpose == pooling.Serving {
				l := get(r.Run)
				l.receipts = append(l.receipts, r)
			}
		}
		if outcasts, _, err = j.setup.inQuarantine(ctx, receipts, nil); err != nil {
			return nil, fail(exitInvalid, fmt.Errorf("it cannot be read which hosts are in quarantine: %w", err), "")
		}
		records, err := shared.Runs(ctx)
		if err != nil {
			return nil, fail(exitInvalid, fmt.Errorf("the unfinished runs cannot be read: %w", err), "")
		}
		for _, r := range records {
			get(r.Run).recorded = true
		}
	}
	if err := j.addLocal(get, receipts); err != nil {
		return nil, err
	}
	var found []lost
	for _, l := range byRun {
		slices.SortFunc(l.receipts, func(a, b pooling.Receipt) int { return strings.Compare(a.Host, b.Host) })
		for _, c := range outcasts {
			if c.Run == l.run {
				l.stays = append(l.stays, c.Host)
			}
		}
		found = append(found, *l)
	}
	slices.SortFunc(found, func(a, b lost) int { return strings.Compare(a.run, b.run) })
	return found, nil
}

// addLocal adds the hosts that journals of this machine say are held, where the shared store does not
// tell: there may be none, or it may have been lost. Where it tells something it knows better: a run that died may have taken a host
// into quarantine that its journal says it holds to serve.
func (j *job) addLocal(get func(run string) *lost, receipts []pooling.Receipt) error {
	runs, err := j.setup.store.Runs()
	if err != nil {
		return fail(exitJournal, err, "")
	}
	for _, run := range runs {
		r, err := j.app.read(j.setup, run)
		if err != nil {
			j.app.say().Warn("%v", err)
			continue
		}
		for _, host := range r.State.Held() {
			l := get(run)
			if slices.ContainsFunc(receipts, func(r pooling.Receipt) bool { return r.Run == run && r.Host == host }) {
				continue
			}
			receipt := pooling.Receipt{Run: run, Host: host, Purpose: pooling.Serving}
			for _, o := range r.State.Receipts(host) {
				receipt.Objects = append(receipt.Objects, poolObject(o))
			}
			l.receipts = append(l.receipts, receipt)
		}
	}
	return nil
}

// confirm shows what will be done and asks.
func (j *job) confirm(found []lost, yes bool) error {
	out := j.app.stderr
	for _, l := range found {
		_, _ = fmt.Fprintf(out, "run %s:\n", transport.Neutral(l.run))
		for _, r := range l.receipts {
			_, _ = fmt.Fprintf(out, "  put back %s: what of its %d objects bears the run's mark\n", transport.Neutral(r.Host), len(r.Objects))
		}
		for _, host := range l.stays {
			_, _ = fmt.Fprintf(out, "  leave %s out of its pools: it has no good tree\n", transport.Neutral(host))
		}
		if len(l.receipts)+len(l.stays) == 0 {
			_, _ = fmt.Fprintln(out, "  nothing is out; it is only listed as unfinished")
		}
	}
	if yes {
		return nil
	}
	return j.app.ask("go on?", j.app.command()+" recover --yes")
}

// restoreAll puts everything back, each run in its own name.
func (j *job) restoreAll(ctx context.Context, found []lost) error {
	var out []rollout.Out
	for _, l := range found {
		stuck := j.restore(ctx, l)
		out = append(out, stuck...)
		if len(stuck) == 0 && l.recorded {
			if err := j.lock.shared.DropRun(ctx, l.run); err != nil {
				j.app.say().Warn("%s: still listed as unfinished: %v", l.run, err)
			}
		}
	}
	if err := j.say(out, "recovered: nothing is out of its pools because of a run that died"); err != nil {
		return err
	}
	if len(out) > 0 {
		return ended(exitNotRestored)
	}
	return nil
}

// restore puts back the hosts of one run. If its journal is here, the run itself does it, so that the
// journal tells what became of it; else the receipts do.
func (j *job) restore(ctx context.Context, l lost) []rollout.Out {
	var out []rollout.Out
	local := l.local
	if local {
		var err error
		if out, err = j.abandon(ctx, l); err != nil {
			local = false
			j.app.say().Warn("run %s cannot be ended in its journal, so its receipts decide: %v", l.run, err)
		}
	}
	if !local {
		out = j.restoreReceipts(ctx, l.receipts)
	}
	more, known := j.settle(ctx, l.run, out)
	if !known {
		more = append(more, rollout.Out{Host: "?", Error: "the receipts cannot be read"})
	}
	return append(out, more...)
}

// abandon resumes a run only to end it: it puts back what it holds and does nothing else.
func (j *job) abandon(ctx context.Context, l lost) (out []rollout.Out, err error) {
	events, err := journal.Read(j.setup.store.JournalPath(l.run))
	if err != nil {
		return nil, err
	}
	var outcasts []pooling.Outcast
	if shared := j.lock.shared; shared != nil {
		receipts, err := shared.Receipts(ctx)
		if outcasts, _, err = j.setup.inQuarantine(ctx, receipts, err); err != nil {
			return nil, err
		}
	}
	if err := j.reopen(l.run); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, j.journal.Close()) }()
	log, err := newRunLog(j.setup.store.LogPath(l.run), l.run)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	r := orchestrator.Run{State: j.state, Journal: j.journal, Observers: []orchestrator.Observer{log, repools{j.app}}, World: j.lock.world}
	r.Abandon(j.hands(j.state.Plan), events, outcasts, "given up by recover")
	outcome, err := r.Do(ctx)
	return outcome.Out, err
}

// repools tells of every host that is put back.
type repools struct{ app *app }

// Observe implements orchestrator.Observer.
func (r repools) Observe(e rollout.Event, _ *rollout.State) {
	if e.Kind != rollout.StepDone {
		return
	}
	if e.Step == rollout.StepID("quarantine/"+e.Host) {
		e.Detail = orchestrator.StaysOut
	}
	r.app.sayBack(e)
}

func (a *app) sayBack(e rollout.Event) {
	text := e.Detail
	if text == "" {
		text = "back in its pools"
	}
	_, _ = fmt.Fprintf(a.stderr, "%s: %s\n", transport.Neutral(e.Host), transport.Neutral(text))
}

// restoreReceipts puts back the hosts of runs of which only the receipts are known.
func (j *job) restoreReceipts(ctx context.Context, receipts []pooling.Receipt) []rollout.Out {
	var out []rollout.Out
	for _, r := range receipts {
		// Who has lost the lock may see a host that another run is just taking out.
		if r.Purpose == pooling.Quarantine && !j.lock.held() {
			continue
		}
		hands := j.hands(&rollout.Plan{Run: r.Run})
		e := hands.Do(ctx, rollout.Step{Kind: rollout.StepRepool, Host: r.Host, Attempt: 1, Objects: orchestrator.Observed(r.Objects)})
		e.Host = r.Host
		switch {
		case e.Kind != rollout.StepDone && r.Purpose == pooling.Serving:
			out = append(out, rollout.Out{Host: r.Host, Error: e.Error})
		case e.Kind == rollout.StepDone && r.Purpose == pooling.Serving:
			j.app.sayBack(e)
		default: // of what is over there is nothing to tell, nor is it out
		}
	}
	return out
}

// say ends recover with what it came to.
func (j *job) say(out []rollout.Out, well string) error {
	a := j.app
	if a.json {
		return printJSON(a.stdout, struct {
			Out []rollout.Out `json:"out"`
		}{out})
	}
	if len(out) == 0 {
		_, err := fmt.Fprintln(a.stdout, well)
		return err
	}
	for _, o := range out {
		_, _ = fmt.Fprintf(a.stderr, "%s: still out: %s\n", transport.Neutral(o.Host), transport.Neutral(o.Error))
		_, _ = fmt.Fprintf(a.stderr, "hint: %s pool repool %s\n", a.command(), transport.Word(o.Host))
	}
	return nil
}
