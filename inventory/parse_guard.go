package inventory

import (
	"fmt"
	"regexp"
	"strconv"

	"gopkg.in/yaml.v3"
)

func (p *policyParser) readGuard(n *yaml.Node) {
	g := &p.policy.Guard
	p.mapping(n, "guard", keys{
		"required":    func(n *yaml.Node) { g.Required = p.readRequired(n) },
		"provisioned": p.textInto(&g.Provisioned, checkMarker),
		"max_delete":  p.amountInto(&g.MaxDelete, "files"),
		"max_shrink":  p.shareInto(&g.MaxShrink),
		"owners":      p.textsInto(&g.Owners, "owners", checkOwner),
		"git":         p.readGit,
		"min_free":    p.sizeInto(&g.MinFree),
		"sparse":      p.flagInto(&g.Sparse),
	})
}

// readRequired reads a list of files, each a path or a mapping, none of them twice: of two patterns
// for one file somebody would believe that only the one in sight holds.
func (p *policyParser) readRequired(n *yaml.Node) []Required {
	var required []Required
	first := map[string]int{} // path → line
	for _, item := range p.items(n, "required") {
		var r Required
		at := item
		readPath := p.textInto(&r.Path, checkTreePath)
		if item.Kind == yaml.MappingNode {
			p.mapping(item, "a required file", keys{
				"path":  func(n *yaml.Node) { at = n; readPath(n) },
				"match": p.textInto(&r.Match, checkMatch),
			}, "path")
		} else {
			readPath(item)
		}
		if r.Path == "" {
			continue // reported already
		}
		if line, again := first[r.Path]; again {
			p.report(at, fmt.Sprintf("the first is on line %d; keep one of them", line), "duplicate required file %s", quote(r.Path))
			continue
		}
		first[r.Path] = at.Line
		required = append(required, r)
	}
	return required
}

// readGit reads either whether checkouts are audited, or how.
func (p *policyParser) readGit(n *yaml.Node) {
	g := &p.policy.Guard
	if n.Kind != yaml.MappingNode {
		if n.Kind != yaml.ScalarNode || n.Value != "true" && n.Value != "false" {
			p.reportKind(n, "git must be true, false or a mapping", "write false for no audit, or {untracked: [PATTERN, …]}")
			return
		}
		p.flagInto(&g.Git)(n)
		return
	}
	p.mapping(n, "git", keys{
		"untracked": p.textsInto(&g.Untracked, "untracked", checkUntracked),
	})
}

// checkMarker says what is wrong with the path of the file that tells that a master is provisioned. It
// may be in a folder of the system: nobody syncs it, and it is best kept out of what is synced.
func checkMarker(s string) *fault {
	if s == "" || s[0] != '/' || s == "/" {
		return faultf("write the absolute path of a file on a master, outside of the tree", "path %s is not that of a file", quote(s))
	}
	if f := checkPrintable(s); f != nil {
		return f
	}
	return checkComponents(s)
}

// checkTreePath says what is wrong with the path of a file within the tree.
func checkTreePath(s string) *fault {
	const hint = "write the path as it is within the tree, without a / before it: wmf-config/InitialiseSettings.php"
	switch {
	case s == "" || s == ".":
		return faultf(hint, "path %s is not that of a file", quote(s))
	case s[0] == '/':
		return faultf(hint, "path %s is absolute", quote(s))
	}
	if f := checkPrintable(s); f != nil {
		return f
	}
	return checkComponents(s)
}

// checkMatch says what is wrong with the pattern of a required file's content.
func checkMatch(s string) *fault {
	if s == "" {
		return faultf("leave the key out: every required file must hold something", "the pattern is empty")
	}
	return checkPattern(s)
}

// checkUntracked says what is wrong with a pattern of files that git need not know.
func checkUntracked(s string) *fault { return checkTreePattern(s, "pattern") }

// userID matches the number of an account, as far as its digits tell.
var userID = regexp.MustCompile(`^(0|[1-9][0-9]{0,9})$`)

// maxUserID is the last number of an account: the next one is (uid_t)-1, which means none (chown(2)).
const maxUserID = 1<<32 - 2

// checkOwner says what is wrong with a user who may own files: a name, or a number that need not have one.
func checkOwner(s string) *fault {
	if userID.MatchString(s) {
		if id, err := strconv.ParseUint(s, 10, 64); err == nil && id <= maxUserID {
			return nil
		}
	}
	if f := checkUser(s); f != nil {
		return faultf("write the user's name or number, such as mwdeploy or 33", "bad user %s", quote(s))
	}
	return nil
}
