package tree

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/fleetsync/fleetsync/transport"
)

// Backup is what is kept of a tree for a run.
type Backup struct {
	Run    string
	At     time.Time // of its last attempt or undo, by the host's clock
	Size   int64     // in bytes
	Whole  bool      // how the tree was before is known; else no sync of the run ever began
	Undone bool
}

// Backups returns what is kept of the tree, the oldest run first.
func (t Tree) Backups(ctx context.Context) ([]Backup, error) {
	out, err := t.run(ctx, script{what: "look for what is kept", text: backupsText, args: []string{t.backups()}, most: 16 << 20})
	if err != nil {
		return nil, err
	}
	return parseBackups(string(out))
}

func parseBackups(out string) ([]Backup, error) {
	f := strings.Split(out, "\x00")
	var backups []Backup
	for ; len(f) > 5; f = f[5:] {
		at, err1 := strconv.ParseInt(f[3], 10, 64)
		size, err2 := strconv.ParseInt(f[4], 10, 53)
		if err1 != nil || err2 != nil || size < 0 {
			return nil, &transport.Error{Class: transport.ClassPermanent, Message: "cannot look for what is kept: the host answers something else"}
		}
		if validRun(f[0]) != nil {
			continue // not ours
		}
		backups = append(backups, Backup{Run: f[0], At: time.Unix(at, 0), Size: size << 10, Whole: f[1] == "yes", Undone: f[2] == "yes"})
	}
	return backups, nil
}
