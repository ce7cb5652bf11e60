package rsync

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fleetsync/fleetsync/transport"
)

// Delta is what a sync would do to a destination. Every number counts entries of any type, folders included.
type Delta struct {
	// Create is what the destination does not have, or has as another type: then what was there is replaced and no deletion.
	Create int
	// Change is what differs in content, target or metadata. A folder of which only the mtime differs is not counted: that
	// follows from what is counted in it.
	Change int
	// Delete is what goes: exactly what --max-delete counts, hence also what is in a folder that a file replaces. Only a folder
	// in a folder that goes, which will stay because what is excluded is in it, is counted too (measured with 3.5.0; delete.c).
	Delete int
	Bytes  int64      // the size of the files that are transferred, as a whole: Stats.TransferredSize
	Top    []TopDelta // those of the tree's entries at or below which something differs, sorted by name

	// Deleted are the first of the paths that go, sorted, relative to the tree, their bytes as they are: hostile.
	Deleted []string
}

// TopDelta is the part of a Delta at and below one entry at the top of the tree.
type TopDelta struct {
	Name                   string // its bytes as they are: hostile; "." is the tree's own folder
	Create, Change, Delete int
}

//go:embed dryrun.sh
var dryRunText string

var dryRunScript = transport.StripComments(dryRunText)

// DryRun tells what p would do on the host of conn, and names at most most of the paths that it would delete. It makes,
// changes and deletes nothing there. Before, After, Backup and MaxDelete have no part in it. The lock of the destination is
// held shared, if there is one, so that no sync writes what is being compared: ClassBusy if one does. An error is an *Error.
func DryRun(ctx context.Context, conn transport.Conn, p Pull, most int) (Delta, error) {
	if err := p.Validate(); err != nil {
		return Delta{}, &transport.Error{Class: transport.ClassPermanent, Message: transport.Neutral(err.Error()), Err: err}
	}
	args := []string{"sh", "-c", dryRunScript, "fleetsync", transport.LockFile(p.Scratch, p.Destination), p.Destination}
	// What a killed rsync has left goes before the next one counts (package tree); without the rule rsync does not see it.
	args = append(args, slices.DeleteFunc(p.selection(), func(arg string) bool { return arg == leftovers })...)
	args = append(args, "--dry-run", "--out-format=%i %l %n", "--no-human-readable", "--no-8-bit-output", "--outbuf=B", "--no-motd",
		strings.TrimRight(p.Source, "/")+"/", p.Destination+"/")
	out := &itemized{top: map[string]*TopDelta{}}
	r, err := conn.Run(ctx, transport.Command{Args: args, Stdin: p.rules(), Stdout: out})
	if err != nil {
		return Delta{}, asError(err)
	}
	var stats Stats
	if err := ended(&stats, stageLock, conn, r); err != nil {
		return Delta{}, err
	}
	if len(out.part) > 0 {
		out.line(out.part)
	}
	if out.bad != "" {
		message := fmt.Sprintf("rsync lists %q, which is none of its own lines: is it older than 3.1?", transport.Neutral(out.bad))
		return Delta{}, &transport.Error{Class: transport.ClassPermanent, Message: message}
	}
	d := out.delta
	for _, name := range slices.Sorted(maps.Keys(out.top)) {
		d.Top = append(d.Top, *out.top[name])
	}
	slices.Sort(d.Deleted)
	d.Deleted = slices.Clip(d.Deleted[:min(len(d.Deleted), max(0, most))])
	return d, nil
}
