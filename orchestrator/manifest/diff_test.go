package manifest_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fleetsync/fleetsync/orchestrator/manifest"
)

// What Diff says is what two maps say. No change means the same digests, and the other way round.
//
// Seen to fail with: one side's rest left out; an unknown hash taken for another one; the mtime of a folder compared.
func TestDiff(t *testing.T) {
	check(t, 300, func(t *rapid.T) {
		from, to := drawManifest(t), drawManifest(t)
		if rapid.Bool().Draw(t, "alike") {
			to.Entries = slices.Clone(from.Entries)
			for i := range to.Entries {
				e := &to.Entries[i]
				e.Inode, e.UID = 1, 2
				switch rapid.IntRange(0, 6).Draw(t, "edit") {
				case 0:
					e.Mode ^= 1
				case 1:
					e.Mtime ^= 1
				case 2:
					if e.Type == manifest.File {
						e.Hash = manifest.Hash{7}
					}
				}
			}
		}
		var within []string
		if rapid.Bool().Draw(t, "subset") {
			within = []string{"a", "b/"}
		}
		below := func(m *manifest.Manifest) map[string]manifest.Entry {
			all := map[string]manifest.Entry{}
			for _, e := range m.Entries {
				if within == nil || e.Path == "a" || e.Path == "b" || strings.HasPrefix(e.Path, "a/") {
					all[e.Path] = e
				}
			}
			return all
		}
		a, b := below(from), below(to)
		want := map[string]manifest.Kind{}
		for path, x := range a {
			y, there := b[path]
			same := x.Type == y.Type && (x.Type == manifest.Symlink && x.Link == y.Link || x.Type != manifest.Symlink && x.Mode == y.Mode)
			if x.Type == manifest.File {
				same = same && x.Size == y.Size && x.Mtime == y.Mtime && (x.Hash == y.Hash || x.Hash == manifest.Hash{} || y.Hash == manifest.Hash{})
			}
			switch {
			case !there:
				want[path] = manifest.Deleted
			case !same:
				want[path] = manifest.Changed
			}
		}
		for path := range b {
			if _, there := a[path]; !there {
				want[path] = manifest.Created
			}
		}
		changes := manifest.Diff(from, to, within)
		for i, c := range changes {
			if want[c.Path] != c.Kind || (c.What != "") != (c.Kind == manifest.Changed) {
				t.Fatalf("%+v, want %s", c, want[c.Path])
			}
			if i > 0 && changes[i-1].Path >= c.Path && changes[i-1].Path != "." {
				t.Fatalf("%q comes before %q", changes[i-1].Path, c.Path)
			}
		}
		if len(changes) != len(want) {
			t.Fatalf("%v, want %v", changes, want)
		}
		content := slices.ContainsFunc(changes, func(c manifest.Change) bool { return c.What == manifest.ContentDiffers })
		if same := from.Digest(within) == to.Digest(within); len(changes) == 0 && !same || len(changes) > 0 && same && !content {
			t.Fatalf("changes %v, and the digests are the same: %t", changes, same)
		}
		if from.Hashed() && to.Hashed() && within == nil && (from.Fingerprint() == to.Fingerprint()) != (len(changes) == 0) {
			t.Fatalf("changes %v, fingerprints %s, %s", changes, from.Fingerprint(), to.Fingerprint())
		}
	})
}

// Seen to fail with: folders that hold something counted as left; a folder of a changed type dropped.
func TestNotLeft(t *testing.T) {
	t.Parallel()
	created := func(path string, typ manifest.Type) manifest.Change {
		return manifest.Change{Path: path, Kind: manifest.Created, Type: typ}
	}
	changes := []manifest.Change{
		created("a", manifest.Folder), created("a/b", manifest.Folder), // left
		created("c", manifest.Folder), created("c/d", manifest.Folder), created("c/d/e", manifest.File), created("c/f", manifest.Folder),
		{Path: "g", Kind: manifest.Changed, What: manifest.TypeDiffers, Type: manifest.Folder},
		{Path: "h", Kind: manifest.Deleted, Type: manifest.Folder},
		created("i", manifest.Symlink),
	}
	var got []string
	for _, c := range manifest.NotLeft(changes) {
		got = append(got, c.Path)
	}
	if want := []string{"c", "c/d", "c/d/e", "g", "h", "i"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if len(changes) != 9 || changes[0].Path != "a" {
		t.Error("the changes were changed")
	}
	if left := manifest.NotLeft(nil); len(left) != 0 {
		t.Error(left)
	}
}
