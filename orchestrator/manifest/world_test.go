package manifest_test

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/fleetsync/fleetsync/orchestrator/manifest"
)

// check runs a property as often as the test affords, unless -rapid.checks says how often.
func check(t *testing.T, checks int, property func(*rapid.T)) {
	t.Helper()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given {
		if err := flag.Set("rapid.checks", fmt.Sprint(checks)); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = flag.Set("rapid.checks", "100") }()
	}
	rapid.Check(t, property)
}

// need skips the test if a program is missing; in CI it fails.
func need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

// names are what makes trouble, and what the patterns match.
var names = []string{
	"a", "b", "ab", "a.b", "a-b", "a b", ".git", ".a", "x.cdb", "x.cdb~", "cache", "l10n", "-a", "--delete", "a\nb", "\n", "*", "?", "a*",
	"a?", "**",
	"[a]", "(a)", "a|b", "a+", "{1}", "^a", "a$", "$", "\\", "\\a", "a\\nb", "é", "\xc3", "\xff\xfe", "\x01", " ", "'", `"`, "#", ";", "~",
	"...", "+ a", "./"[:1] + "x",
}

// drawTree makes a tree below the folder and returns its paths, without the folder.
func drawTree(t *rapid.T, root string) []string {
	folders, taken := []string{""}, map[string]bool{}
	var files, all []string
	for range rapid.IntRange(0, 40).Draw(t, "entries") {
		name := filepath.Join(rapid.SampledFrom(folders).Draw(t, "folder"), rapid.SampledFrom(names).Draw(t, "name"))
		if taken[name] {
			continue
		}
		taken[name] = true
		all = append(all, name)
		path := root + "/" + name
		var err error
		kind := rapid.SampledFrom([]string{"folder", "folder", "file", "file", "symlink", "fifo", "link", "socket"}).Draw(t, "kind")
		switch kind {
		case "folder":
			folders = append(folders, name)
			err = os.Mkdir(path, 0o755)
		case "link":
			if len(files) > 0 {
				err = os.Link(root+"/"+rapid.SampledFrom(files).Draw(t, "first"), path)
				break
			}
			fallthrough
		case "file":
			files = append(files, name)
			err = os.WriteFile(path, make([]byte, rapid.IntRange(0, 5000).Draw(t, "size")), 0o644)
		case "symlink":
			err = os.Symlink(rapid.SampledFrom([]string{"a", "/", "..", "a//b", " a\n", "\xff", "././/"}).Draw(t, "target"), path)
		case "fifo":
			err = syscall.Mkfifo(path, 0o600)
		case "socket":
			err = syscall.Mknod(path, syscall.S_IFSOCK|0o644, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		if kind == "symlink" {
			continue
		}
		if err := syscall.Chmod(path, rapid.Uint32Range(0, 0o7777).Draw(t, "mode")); err != nil {
			t.Fatal(err)
		}
		if kind == "folder" && os.Geteuid() != 0 {
			err = syscall.Chmod(path, 0o700)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range all {
		if rapid.Bool().Draw(t, "touched") {
			// ext4 keeps 34 bits of seconds; what 64 bits of nanoseconds hold ends in 2262.
			seconds := rapid.Int64Range(-2_000_000_000, 9_000_000_000).Draw(t, "seconds")
			nanos := rapid.SampledFrom([]int64{0, 1, 100_000_000, 999_999_999}).Draw(t, "nanos")
			stamp := unix.Timespec{Sec: seconds, Nsec: nanos}
			if err := unix.UtimesNanoAt(unix.AT_FDCWD, root+"/"+name, []unix.Timespec{stamp, stamp}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
				t.Fatal(err)
			}
		}
	}
	return all
}

// drawExcludes draws patterns of each form that an inventory allows.
func drawExcludes(t *rapid.T, paths []string) []string {
	var patterns []string
	// Only what an inventory takes can be part of a pattern.
	plain := slices.DeleteFunc(slices.Clone(paths), func(p string) bool {
		return p != strings.TrimSpace(p) || strings.ContainsAny(p, `*?[]\`) ||
			strings.ContainsFunc(p, func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) })
	})
	for range rapid.IntRange(0, 4).Draw(t, "patterns") {
		component := func() string {
			if len(plain) == 0 || rapid.IntRange(0, 3).Draw(t, "made up") == 0 {
				return rapid.SampledFrom([]string{".*", "*.cdb", "a*", "?", "?*", "*?", "a?b", "*a*", "??", "*b", "-a", "--*", "...", "*.*",
					"a*b"}).Draw(t, "component")
			}
			p := rapid.SampledFrom(plain).Draw(t, "like")
			c := strings.Split(p, "/")
			if len(c) > 1 && rapid.Bool().Draw(t, "across") {
				// A wildcard where the slash is must not match.
				return c[len(c)-2] + rapid.SampledFrom([]string{"?", "*"}).Draw(t, "wildcard") + c[len(c)-1]
			}
			name := []byte(c[len(c)-1])
			switch i := rapid.IntRange(0, 3*len(name)).Draw(t, "at"); {
			case i < len(name) && name[i] < 0x80:
				name[i] = '?'
			case i < 2*len(name) && name[i%len(name)] < 0x80:
				name[i%len(name)] = '*'
			}
			if all := string(name); strings.Trim(all, "*") != "" && !strings.Contains(all, "**") && utf8.ValidString(all) {
				return all
			}
			return "a"
		}
		var p string
		switch rapid.SampledFrom([]string{"anchored", "name", "any name", "any path"}).Draw(t, "form") {
		case "anchored":
			p = "/a"
			if len(plain) > 0 {
				p = "/" + rapid.SampledFrom(plain).Draw(t, "path")
			}
		case "name":
			// What rsync would read as a rule (+ a), or as the end of one, an inventory refuses.
			if p = component(); strings.Contains(p, " ") || p == "!" {
				p = "a*"
			}
		case "any name":
			p = "**/" + component()
		case "any path":
			p = "**/" + component() + "/" + component()
		}
		if rapid.Bool().Draw(t, "folders only") {
			p += "/"
		}
		patterns = append(patterns, p)
	}
	return patterns
}

// walk returns the paths of a tree as the standard library finds them.
func walk(t *rapid.T, root string, skip func(path string, folder bool) bool) []string {
	var all []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		path = strings.TrimPrefix(strings.TrimPrefix(path, root), "/")
		if path == "" {
			path = "."
		}
		if skip != nil && skip(path, d.IsDir()) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		all = append(all, path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return sorted(all)
}

func sorted(paths []string) []string {
	slices.Sort(paths)
	return paths
}

// temp returns a folder that is gone when the check is over.
func temp(t *rapid.T) string {
	dir, err := os.MkdirTemp("", "manifest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// run runs a program with LC_ALL=C, and returns what it printed.
func run(t *rapid.T, dir string, stdin []byte, args ...string) []byte {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "LC_ALL=C")
	if stdin != nil {
		cmd.Stdin = strings.NewReader(string(stdin))
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%q: %v: %s", args, err, stderr.String())
	}
	return out
}

// list returns the manifest of what find lists from the starting points on.
func list(t *rapid.T, root string, starts, excludes []string) *manifest.Manifest {
	args := append(append([]string{"find"}, starts...), manifest.Expression(excludes, manifest.ListFormat)...)
	m, err := manifest.Parse(strings.NewReader(string(run(t, root, nil, args...))))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func paths(m *manifest.Manifest) []string {
	var all []string
	for _, e := range m.Entries {
		all = append(all, e.Path)
	}
	return sorted(all)
}

var someTime = time.Date(2016, 2, 2, 21, 0, 0, 5, time.UTC).UnixNano()
