package session

import (
	"errors"

	"github.com/fleetsync/fleetsync/orchestrator/journal"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// Past is where a run of this machine stands.
type Past struct {
	State *rollout.State
	Alive bool // the process that writes its journal still runs
}

// Read reads the journal of a run. The error is a JournalError or one of package journal's.
func Read(store journal.Store, run string) (Past, error) {
	alive := store.Alive(run) // before the journal is read: what ended in between has ended
	path := store.JournalPath(run)
	events, err := journal.Read(path)
	if err != nil {
		return Past{}, journalError(path, err)
	}
	state, err := journal.Fold(events)
	if err != nil {
		return Past{}, journalError(path, err)
	}
	return Past{State: state, Alive: alive}, nil
}

// journalError returns the error of a journal as one that says by its type what it is and names the path, once.
func journalError(path string, err error) error {
	if corrupt, ok := errors.AsType[*journal.CorruptError](err); ok {
		return &journal.CorruptError{Path: path, Line: corrupt.Line, Err: corrupt.Err}
	}
	if newer, ok := errors.AsType[*journal.NewerError](err); ok {
		return newer
	}
	return &JournalError{path, err}
}
