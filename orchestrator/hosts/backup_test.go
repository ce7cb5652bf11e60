package hosts

import (
	"strings"
	"testing"

	"github.com/fleetsync/fleetsync/orchestrator/tree"
)

// TestUndoable: only the last change of a tree can be undone, and only if how the tree was before is known.
//
// Seen to fail with: a backup that is not whole; one of a run that is undone; an older run than the last.
func TestUndoable(t *testing.T) {
	whole := func(run string) tree.Backup { return tree.Backup{Run: run, Whole: true} }
	undone := tree.Backup{Run: "r4", Whole: true, Undone: true}
	for _, test := range []struct {
		name    string
		backups []tree.Backup
		run     string
		want    string
		err     string
	}{
		{"nothing was ever replaced", nil, "", "", "nothing is kept of what syncs have replaced"},
		{"no sync of the only run began", []tree.Backup{{Run: "r1"}}, "r1", "", "nothing is kept of what syncs have replaced"},
		{"the last", []tree.Backup{whole("r1"), whole("r2")}, "", "r2", ""},
		{"the last by its name", []tree.Backup{whole("r1"), whole("r2")}, "r2", "r2", ""},
		{"the one before one that is undone", []tree.Backup{whole("r3"), undone}, "", "r3", ""},
		{"the one before one that did not begin", []tree.Backup{whole("r3"), {Run: "r5"}}, "r3", "r3", ""},
		{"one that is undone", []tree.Backup{whole("r3"), undone}, "r4", "",
			"nothing is kept of what run r4 has replaced; the last that is kept is of run r3"},
		{"an older one", []tree.Backup{whole("r1"), whole("r2")}, "r1", "", "run r2 has changed the tree since run r1: take that back first"},
		{"one that is not known", []tree.Backup{whole("r1")}, "r0", "", "the last that is kept is of run r1"},
	} {
		got, err := undoable(test.backups, test.run)
		if got != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %q, %v; want %q, %q", test.name, got, err, test.want, test.err)
		}
	}
}
