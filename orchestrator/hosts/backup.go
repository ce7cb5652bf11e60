package hosts

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fleetsync/fleetsync/orchestrator/tree"
)

// Undoable returns the run before which a host's tree can be had back: the one that is asked for, if nothing has changed the
// tree since; or, if none is, the last one of which there is a backup.
func (a *Asker) Undoable(ctx context.Context, name, run string) (string, error) {
	t, err := a.Tree(name)
	if err != nil {
		return "", err
	}
	backups, err := t.Backups(ctx)
	if err != nil {
		return "", err
	}
	return undoable(backups, run)
}

func undoable(backups []tree.Backup, run string) (string, error) {
	backups = slices.DeleteFunc(backups, func(b tree.Backup) bool { return !b.Whole || b.Undone })
	if len(backups) == 0 {
		return "", errors.New("nothing is kept of what syncs have replaced")
	}
	last := backups[len(backups)-1].Run
	if run == "" || run == last {
		return last, nil
	}
	if slices.ContainsFunc(backups, func(b tree.Backup) bool { return b.Run == run }) {
		return "", fmt.Errorf("run %s has changed the tree since run %s: take that back first", last, run)
	}
	return "", fmt.Errorf("nothing is kept of what run %s has replaced; the last that is kept is of run %s", run, last)
}
