package manifest

import (
	"path"
	"slices"
)

// Kind is what became of a path.
type Kind string

// The kinds.
const (
	Created Kind = "created"
	Changed Kind = "changed"
	Deleted Kind = "deleted"
)

// What is the first thing, in this order, in which two entries of one path differ.
type What string

// What may differ.
const (
	TypeDiffers    What = "type"
	TargetDiffers  What = "target"  // of a symlink
	ContentDiffers What = "content" // of a file: its size, or its hash if both are known
	MtimeDiffers   What = "mtime"   // of a file
	ModeDiffers    What = "mode"
)

// Change is one path in which two trees differ.
type Change struct {
	Path string
	Kind Kind
	What What // of what has Changed
	Type Type // in the tree that it leads to; of what was deleted, in the other
}

// Diff returns what leads from one tree to another, sorted by path, for what is at or below the paths, or for the whole tree if
// there are none. It sees what the digests see, and hashes only where both are known. So two trees without a
// change have the same metadata digest, and the same fingerprint if all their hashes are known.
func Diff(from, to *Manifest, paths []string) []Change {
	var changes []Change
	a, b := from.subset(paths), to.subset(paths)
	for len(a) > 0 || len(b) > 0 {
		var order int
		switch {
		case len(a) == 0:
			order = 1
		case len(b) == 0:
			order = -1
		default:
			order = Compare(a[0].Path, b[0].Path)
		}
		switch {
		case order < 0:
			changes = append(changes, Change{Path: a[0].Path, Kind: Deleted, Type: a[0].Type})
			a = a[1:]
		case order > 0:
			changes = append(changes, Change{Path: b[0].Path, Kind: Created, Type: b[0].Type})
			b = b[1:]
		default:
			if what := differs(&a[0], &b[0]); what != "" {
				changes = append(changes, Change{Path: b[0].Path, Kind: Changed, What: what, Type: b[0].Type})
			}
			a, b = a[1:], b[1:]
		}
	}
	return changes
}

// NotLeft returns the changes without those that a sync cannot help: folders that were created and hold nothing else that was.
// A sync leaves such a folder, though the source does not have it, because what is excluded is in it (measured with rsync
// 3.5.0). The changes must be those of one Diff.
func NotLeft(changes []Change) []Change {
	holds := map[string]bool{} // folders that hold anything but folders
	for _, c := range changes {
		if c.Kind == Created && c.Type == Folder {
			continue
		}
		for dir := path.Dir(c.Path); dir != "." && !holds[dir]; dir = path.Dir(dir) {
			holds[dir] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(changes), func(c Change) bool {
		return c.Kind == Created && c.Type == Folder && !holds[c.Path]
	})
}

func differs(a, b *Entry) What {
	switch {
	case a.Type != b.Type:
		return TypeDiffers
	case a.Type == Symlink:
		if a.Link != b.Link {
			return TargetDiffers
		}
		return "" // its mode means nothing on Linux
	case a.Type == File && (a.Size != b.Size || a.Hash != b.Hash && a.Hash != Hash{} && b.Hash != Hash{}):
		return ContentDiffers
	case a.Type == File && a.Mtime != b.Mtime:
		return MtimeDiffers
	case a.Mode != b.Mode:
		return ModeDiffers
	}
	return ""
}
