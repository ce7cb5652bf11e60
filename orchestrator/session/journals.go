package session

import (
	"errors"

	"github.com/fleetsync/fleetsync/orchestrator/journal"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// Journals reads the journals of this machine. It implements preflight.Journals.
type Journals struct{ Store journal.Store }

// Runs returns the runs that have a journal, newest first. The error is a JournalError.
func (j Journals) Runs() ([]string, error) {
	runs, err := j.Store.Runs()
	if err != nil {
		return nil, &JournalError{j.Store.Dir, err}
	}
	return runs, nil
}

// Read returns where a run stands. The error is a JournalError or one of package journal's.
func (j Journals) Read(run string) (*rollout.State, error) {
	path := j.Store.JournalPath(run)
	events, err := journal.Read(path)
	if err != nil {
		return nil, journalError(path, err)
	}
	state, err := journal.Fold(events)
	if err != nil {
		return nil, journalError(path, err)
	}
	return state, nil
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
