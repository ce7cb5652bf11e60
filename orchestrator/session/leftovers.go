package session

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
)

// Leftover is what a run that died has left to be put back.
type Leftover struct {
	Run         string
	Receipts    []pooling.Receipt // of hosts that it may have taken out to serve, sorted by host
	Quarantined []string          // hosts that it has taken into quarantine, which stay there

	local    bool // its journal is here, so that the run itself can put them back
	recorded bool // the shared store lists it as unfinished
}

// facts is what tells of leftovers: the shared store, the pools and the journals of this machine.
type facts struct {
	receipts    []pooling.Receipt     // of all runs
	quarantined []pooling.Quarantined // hosts that are in quarantine now
	records     []pooling.RunRecord   // runs that are unfinished
	held        []pooling.Receipt     // by journals of this machine: what runs hold, as receipts
	local       map[string]bool       // runs whose journal is here
}

// Leftovers returns what runs that died have left to be put back, sorted by run. All runs of this machine are dead, as the session has
// its lock; so are those of other machines, as it has their lease. The error is a StoreError or a JournalError.
func (s *Session) Leftovers(ctx context.Context) ([]Leftover, error) {
	var f facts
	var err error
	if s.Shared != nil {
		if f.receipts, err = s.Shared.Receipts(ctx); err != nil {
			return nil, &StoreError{"the receipts cannot be read", err}
		}
		if f.quarantined, _, err = s.quarantined(ctx, f.receipts, nil); err != nil {
			return nil, &StoreError{"it cannot be read which hosts are in quarantine", err}
		}
		if f.records, err = s.Shared.Runs(ctx); err != nil {
			return nil, &StoreError{"the unfinished runs cannot be read", err}
		}
	}
	journals := Journals{s.Store}
	runs, err := journals.Runs()
	if err != nil {
		return nil, err
	}
	f.local = map[string]bool{}
	for _, run := range runs {
		f.local[run] = true
		state, err := journals.Read(run)
		if err != nil {
			s.Printer.Warn("%v", err)
			continue
		}
		for _, host := range state.Held() {
			f.held = append(f.held, pooling.Receipt{Run: run, Host: host, Purpose: pooling.Serving, Objects: objects(state.Receipts(host))})
		}
	}
	return leftovers(f), nil
}

// leftovers tells what dead runs have left. What a journal says counts only where the shared store says nothing of that run and host:
// there may be no store, or it may have been lost. Where it says something it knows better: a run that died may have taken a host into
// quarantine that its journal says it holds to serve.
func leftovers(f facts) []Leftover {
	byRun := map[string]*Leftover{}
	of := func(run string) *Leftover {
		if byRun[run] == nil {
			byRun[run] = &Leftover{Run: run, local: f.local[run]}
		}
		return byRun[run]
	}
	for _, r := range f.receipts {
		if r.Purpose == pooling.Serving {
			of(r.Run).Receipts = append(of(r.Run).Receipts, r)
		}
	}
	for _, r := range f.records {
		of(r.Run).recorded = true
	}
	for _, h := range f.held {
		l := of(h.Run)
		if !slices.ContainsFunc(f.receipts, func(r pooling.Receipt) bool { return r.Run == h.Run && r.Host == h.Host }) {
			l.Receipts = append(l.Receipts, h)
		}
	}
	for _, q := range f.quarantined {
		if l := byRun[q.Run]; l != nil {
			l.Quarantined = append(l.Quarantined, q.Host)
		}
	}
	var found []Leftover
	for _, run := range slices.Sorted(maps.Keys(byRun)) {
		l := byRun[run]
		slices.SortFunc(l.Receipts, func(a, b pooling.Receipt) int { return cmp.Compare(a.Host, b.Host) })
		found = append(found, *l)
	}
	return found
}

func objects(held []rollout.Object) []pooling.Object {
	all := make([]pooling.Object, len(held))
	for i, o := range held {
		all[i] = pooling.Object{Key: o.Key, Value: o.Value, Index: o.Index}
	}
	return all
}
