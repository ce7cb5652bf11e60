package session

import (
	"context"
	"errors"

	"github.com/fleetsync/fleetsync/orchestrator/journal"
	"github.com/fleetsync/fleetsync/orchestrator/preflight"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// Resume opens a run that died, halted or was interrupted to go on with it. Who gets a Run must Finish it. If the origin does not hold
// the tree any more that the run began with, it will only put its pools back and halt. The errors are a preflight.Refusal, a
// JournalError or one of package journal's, a GoneHostsError or an OvertakenError.
func (s *Session) Resume(ctx context.Context, run string) (*Run, error) {
	r, _, err := s.reopen(run)
	if err != nil {
		return nil, err
	}
	if err := s.mayResume(ctx, r.State); err != nil {
		return nil, errors.Join(err, r.close())
	}
	r.changed = s.sourceChanged(ctx, r.State.Plan)
	return r, nil
}

// mayResume refuses to go on with a run beside what another has left, or after one that has changed its hosts.
func (s *Session) mayResume(ctx context.Context, state *rollout.State) error {
	if s.Shared != nil {
		receipts, err := s.Shared.Receipts(ctx)
		if err := preflight.RefuseUnrestored(receipts, err, state.Plan.Run); err != nil {
			return err
		}
		last, err := s.Shared.Inventory(ctx)
		if err == nil && last.Digest != s.Fleet.Digest && last.Machine != s.Machine {
			s.Printer.Warn("the last run, on %s, used another inventory than the one of this machine (%s)", last.Machine, s.Policy.Inventory)
		}
	}
	known, err := s.History().Known()
	if err != nil {
		return err
	}
	return overtaken(state, known.Trees)
}

// reopen opens the journal of a run and folds it. The events are those of the journal, with all that the fold fills in.
func (s *Session) reopen(run string) (r *Run, events []rollout.Event, err error) {
	path := s.Store.JournalPath(run)
	opened, events, err := journal.Open(path)
	if err != nil {
		return nil, nil, journalError(path, err)
	}
	state, err := journal.Fold(events)
	if err != nil {
		return nil, nil, errors.Join(journalError(path, err), opened.Close())
	}
	if gone := s.gone(state.Plan); len(gone) > 0 {
		return nil, nil, errors.Join(&GoneHostsError{gone, s.Policy.Inventory}, opened.Close())
	}
	if state.Plan.Inventory != s.Fleet.Digest {
		s.Printer.Warn("the inventory has changed since run %s was planned", run)
	}
	r, err = s.newRun(state, opened)
	return r, events, err
}

// gone returns the hosts of a plan that the inventory does not name any more.
func (s *Session) gone(plan *rollout.Plan) []string {
	var names []string
	for _, h := range plan.Hosts {
		if _, ok := s.Fleet.Host(h.Name); !ok {
			names = append(names, h.Name)
		}
	}
	return names
}

// overtaken refuses to go on with a run after which another has changed one of its hosts: what every host holds is told by the newest
// run, and an undo goes back from there.
func overtaken(s *rollout.State, trees *rollout.Trees) error {
	e := &OvertakenError{Run: s.Plan.Run}
	for _, r := range s.Report() {
		if last := trees.Of(r.Host).Run; last > e.Run { // names of runs begin with their time
			e.By, e.Hosts = max(e.By, last), e.Hosts+1
		}
	}
	if e.Hosts == 0 {
		return nil
	}
	return e
}

// sourceChanged says why a resumed run must not go on: its origin does not hold the tree any more that it began with. Empty: it does.
func (s *Session) sourceChanged(ctx context.Context, plan *rollout.Plan) string {
	if plan.Tree == nil || plan.Origin == "" {
		return ""
	}
	digest, err := s.hosts(s.Dialer).Digest(ctx, plan.Origin, plan.Paths)
	if err != nil || digest != plan.Tree.Digest {
		return "the tree of " + plan.Origin + " is not the one that the run began with: begin a new one"
	}
	return ""
}
