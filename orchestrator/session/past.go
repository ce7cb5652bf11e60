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
func (c *Config) Read(run string) (Past, error) {
	alive := c.Store.Alive(run) // before the journal is read: what ended in between has ended
	path := c.Store.JournalPath(run)
	events, err := journal.Read(path)
	if err != nil {
		return Past{}, openError(path, err)
	}
	state, err := journal.Fold(events)
	if err != nil {
		return Past{}, &JournalError{path, err}
	}
	return Past{State: state, Alive: alive}, nil
}

// openError returns the error of a journal that cannot be read as one that says so by its type, once.
func openError(path string, err error) error {
	if _, ok := errors.AsType[*journal.CorruptError](err); ok {
		return err // it names the path
	}
	return &JournalError{path, err}
}
