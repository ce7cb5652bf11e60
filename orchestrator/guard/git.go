package guard

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/fleetsync/fleetsync/orchestrator/fanout"
	"github.com/fleetsync/fleetsync/orchestrator/manifest"
)

// gitArgs come before what git is to do. A repository's configuration can name programs that git then runs: hooks, fsmonitor,
// filters and diffs. The first two are turned off here. The others only run where git looks at the content of files, as git
// status does and ls-files does not, so that is what is asked. A repository that is named, instead of one that
// git looks for, is neither refused for its owner nor looked for further up if it is broken.
var gitArgs = []string{"--no-optional-locks", "--no-replace-objects", "--git-dir=.git", "--work-tree=.", "-c", "core.fsmonitor=", "-c",
	"core.hooksPath=/dev/null"}

// unfinished are the files and folders in a repository that tell what somebody is in the middle of.
var unfinished = []struct{ name, what string }{
	{"MERGE_HEAD", "a merge"},
	{"rebase-merge", "a rebase"},
	{"rebase-apply", "a rebase, or git am,"},
	{"CHERRY_PICK_HEAD", "a cherry-pick"},
	{"REVERT_HEAD", "a revert"},
}

// checkout is what git said of one.
type checkout struct {
	dir        string
	gitDir     string   // absolute
	untracked  []string // like all paths here, relative to the tree
	missing    []string
	unmerged   []string
	submodules []string
	err        error
}

// audit judges the checkouts in a tree.
func audit(ctx context.Context, t Tree, m *manifest.Manifest, allowed []string) (refused, warned []Finding, err error) {
	dirs, err := t.Checkouts(ctx)
	if err != nil || len(dirs) == 0 {
		return nil, nil, err
	}
	checkouts := make([]checkout, len(dirs))
	fanout.Each(ctx, 4, dirs, func(ctx context.Context, i int, dir string) { checkouts[i] = ask(ctx, t, dir) })
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	begun, err := begunIn(ctx, t, checkouts)
	if err != nil {
		return nil, nil, err
	}

	var (
		failed    = &findings{rule: RuleGit, hint: "see that git is installed and can read the checkout, or repair it"}
		middle    = &findings{rule: RuleUnfinished, hint: "finish or abort what was begun in it"}
		submodule = &findings{rule: RuleSubmodule, hint: "run git submodule update --init --recursive in its checkout"}
		untracked = &findings{rule: RuleUntracked, hint: "commit or delete it, or allow it with guard.untracked in the policy"}
		missing   = &findings{rule: RuleMissing, hint: "git checkout brings it back, git rm says that it is meant"}
	)
	may := manifest.Excluded(allowed)
	for i, c := range checkouts {
		if c.err != nil {
			failed.add(c.dir, "is a checkout that cannot be audited: "+c.err.Error())
			continue
		}
		for _, what := range begun[i] {
			middle.add(c.dir, "is a checkout in the middle of "+what)
		}
		for _, p := range c.unmerged {
			middle.add(p, "has a conflict that is not resolved")
		}
		for _, p := range c.submodules {
			// What is excluded is not synced, initialised or not.
			_, initialised := slices.BinarySearch(dirs, p)
			if !initialised && (m.Find(p) != nil || slices.Contains(c.missing, p)) {
				submodule.add(p, "is a submodule that is not initialised")
			}
		}
		for _, p := range c.untracked {
			e := m.Find(p)
			if e != nil && !may(p, e.Type == manifest.Folder) {
				untracked.add(p, "is not known to git")
			}
		}
		for _, p := range c.missing {
			missing.add(p, "is known to git, and not there")
		}
	}
	return slices.Concat(failed.all(), middle.all(), submodule.all(), untracked.all()), missing.all(), nil
}

// ask asks git about one checkout.
func ask(ctx context.Context, t Tree, dir string) checkout {
	c := checkout{dir: dir}
	git := func(args ...string) string {
		if c.err != nil {
			return ""
		}
		var out []byte
		out, c.err = t.Git(ctx, dir, append(slices.Clone(gitArgs), args...)...)
		return string(out)
	}
	c.gitDir = strings.TrimSuffix(git("rev-parse", "--absolute-git-dir"), "\n")
	if c.err == nil && !path.IsAbs(c.gitDir) {
		c.err = errors.New("git does not say where its repository is")
	}
	c.others(git("ls-files", "-z", "-t", "--others", "--deleted", "--exclude-standard"))
	c.staged(git("ls-files", "-z", "--stage"))
	return c
}

var errGit = errors.New("git printed what it never prints")

// others reads what ls-files -z -t prints of files that are untracked (?) or deleted (R).
func (c *checkout) others(out string) {
	for record := range records(out) {
		tag, name, found := strings.Cut(record, " ")
		p, valid := c.below(name)
		switch {
		case !found || !valid:
			c.err = errGit
			return
		case tag == "?":
			c.untracked = append(c.untracked, p)
		case tag == "R":
			c.missing = append(c.missing, p)
		}
	}
}

// staged reads what ls-files -z --stage prints: mode, object and stage, then a tab and the path.
func (c *checkout) staged(out string) {
	for record := range records(out) {
		about, name, found := strings.Cut(record, "\t")
		fields := strings.Fields(about)
		p, valid := c.below(name)
		if !found || !valid || len(fields) != 3 {
			c.err = errGit
			return
		}
		if fields[2] != "0" {
			if n := len(c.unmerged); n == 0 || c.unmerged[n-1] != p { // one for each side
				c.unmerged = append(c.unmerged, p)
			}
		}
		if fields[0] == "160000" {
			c.submodules = append(c.submodules, p)
		}
	}
}

func records(out string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for out != "" {
			record, rest, _ := strings.Cut(out, "\x00")
			if !yield(record) {
				return
			}
			out = rest
		}
	}
}

// below returns a path in the checkout as one in the tree. A checkout within a checkout has a slash at its end.
func (c *checkout) below(name string) (string, bool) {
	p := path.Join(c.dir, name)
	return p, name != "" && !path.IsAbs(name) && p != ".." && !strings.HasPrefix(p, "../")
}

// begunIn returns what somebody is in the middle of, for each checkout. Nothing is asked of those that failed.
func begunIn(ctx context.Context, t Tree, checkouts []checkout) ([][]string, error) {
	var paths []string
	for _, c := range checkouts {
		for _, u := range unfinished {
			if c.err == nil {
				paths = append(paths, path.Join(c.gitDir, u.name))
			}
		}
	}
	begun := make([][]string, len(checkouts))
	if len(paths) == 0 {
		return begun, nil
	}
	there, err := t.Exists(ctx, paths...)
	if err != nil {
		return nil, err
	}
	if len(there) != len(paths) {
		return nil, errors.New("not every path that was asked about was answered")
	}
	for i, c := range checkouts {
		for _, u := range unfinished {
			if c.err != nil {
				continue
			}
			if there[0] {
				begun[i] = append(begun[i], u.what)
			}
			there = there[1:]
		}
	}
	return begun, nil
}
