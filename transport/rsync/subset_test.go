package rsync_test

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fleetsync/fleetsync/transport/rsync"
	"github.com/fleetsync/fleetsync/transport/transporttest"
)

// Names that rsync, its filter rules or its daemon could read otherwise.
var (
	dirNames  = []string{"d", "-d", "d d", "d*", "d?", "[d]", `d\`, `\*d`, "#d", ";d", "d@x", "d:x", "+ d", "ex", "\xff\xfe", "d**"}
	fileNames = []string{"f", "-f", "f f ", "f*", "f?", "f[a-z]", `f\*`, "#f", "fa", "faa", "!", "f:", "..f", "x.swp", "\xe9", "'"}
)

type subset struct {
	src, dst map[string]string
	paths    []string
}

var subsets = rapid.Custom(func(t *rapid.T) subset {
	name := rapid.Custom(func(t *rapid.T) string {
		dirs := rapid.SliceOfN(rapid.SampledFrom(dirNames), 0, 3).Draw(t, "dirs")
		return strings.Join(append(dirs, rapid.SampledFrom(fileNames).Draw(t, "file")), "/")
	})
	names := rapid.SliceOfNDistinct(name, 4, 40, func(s string) string { return s }).Draw(t, "names")
	s := subset{src: map[string]string{}, dst: map[string]string{}}
	for i, n := range names {
		where := rapid.IntRange(0, 3).Draw(t, "where")
		// Sizes differ between the sides: rsync looks at size and time.
		if where != 0 {
			s.src[n] = strings.Repeat("s", 2*i+1)
		}
		if where != 1 {
			s.dst[n] = strings.Repeat("d", 2*i+2)
		}
		for range rapid.IntRange(0, 4).Draw(t, "named") {
			if rapid.IntRange(0, 9).Draw(t, "this") == 0 {
				parts := strings.Split(n, "/")
				s.paths = append(s.paths, strings.Join(parts[:rapid.IntRange(1, len(parts)).Draw(t, "part")], "/"))
			}
		}
	}
	if s.paths == nil {
		s.paths = []string{names[0]}
	}
	return s
})

// want says what the destination must be after s, without asking rsync.
func (s subset) want() map[string]string {
	touched := func(name string) bool {
		for part := range strings.SplitSeq(name, "/") {
			if strings.HasSuffix(part, ".swp") {
				return false
			}
		}
		if strings.HasPrefix(name, "ex/") {
			return false
		}
		for _, p := range s.paths {
			if name == p || strings.HasPrefix(name, p+"/") {
				return true
			}
		}
		return false
	}
	want := map[string]string{}
	for name, content := range s.dst {
		if !touched(name) {
			want[name] = content
		}
	}
	for name, content := range s.src {
		if touched(name) {
			want[name] = content
		}
	}
	return want
}

// TestSubset: a subset changes exactly what it names. Planted faults seen to fail it: no escape of
// wildcards, escape in patterns without wildcards, no parents' rules, no last exclude, excludes
// after the subset's rules.
func TestSubset(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	source := transporttest.StartRsyncd(t, "common", src)
	for seed := range 25 {
		s := subsets.Example(seed)
		p := here(t, source)
		p.Exclude, p.Paths = []string{"*.swp", "/ex"}, s.paths
		empty(t, src)
		write(t, src, s.src)
		write(t, p.Destination, s.dst)
		if _, err := rsync.Sync(t.Context(), local, p, rsync.Watch{}); err != nil {
			t.Fatalf("seed %d: %q: %v", seed, s.paths, err)
		}
		if diff := cmp.Diff(s.want(), read(t, p.Destination)); diff != "" {
			t.Fatalf("seed %d: %q:\n%s", seed, s.paths, diff)
		}
	}
}

func empty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSubsetKinds(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	write(t, src, map[string]string{"was-dir": "f", "was-file/x": "f", "sub/x": "f", "else": "f", "a/b/c": "f"})
	source := transporttest.StartRsyncd(t, "common", src)
	old := map[string]string{"was-dir/x": "dd", "was-file": "dd", "sub": "dd", "else": "dd", "other/x": "dd"}
	for _, test := range []struct {
		name   string
		paths  []string
		change map[string]string // to old; "" is gone
	}{
		{"a directory becomes a file", []string{"was-dir"}, map[string]string{"was-dir/x": "", "was-dir": "f"}},
		{"a file becomes a directory", []string{"was-file"}, map[string]string{"was-file": "", "was-file/x": "f"}},
		{"a parent was a file", []string{"sub/x"}, map[string]string{"sub": "", "sub/x": "f"}},
		{"parents are made", []string{"a/b/c"}, map[string]string{"a/b/c": "f"}},
		{"named as people type it", []string{"./else", "was-file/", "a//b"}, map[string]string{"else": "f", "was-file": "",
			"was-file/x": "f", "a/b/c": "f"}},
		{"neither side has it", []string{"no", "no/no"}, nil},
		{"the whole tree", []string{"no", "."}, map[string]string{"was-dir/x": "", "was-dir": "f", "was-file": "", "was-file/x": "f",
			"sub": "", "sub/x": "f", "else": "f", "a/b/c": "f", "other/x": ""}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := here(t, source)
			p.Paths = test.paths
			write(t, p.Destination, old)
			want := maps.Clone(old)
			maps.Copy(want, test.change)
			maps.DeleteFunc(want, func(_, content string) bool { return content == "" })
			if _, err := rsync.Sync(t.Context(), local, p, rsync.Watch{}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, read(t, p.Destination)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
