package guard

import (
	"context"
	"fmt"
	"time"

	"github.com/fleetsync/fleetsync/orchestrator/manifest"
)

// racy is how long before a listing a file must have been changed for its ctime to tell that it has not been
// changed again. A kernel counts time for files in ticks of up to 10 ms, and older file systems in seconds.
const racy = 2 * time.Second

// Work is what a scan had to do.
type Work struct {
	Listed int   // entries
	Hashed int   // files that were read
	Bytes  int64 // of those
}

// Scan returns the manifest of a tree with the hash of each file, and what that took.
//
// A file's hash is taken over from the previous manifest, if there is one, when size, mtime, ctime, inode and device
// are those of then, and it had been changed well before that manifest's listing; unless full. If no file
// has to be read, none is opened.
//
// A file that is mostly holes is only read if sparse files are let pass, as in Rules. If not, its hash stays unknown, and
// Inspect refuses the tree.
//
// If files had to be read, all of the tree is looked at again after the last of them, and it is ErrChanging if anything in it is
// not what it was before it was read, because then the manifest would be of a tree that never was. So there is a
// moment, after the last read and before the second look, at which the tree was the manifest: what changed before is
// noticed, and what changes after is for those who look later. Two changes of one file within one tick of the file
// system's clock, with a read between them, look like one; a later scan reads that file again, because it is racy.
func Scan(ctx context.Context, t Tree, previous *manifest.Manifest, full, sparse bool) (*manifest.Manifest, Work, error) {
	if previous == nil || full {
		previous = &manifest.Manifest{}
	}
	before, err := lookAt(ctx, t, len(previous.Entries) == 0)
	if err != nil {
		return nil, Work{}, err
	}
	m := before.manifest
	work := Work{Listed: len(m.Entries)}
	var paths []string
	var entries []int            // of m, one for each path
	var twins [][2]int           // an entry, and which of the paths is the same file
	first := map[[2]uint64]int{} // device and inode of a file with more names than one, and which of the paths it is
	old := previous.Entries      // what is left of them
	for i := range m.Entries {
		e := &m.Entries[i]
		for len(old) > 0 && manifest.Compare(old[0].Path, e.Path) < 0 {
			old = old[1:]
		}
		if e.Type != manifest.File {
			continue
		}
		if e.Hash != (manifest.Hash{}) {
			work.Hashed++
			work.Bytes += e.Size
			continue
		}
		if len(old) > 0 && old[0].Path == e.Path && unchanged(&old[0], e, previous.Taken) {
			e.Hash = old[0].Hash
			continue
		}
		if !sparse && mostlyHoles(e) {
			continue
		}
		if e.Links > 1 {
			if n, found := first[[2]uint64{e.Device, e.Inode}]; found {
				twins = append(twins, [2]int{i, n})
				continue
			}
			first[[2]uint64{e.Device, e.Inode}] = len(paths)
		}
		paths, entries = append(paths, e.Path), append(entries, i)
		work.Bytes += e.Size
	}
	work.Hashed += len(paths)
	if work.Hashed == 0 {
		return m, work, nil
	}
	var hashes []manifest.Hash
	if len(paths) > 0 {
		if hashes, err = t.Hash(ctx, paths); err != nil {
			return nil, work, err
		}
	}
	if len(hashes) != len(paths) {
		return nil, work, fmt.Errorf("%d files were to be hashed, and %d hashes came back", len(paths), len(hashes))
	}
	if err := before.again(ctx); err != nil {
		return nil, work, err
	}
	for n, i := range entries {
		m.Entries[i].Hash = hashes[n]
	}
	for _, twin := range twins {
		m.Entries[twin[0]].Hash = hashes[twin[1]]
	}
	return m, work, nil
}

// unchanged tells whether a file is as it was when it was hashed. Its mtime can be set to anything, but its ctime is
// when something about it was last changed; so that alone tells whether it may have been changed in the very
// tick of the listing.
func unchanged(old, e *manifest.Entry, taken int64) bool {
	return old.Type == manifest.File && old.Hash != manifest.Hash{} &&
		old.Size == e.Size && old.Mtime == e.Mtime && old.Ctime == e.Ctime && old.Inode == e.Inode && old.Device == e.Device &&
		old.Ctime < taken-int64(racy)
}

// same says what differs between two listings of a tree.
func same(m, again *manifest.Manifest) error {
	if changes := manifest.Diff(m, again, nil); len(changes) > 0 {
		more := ""
		if len(changes) > 1 {
			more = fmt.Sprintf(" and %d more", len(changes)-1)
		}
		return fmt.Errorf("%s%s: %w", show(changes[0].Path), more, ErrChanging)
	}
	for i := range m.Entries {
		if differ(&m.Entries[i], &again.Entries[i]) {
			return changed(m.Entries[i].Path)
		}
	}
	return nil
}

// differ tells whether what a path was, other than a folder or a symlink, is not what it is.
func differ(was, is *manifest.Entry) bool {
	if was.Type != is.Type || was.Type != manifest.Folder && was.Type != manifest.Symlink && was.Mode != is.Mode {
		return true
	}
	return was.Type == manifest.File &&
		(was.Size != is.Size || was.Mtime != is.Mtime || was.Ctime != is.Ctime || was.Inode != is.Inode || was.Device != is.Device)
}
