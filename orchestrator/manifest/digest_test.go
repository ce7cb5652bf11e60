package manifest_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fleetsync/fleetsync/orchestrator/manifest"
)

// The digest of a manifest is what a host's find, sort and sha256sum compute of the tree.
//
// Seen to fail with: records in the order of the paths; nine digits of a fraction; a negative time rounded toward 1970; the
// mtime of folders or symlinks digested; a mode with a leading zero; paths that hold one another listed twice.
func TestDigestIsThatOfCoreutils(t *testing.T) {
	need(t, "find", "sort", "sha256sum")
	check(t, 50, func(t *rapid.T) {
		root := temp(t)
		all := drawTree(t, root)
		excludes := drawExcludes(t, all)
		m := list(t, root, []string{"."}, excludes)
		pipeline := func(starts []string) string {
			args := append(append([]string{"find"}, starts...), manifest.Expression(excludes, manifest.DigestFormat)...)
			digest := run(t, root, run(t, root, run(t, root, nil, args...), "sort", "-z"), "sha256sum")
			return strings.Fields(string(digest))[0]
		}
		if got, want := m.Digest(nil), pipeline([]string{"."}); got != want {
			t.Fatalf("digest %s, on a host %s", got, want)
		}
		if len(all) == 0 {
			return
		}
		chosen := rapid.SliceOfN(rapid.SampledFrom(all), 1, 4).Draw(t, "chosen")
		starts, err := manifest.Starts(chosen)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := m.Digest(append(chosen, "missing", "a/missing")), pipeline(starts); got != want {
			t.Fatalf("digest of %q %s, on a host %s", chosen, got, want)
		}
	})
}

func TestStarts(t *testing.T) {
	tests := []struct {
		paths, want []string // no want is an error
	}{
		{nil, []string{"."}},
		{[]string{"a", "."}, []string{"."}},
		{[]string{"b", "a/", "./a", "a/b", "a-b", "ab/c"}, []string{"./a", "./a-b", "./ab/c", "./b"}},
		{[]string{"-delete"}, []string{"./-delete"}},
		{[]string{"a/../../b"}, nil},
		{[]string{"/a"}, nil},
		{[]string{""}, nil},
		{[]string{"a\x00"}, nil},
	}
	for _, test := range tests {
		got, err := manifest.Starts(test.paths)
		if !slices.Equal(got, test.want) || (err != nil) != (test.want == nil) {
			t.Errorf("%q: %q, %v, want %q", test.paths, got, err, test.want)
		}
	}
}

// What only the machine knows, and what a sync does not keep, is in no digest; all else is in the fingerprint.
func TestFingerprint(t *testing.T) {
	tree := func(change func(folder, file, link, fifo *manifest.Entry)) *manifest.Manifest {
		m := &manifest.Manifest{Entries: []manifest.Entry{
			{Path: ".", Type: manifest.Folder, Mode: 0o755, Mtime: someTime},
			{Path: "file", Type: manifest.File, Mode: 0o644, Size: 5, Mtime: someTime, Hash: manifest.Hash{1}},
			{Path: "link", Type: manifest.Symlink, Mode: 0o777, Mtime: someTime, Link: "file"},
			{Path: "pipe", Type: manifest.Fifo, Mode: 0o644, Mtime: someTime},
		}}
		change(&m.Entries[0], &m.Entries[1], &m.Entries[2], &m.Entries[3])
		return m
	}
	same := tree(func(folder, file, link, fifo *manifest.Entry) {})
	tests := []struct {
		name                string
		change              func(folder, file, link, fifo *manifest.Entry)
		digest, fingerprint bool // differ
		what                manifest.What
	}{
		{"nothing", func(_, _, _, _ *manifest.Entry) {}, false, false, ""},
		{"mtime of a folder", func(folder, _, _, _ *manifest.Entry) { folder.Mtime++ }, false, false, ""},
		{"mtime of a symlink", func(_, _, link, _ *manifest.Entry) { link.Mtime++ }, false, false, ""},
		{"mtime of a fifo", func(_, _, _, fifo *manifest.Entry) { fifo.Mtime++ }, false, false, ""},
		{"what the machine knows", func(_, file, _, _ *manifest.Entry) {
			file.Ctime, file.Device, file.Inode, file.Links, file.UID, file.GID, file.Blocks = 1, 2, 3, 4, 5, 6, 7
		}, false, false, ""},
		{"mode of a folder", func(folder, _, _, _ *manifest.Entry) { folder.Mode = 0o1755 }, true, true, manifest.ModeDiffers},
		{"mode of a file", func(_, file, _, _ *manifest.Entry) { file.Mode = 0o4644 }, true, true, manifest.ModeDiffers},
		{"mtime of a file", func(_, file, _, _ *manifest.Entry) { file.Mtime++ }, true, true, manifest.MtimeDiffers},
		{"size of a file", func(_, file, _, _ *manifest.Entry) { file.Size++ }, true, true, manifest.ContentDiffers},
		{"content of a file", func(_, file, _, _ *manifest.Entry) { file.Hash[31]++ }, false, true, manifest.ContentDiffers},
		{"target", func(_, _, link, _ *manifest.Entry) { link.Link = "pipe" }, true, true, manifest.TargetDiffers},
		{"type", func(_, _, _, fifo *manifest.Entry) { fifo.Type = manifest.Socket }, true, true, manifest.TypeDiffers},
		{"name", func(_, _, _, fifo *manifest.Entry) { fifo.Path = "pipf" }, true, true, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := tree(test.change)
			if got := m.Digest(nil) != same.Digest(nil); got != test.digest {
				t.Errorf("the digest differs: %t", got)
			}
			if got := m.Fingerprint() != same.Fingerprint(); got != test.fingerprint {
				t.Errorf("the fingerprint differs: %t", got)
			}
			changes := manifest.Diff(same, m, nil)
			if (len(changes) > 0) != test.fingerprint {
				t.Errorf("changes %v", changes)
			}
			if test.what != "" && (len(changes) != 1 || changes[0].What != test.what) {
				t.Errorf("changes %v, want %s", changes, test.what)
			}
		})
	}
}

func TestCount(t *testing.T) {
	m := &manifest.Manifest{Entries: []manifest.Entry{
		{Path: ".", Type: manifest.Folder}, {Path: "a", Type: manifest.File, Size: 3}, {Path: "b", Type: manifest.File, Size: 4},
		{Path: "c", Type: manifest.Symlink, Link: "a"},
	}}
	if files, size := m.Count(); files != 2 || size != 7 {
		t.Errorf("%d files, %d bytes", files, size)
	}
	if m.Find("b") == nil || m.Find("b").Size != 4 || m.Find("bb") != nil || m.Find(".") == nil {
		t.Error("what is there is not found, or what is not there is")
	}
	if _, found := manifest.ParseHash(strings.Repeat("ab", 32)); !found {
		t.Error("a hash is refused")
	}
	for _, bad := range []string{"", "ab", strings.Repeat("AB", 32), strings.Repeat("zz", 32), strings.Repeat("ab", 33)} {
		if _, found := manifest.ParseHash(bad); found {
			t.Errorf("%q is taken for a hash", bad)
		}
	}
	if (manifest.Hash{}).String() != strings.Repeat("0", 64) {
		t.Error("a hash is printed in another way than sha256sum does")
	}
}
