package manifest_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/fleetsync/fleetsync/orchestrator/manifest"
)

// What rsync copies, what find lists and what the function lets through are the same paths, for the whole tree and for
// what is below any path of it.
//
// Seen to fail with: ? or * that match a slash; a special character that is not escaped; folders-only patterns that
// match files, with or without a look at the folders above; an anchored pattern that matches what begins like it;
// what is below an excluded starting point listed; the tree itself matched; a locale of UTF-8.
func TestExcludesAreThoseOfRsync(t *testing.T) {
	need(t, "rsync", "find")
	check(t, 60, func(t *rapid.T) {
		source, destination := temp(t), temp(t)
		all := drawTree(t, source)
		excludes := drawExcludes(t, all)
		args := []string{"rsync", "-a"}
		for _, p := range excludes {
			args = append(args, "--exclude="+p)
		}
		run(t, "/", nil, append(args, source+"/", destination+"/")...)
		want := walk(t, destination, nil)

		if got := paths(list(t, source, []string{"."}, excludes)); !slices.Equal(got, want) {
			t.Fatalf("exclude %q: find lists %q, rsync copies %q", excludes, got, want)
		}
		excluded := manifest.Excluded(excludes)
		if got := walk(t, source, excluded); !slices.Equal(got, want) {
			t.Fatalf("exclude %q: the function lets %q through, rsync copies %q", excludes, got, want)
		}
		if got := walk(t, source, manifest.ExcludedHere(excludes)); !slices.Equal(got, want) {
			t.Fatalf("exclude %q: looking at no folder above, the function lets %q through, rsync copies %q", excludes, got, want)
		}
		// Without pruning on the way, so that what is below an excluded folder is asked for too.
		var through []string
		folders := map[string]bool{}
		for _, e := range list(t, source, []string{"."}, nil).Entries {
			folders[e.Path] = e.Type == manifest.Folder
			if !excluded(e.Path, e.Type == manifest.Folder) {
				through = append(through, e.Path)
			}
		}
		if !slices.Equal(sorted(through), want) {
			t.Fatalf("exclude %q: asked for each path, the function lets %q through, rsync copies %q", excludes, through, want)
		}
		if len(all) == 0 {
			return
		}
		chosen := rapid.SliceOfN(rapid.SampledFrom(all), 1, 4).Draw(t, "chosen")
		starts, err := manifest.Starts(chosen)
		if err != nil {
			t.Fatal(err)
		}
		var below []string
		for _, p := range want {
			if slices.ContainsFunc(chosen, func(c string) bool { return p == c || len(p) > len(c) && p[:len(c)+1] == c+"/" }) {
				below = append(below, p)
			}
		}
		if got := paths(list(t, source, starts, excludes)); !slices.Equal(got, below) {
			t.Fatalf("exclude %q: from %q find lists %q, rsync copies %q", excludes, starts, got, below)
		}
	})
}

func TestExcluded(t *testing.T) {
	tests := []struct {
		pattern, path string
		folder, want  bool
	}{
		{"*.go", "a/x.go", false, true},
		{"*.go", "a/x.go/y", false, true},
		{"*.go", "a/x.goo", false, false},
		{"?", "é", false, false}, // two bytes
		{"??", "é", false, true},
		{"cache/", "cache", false, false},
		{"cache/", "cache", true, true},
		{"cache/", "cache/x", false, true},
		{"/a/b", "a/b", false, true},
		{"/a/b", "a/bc", false, false},
		{"/a/b", "x/a/b", false, false},
		{"**/a/b", "a/b", false, true},
		{"**/a/b", "x/a/b/c", false, true},
		{"**/a/b", "b", false, false},
		{"a*b*c", "aXbXXbc", false, true},
		{"a*b*c", "aXbXXcb", false, false},
		{"**", "a", false, true},
		{"?", ".", true, false},
	}
	for _, test := range tests {
		if got := manifest.Excluded([]string{test.pattern})(test.path, test.folder); got != test.want {
			t.Errorf("%q excludes %q: %t, want %t", test.pattern, test.path, got, test.want)
		}
	}
}
