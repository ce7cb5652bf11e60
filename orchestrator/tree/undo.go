package tree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/fleetsync/fleetsync/orchestrator/manifest"
	"github.com/fleetsync/fleetsync/transport"
)

// Undone is what an undo did.
type Undone struct {
	Removed  int // entries that were not there before
	Restored int // entries that were put back, or their content was
	Linked   int // names that were made hard links again
	Metadata int // entries of which only owner, mode or mtime was put back
	// Moved is how many entries, folders not counted, were removed or replaced; they are kept in the folder Aside of the host,
	// at their paths, for as long as the run's keep. Aside is empty if Moved is 0.
	Moved int
	Aside string
	// Left are folders that were not there before but hold what is excluded, sorted; their names' bytes as they are: hostile.
	Left    []string
	Already bool // the run had been undone; nothing was done
}

// String says it in a few words.
func (u Undone) String() string {
	var parts []string
	for _, one := range []struct {
		n    int
		what string
	}{{u.Removed, "removed"}, {u.Restored, "put back"}, {u.Linked, "linked"}, {u.Metadata, "with other metadata"}} {
		if one.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", one.n, one.what))
		}
	}
	switch {
	case u.Already:
		return "was undone before"
	case parts == nil:
		parts = []string{"nothing had been changed"}
	}
	if u.Moved > 0 {
		parts = append(parts, fmt.Sprintf("%d kept in %s", u.Moved, u.Aside))
	}
	if len(u.Left) > 0 {
		parts = append(parts, "left because of what is excluded in it: "+shown(u.Left))
	}
	return strings.Join(parts, ", ")
}

// Undo puts the tree back to what it was before the run, under the lock that syncs take: ClassBusy if somebody else writes the
// tree. It returns an error and has changed nothing if the run kept nothing (ErrNoKeep), if a newer run must be undone first,
// or if content is not to be found. What it has put back it compares; it is an error that names the first differences if
// that is not exactly what there was.
//
// What it removes and replaces is moved to where Undone says, folders with what was in them, because it may be what
// somebody made since: each undo that goes so far has its own folder for that. What rsync left half done (.~tmp~) is removed.
//
// It may be called again after any end, also of one that was killed. A run that is undone already is left alone.
func (t Tree) Undo(ctx context.Context, run string) (Undone, error) {
	permanent := func(err error) error {
		message := "cannot undo run " + transport.Neutral(clip(run)) + ": " + transport.Neutral(err.Error())
		return &transport.Error{Class: transport.ClassPermanent, Message: message, Err: err}
	}
	if err := validRun(run); err != nil {
		return Undone{}, permanent(err)
	}
	what := "undo run " + run
	find, format := t.expression()
	out, err := t.run(ctx, script{what: what, text: lookText, args: append([]string{t.Root, t.keeps(), run, format}, find...), lock: "--shared"})
	if err != nil {
		return Undone{}, err
	}
	if string(out) == "undone\x00" {
		return Undone{Already: true}, nil
	}
	var part [5][]byte
	for i := range part {
		part[i], out = cutPart(out)
	}
	for name := range strings.SplitSeq(string(part[0]), "\x00") {
		if name > run && validRun(name) == nil {
			return Undone{}, permanent(fmt.Errorf("run %s synced it later: undo that first", name))
		}
	}
	number, err := strconv.Atoi(strings.TrimSuffix(string(part[1]), "\x00"))
	if err != nil || number < 1 {
		return Undone{}, permanent(errors.New("the host answers something else"))
	}
	aside := t.keeps() + "/" + run + "/undo." + strconv.Itoa(number)
	seen, _, _ := strings.Cut(string(part[2]), " ")
	var trees [3]*manifest.Manifest
	for i, listing := range [][]byte{part[3], part[4], out} {
		if trees[i], err = parse(what, listing); err != nil {
			return Undone{}, err
		}
	}
	before, now, backups := trees[0], trees[1], trees[2]

	free, err := t.Free(ctx)
	if err != nil {
		return Undone{}, err
	}
	ops, undone, err := newPlan(before, now, backups, aside, free)
	if err != nil {
		return Undone{}, permanent(err)
	}
	// An undo that has begun and not ended well leaves the tree as unknown as a sync.
	began := Record{Run: run, Partial: true, At: moment()}.json()
	gone := "no"
	if len(before.Entries) == 0 {
		gone = "yes"
	}
	args := append([]string{t.Root, t.keeps(), run, seen, t.last(), began, gone, format}, find...)
	if out, err = t.run(ctx, script{what: what, text: applyText, args: args, stdin: encode(ops), lock: "--exclusive"}); err != nil {
		return undone, err
	}
	after, err := parse(what, out)
	if err != nil {
		return undone, err
	}
	differences, left := compare(before, after)
	if len(differences) > 0 {
		return undone, permanent(fmt.Errorf("it is not what it was: %s", first(differences)))
	}
	undone.Left = left
	_, err = t.run(ctx, script{what: what, text: finishText, args: []string{t.keeps(), run, t.last()}, lock: "--exclusive"})
	return undone, err
}

// cutPart returns what is before an empty record, and what is after it.
func cutPart(b []byte) (part, rest []byte) {
	if len(b) > 0 && b[0] == 0 {
		return nil, b[1:]
	}
	i := bytes.Index(b, []byte{0, 0})
	if i < 0 {
		return b, nil
	}
	return b[:i+1], b[i+2:]
}

// compare returns in what a tree differs from what it was, in words, and the folders that are left although they were not
// there. Of those it is known that they are not empty: they hold what is excluded.
func compare(before, after *manifest.Manifest) (differences, left []string) {
	differ := func(name, what string) { differences = append(differences, fmt.Sprintf("%q %s", clip(name), what)) }
	for i := range after.Entries {
		a := &after.Entries[i]
		if before.Find(a.Path) != nil {
			continue
		}
		if a.Type == manifest.Folder {
			left = append(left, a.Path)
		} else {
			differ(a.Path, "was not there")
		}
	}
	was, is := groupsOf(before), groupsOf(after)
	for i := range before.Entries {
		b := &before.Entries[i]
		a := after.Find(b.Path)
		switch {
		case a == nil:
			differ(b.Path, "is missing")
		case a.Type != b.Type:
			differ(b.Path, fmt.Sprintf("is of type %c, was %c", a.Type, b.Type))
		case a.Size != b.Size:
			differ(b.Path, fmt.Sprintf("has %d bytes, had %d", a.Size, b.Size))
		case a.Link != b.Link:
			differ(b.Path, "links elsewhere")
		case a.Mtime != b.Mtime:
			differ(b.Path, fmt.Sprintf("has mtime %s, had %s", stamp(a.Mtime), stamp(b.Mtime)))
		case a.UID != b.UID || a.GID != b.GID:
			differ(b.Path, fmt.Sprintf("has owner %d:%d, had %d:%d", a.UID, a.GID, b.UID, b.GID))
		case a.Mode != b.Mode && b.Type != manifest.Symlink:
			differ(b.Path, fmt.Sprintf("has mode %04o, had %04o", a.Mode, b.Mode))
		case !slices.Equal(was[b.Path], is[b.Path]):
			differ(b.Path, "is not a hard link of what it was")
		}
	}
	return differences, left
}

// groupsOf returns, for each file that has several names in the tree, these names.
func groupsOf(m *manifest.Manifest) map[string][]string {
	names := map[inode][]string{}
	for i := range m.Entries {
		if e := &m.Entries[i]; e.Type == manifest.File && e.Links > 1 {
			names[inodeOf(e)] = append(names[inodeOf(e)], e.Path)
		}
	}
	groups := map[string][]string{}
	for _, group := range names {
		if len(group) > 1 {
			for _, name := range group {
				groups[name] = group
			}
		}
	}
	return groups
}

// shown returns the first of some hostile names, quoted.
func shown(names []string) string {
	var quoted []string
	for _, name := range names {
		quoted = append(quoted, fmt.Sprintf("%q", clip(name)))
	}
	return first(quoted)
}

// first joins the first five of a list.
func first(list []string) string {
	const most = 5
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
}
