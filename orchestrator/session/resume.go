package session

import (
	"context"
	"errors"

	"github.com/fleetsync/fleetsync/orchestrator/journal"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// Resume opens a run that died, halted or was interrupted to go on with it. Who gets a Run must Finish it. If the origin does not hold
// the tree any more that the run began with, it will only put its pools back and halt. The errors are those of RefuseOthers, a
// JournalError, a GoneHostsError or an OvertakenError.
func (s *Session) Resume(ctx context.Context, run string) (*Run, error) {
	r, _, err := s.reopen(run)
	if err != nil {
		return nil, err
	}
	if err := s.RefuseOthers(ctx, run); err != nil {
		return nil, errors.Join(err, r.close())
	}
	trees, err := s.Trees()
	if err == nil {
		err = overtaken(r.State, trees)
	}
	if err != nil {
		return nil, errors.Join(err, r.close())
	}
	r.changed = s.sourceChanged(ctx, r.State.Plan)
	return r, nil
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
	digest, err := s.Digest(ctx, plan.Origin, plan.Paths)
	if err != nil || digest != plan.Tree.Digest {
		return "the tree of " + plan.Origin + " is not the one that the run began with: begin a new one"
	}
	return ""
}
