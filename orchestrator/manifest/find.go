package manifest

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Format is what find prints of an entry; each record ends with a NUL.
type Format string

// The formats.
const (
	// ListFormat is all that Parse reads.
	ListFormat Format = "list"
	// DigestFormat is what Digest is a digest of, once it is sorted by its bytes: find | sort -z | sha256sum.
	DigestFormat Format = "digest"
)

// A path that find prints never holds two slashes in succession, if no starting point does: the first two separate it
// from what follows.
const listRecord = `%y %m %s %T@ %C@ %D %i %n %U %G %b %p//%l\0`

// Expression returns what find's arguments are after the starting points: an expression that prints, in the format,
// every path of the tree that is not excluded. The patterns must be such as an inventory allows; they leave out
// what rsync leaves out, also when a starting point is below something that is excluded.
//
// find must be GNU's, run in the tree's folder with LC_ALL=C, with starting points as Starts returns them. An argument
// may hold any character: they are not quoted for a shell.
func Expression(patterns []string, format Format) []string {
	args := []string{"-regextype", "posix-extended"}
	// What is below a match is excluded too. find does not look there; this is for a starting point that is there already.
	var both, folders []string
	for _, e := range parseExcludes(patterns) {
		if e.folder {
			folders = append(folders, e.expression())
		} else {
			both = append(both, e.expression())
		}
	}
	if len(both) > 0 {
		args = append(args, "-regex", "("+strings.Join(both, "|")+")(/.*)?", "-prune", "-o")
	}
	if len(folders) > 0 {
		all := "(" + strings.Join(folders, "|") + ")"
		args = append(args, "-type", "d", "-regex", all, "-prune", "-o", "-regex", all+"/.*", "-prune", "-o")
	}
	switch format {
	case ListFormat:
		return append(args, "-printf", listRecord)
	case DigestFormat:
		return append(args,
			"-type", "f", "-printf", `%p//f %m %s %T@\0`, "-o",
			"-type", "d", "-printf", `%p//d %m\0`, "-o",
			"-type", "l", "-printf", `%p//l %l\0`, "-o",
			"-printf", `%p//%y %m\0`)
	}
	return args
}

// Starts returns find's starting points for the paths, which are relative to the tree: each once, without those that
// another one holds. No paths at all mean the whole tree. A path that is not within the tree is an error.
func Starts(paths []string) ([]string, error) {
	reduced, err := reduce(paths)
	if err != nil {
		return nil, err
	}
	if reduced == nil {
		return []string{"."}, nil
	}
	for i, p := range reduced {
		reduced[i] = "./" + p
	}
	return reduced, nil
}

// reduce returns the paths cleaned, sorted as their entries are, and without those that another one holds; nil for
// the whole tree.
func reduce(paths []string) ([]string, error) {
	all := make([]string, 0, len(paths))
	for _, p := range paths {
		clean := path.Clean(p)
		switch {
		case p == "" || strings.IndexByte(p, 0) >= 0 || clean[0] == '/' || clean == ".." || strings.HasPrefix(clean, "../"):
			return nil, fmt.Errorf("path %s is not within the tree", neutral(p))
		case clean == ".":
			return nil, nil
		}
		all = append(all, clean)
	}
	if len(all) == 0 {
		return nil, nil
	}
	slices.Sort(all)
	kept := all[:0]
	for _, p := range slices.Compact(all) {
		if !within(p, kept) {
			kept = append(kept, p)
		}
	}
	return kept, nil
}

// within tells whether the path is one of the sorted paths, or below one.
func within(p string, paths []string) bool {
	for end := len(p); end > 0; end = strings.LastIndexByte(p[:end], '/') {
		if _, found := slices.BinarySearch(paths, p[:end]); found {
			return true
		}
	}
	return false
}

// neutral quotes a path for a message: without control characters, and bounded.
func neutral(s string) string {
	const most = 200
	if len(s) > most {
		return fmt.Sprintf("%+q… (%d bytes)", s[:most], len(s))
	}
	return fmt.Sprintf("%+q", s)
}
