package tree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
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
	// at their paths, for as long as the run's backup. Aside is empty if Moved is 0.
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
// tree. It returns an error and has changed nothing if the run kept nothing (ErrNoBackup), if another run has synced the tree
// since (ErrLater), whether or not that kept anything, or if content is not to be found. What it has put back it compares; it
// is an error that names the first differences if that is not exactly what there was.
//
// What it removes and replaces is moved to where Undone says, folders with what was in them, because it may be what
// somebody made since: each undo that goes so far has its own folder for that. What rsync left half done (.~tmp~) is removed.
//
// It may be called again after any end, also of one that was killed. A run that is undone already is left alone.
func (t Tree) Undo(ctx context.Context, run string) (Undone, error) {
	s, err := t.examine(ctx, run)
	if err != nil || s.undone {
		return Undone{Already: s.undone}, err
	}
	free, err := t.Free(ctx)
	if err != nil {
		return Undone{}, err
	}
	ops, undone, _, err := newPlan(s.before, s.now, s.backups, s.aside, free)
	if err != nil {
		return Undone{}, cannot(run, err)
	}
	// An undo that has begun and not ended well leaves the tree as unknown as a sync.
	began := Record{Run: run, Partial: true, At: moment()}.json()
	gone := "no"
	if len(s.before.Entries) == 0 {
		gone = "yes"
	}
	find, format := t.expression()
	what := "undo run " + run
	args := append([]string{t.Root, t.backups(), run, s.seen, t.RecordPath(), began, gone, format}, find...)
	out, err := t.run(ctx, script{what: what, text: applyText, args: args, stdin: encode(ops), lock: "--exclusive"})
	if err != nil {
		return undone, err
	}
	after, err := parse(what, out)
	if err != nil {
		return undone, err
	}
	differences, left := compare(s.before, after)
	if len(differences) > 0 {
		return undone, cannot(run, fmt.Errorf("it is not what it was: %s", first(differences)))
	}
	undone.Left = left
	_, err = t.run(ctx, script{what: what, text: finishText, args: []string{t.backups(), run, t.RecordPath()}, lock: "--exclusive"})
	return undone, err
}

// Preview is what an undo would do.
type Preview struct {
	Undone // Left is not known before

	// Since are paths that would be removed or replaced although the run did not leave them so: somebody made or changed
	// them since. They are sorted, no more than most; their names' bytes as they are: hostile. More is how many more there are.
	Since []string
	More  int
	// Unknown says that nobody knows what the run left, because its sync, or an undo of it, did not end well or has not ended:
	// Since is empty.
	Unknown bool
}

// Preview tells what Undo would do, in the same order of refusals, and changes nothing. It names at most most paths.
func (t Tree) Preview(ctx context.Context, run string, most int) (Preview, error) {
	s, err := t.examine(ctx, run)
	if err != nil || s.undone {
		return Preview{Undone: Undone{Already: s.undone}}, err
	}
	_, undone, goes, err := newPlan(s.before, s.now, s.backups, s.aside, math.MaxInt64)
	if err != nil {
		return Preview{}, cannot(run, err)
	}
	p := Preview{Undone: undone}
	switch {
	case s.last == nil || s.last.Run != run || s.last.Partial:
		p.Unknown = true
		return p, nil
	case s.last.Digest != "" && s.now.Digest(s.last.Paths) == s.last.Digest && s.last.Paths == nil:
		return p, nil
	}
	// The record was written when the sync had ended, by the clock that ctimes have.
	for _, name := range goes {
		if e := s.now.Find(name); e == nil || e.Ctime <= s.written {
			continue
		}
		if len(p.Since) < most {
			p.Since = append(p.Since, name)
		} else {
			p.More++
		}
	}
	return p, nil
}

// cannot returns the error of an undo that something on the host, which does not pass, keeps from being done.
func cannot(run string, err error) error {
	message := "cannot undo run " + transport.Neutral(clip(run)) + ": " + transport.Neutral(err.Error())
	return &transport.Error{Class: transport.ClassPermanent, Message: message, Err: err}
}

// examined is what an undo must know of a host.
type examined struct {
	undone               bool
	before, now, backups *manifest.Manifest
	aside                string  // where what goes is kept; it is not there yet
	last                 *Record // nil: none, or not to be read
	written              int64   // when it was
	seen                 string  // tells whether anything has changed since
}

// examine reads what is on a host for an undo, and refuses what must not be undone.
func (t Tree) examine(ctx context.Context, run string) (examined, error) {
	if err := validRun(run); err != nil {
		return examined{}, cannot(run, err)
	}
	what := "undo run " + run
	find, format := t.expression()
	args := append([]string{t.Root, t.backups(), run, t.RecordPath(), format}, find...)
	out, err := t.run(ctx, script{what: what, text: lookText, args: args, lock: "--shared"})
	if err != nil {
		return examined{}, err
	}
	if string(out) == "undone\x00" {
		return examined{undone: true}, nil
	}
	var part [7][]byte
	for i := range part {
		part[i], out = cutPart(out)
	}
	var s examined
	for name := range strings.SplitSeq(string(part[0]), "\x00") {
		if name > run && validRun(name) == nil {
			return s, cannot(run, fmt.Errorf("%w, by run %s: undo that first", ErrLater, name))
		}
	}
	number, err := strconv.Atoi(strings.TrimSuffix(string(part[1]), "\x00"))
	if err != nil || number < 1 {
		return s, cannot(run, errors.New("the host answers something else"))
	}
	s.aside = t.backups() + "/" + run + "/undo." + strconv.Itoa(number)

	written, record, _ := bytes.Cut(bytes.TrimSuffix(part[2], []byte{0}), []byte("\n"))
	record = bytes.TrimSpace(record)
	if r, err := ParseRecord(record); err == nil {
		s.last, s.written = r, nanoseconds(string(written))
		// A run that begins keeps the record that it finds, and writes its own a moment later.
		if r.Run != run && !bytes.Equal(record, bytes.TrimSpace(bytes.TrimSuffix(part[3], []byte{0}))) {
			return s, cannot(run, fmt.Errorf("%w, by run %s, whose changes would go: undo that first, or sync what you want", ErrLater, clip(r.Run)))
		}
	}
	s.seen, _, _ = strings.Cut(string(part[4]), " ")
	for i, into := range []**manifest.Manifest{&s.before, &s.now, &s.backups} {
		if *into, err = parse(what, [][]byte{part[5], part[6], out}[i]); err != nil {
			return s, err
		}
	}
	return s, nil
}

// nanoseconds reads a time as stat(1) prints it with nine decimals; 0 is none.
func nanoseconds(s string) int64 {
	n, err := strconv.ParseInt(strings.Replace(s, ".", "", 1), 10, 64)
	if err != nil {
		return 0
	}
	return n
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
