package manifest

import "strings"

// exclude is a pattern that leaves paths out of a tree as rsync's --exclude does. It has one of the forms that an
// inventory allows: /a/b, NAME, **/NAME or **/A/NAME, each with a / at the end if it is for folders only. For these, a
// path is left out if it, or a folder that it is in, ends with the pattern's components, or is them if it is anchored.
type exclude struct {
	anchored   string      // the whole path, without wildcards; else:
	components []component // the last ones
	folder     bool        // only folders match
}

func parseExcludes(patterns []string) []exclude {
	var all []exclude
	for _, s := range patterns {
		var e exclude
		s, e.folder = strings.CutSuffix(s, "/")
		if rest, anchored := strings.CutPrefix(s, "/"); anchored {
			e.anchored = rest
		} else {
			for c := range strings.SplitSeq(strings.TrimPrefix(s, "**/"), "/") {
				e.components = append(e.components, newComponent(c))
			}
		}
		all = append(all, e)
	}
	return all
}

// Excluded returns a function that tells whether a tree leaves a path out, because a pattern matches it or a folder
// that it is in. The path is relative to the tree; folder tells whether it is one. The function may be called by
// several goroutines at once. The patterns must be such as an inventory allows.
func Excluded(patterns []string) func(path string, folder bool) bool {
	all := parseExcludes(patterns)
	return func(path string, folder bool) bool {
		if path == "." {
			return false // rsync filters what is in the tree, not the tree (measured with 3.5.0)
		}
		for i := range all {
			if all[i].match(path, folder) {
				return true
			}
		}
		return false
	}
}

// ExcludedHere is Excluded for paths that are in a folder which is known not to be left out. It does not look at all the
// folders above it again, which is most of what Excluded does.
func ExcludedHere(patterns []string) func(path string, folder bool) bool {
	all := parseExcludes(patterns)
	return func(path string, folder bool) bool {
		if path == "." {
			return false
		}
		for i := range all {
			if all[i].matchItself(path, folder) {
				return true
			}
		}
		return false
	}
}

func (e *exclude) match(path string, folder bool) bool {
	// From the path itself up to the folder at its top.
	for end := len(path); end > 0; end = strings.LastIndexByte(path[:end], '/') {
		if e.matchItself(path[:end], folder) {
			return true
		}
		folder = true
	}
	return false
}

// matchItself tells whether the pattern matches the path, and not only a folder that it is in.
func (e *exclude) matchItself(path string, folder bool) bool {
	switch {
	case e.folder && !folder:
		return false
	case e.anchored != "":
		return path == e.anchored
	}
	return e.matchEnd(path)
}

// matchEnd tells whether the path ends with the components of the pattern.
func (e *exclude) matchEnd(path string) bool {
	for i := len(e.components) - 1; i >= 0; i-- {
		slash := strings.LastIndexByte(path, '/')
		if !e.components[i].match(path[slash+1:]) {
			return false
		}
		if slash < 0 {
			return i == 0
		}
		path = path[:slash]
	}
	return true
}

// component matches a name. A tree has many names, and most patterns are plain or end plainly after one *.
type component struct {
	pattern string // with the wildcards * and ?
	plain   bool   // without
	suffix  string // after the only wildcard, which is a * and comes first; or empty
}

func newComponent(pattern string) component {
	c := component{pattern: pattern, plain: !strings.ContainsAny(pattern, "*?")}
	if suffix, found := strings.CutPrefix(pattern, "*"); found && !strings.ContainsAny(suffix, "*?") {
		c.suffix = suffix
	}
	return c
}

// match compares bytes, as rsync does, and find under LC_ALL=C.
func (c *component) match(name string) bool {
	switch {
	case c.plain:
		return name == c.pattern
	case c.suffix != "":
		return strings.HasSuffix(name, c.suffix)
	}
	return matchWildcards(c.pattern, name)
}

func matchWildcards(pattern, name string) bool {
	star, retry := -1, 0 // the last * seen, and what of the name it may swallow up to
	p, n := 0, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, retry = p, n
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			p++
			n++
		case star >= 0:
			retry++
			p, n = star+1, retry
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// expression returns a regular expression, for find's -regextype posix-extended, that what the pattern matches
// matches as a whole.
func (e *exclude) expression() string {
	if e.anchored != "" {
		return `\./` + quote.Replace(e.anchored)
	}
	all := `\./(.*/)?`
	for i, c := range e.components {
		if i > 0 {
			all += "/"
		}
		all += wildcards.Replace(quote.Replace(c.pattern))
	}
	return all
}

var (
	quote = strings.NewReplacer(`\`, `\\`, `.`, `\.`, `[`, `\[`, `+`, `\+`, `{`, `\{`, `(`, `\(`, `)`, `\)`, `|`, `\|`, `^`, `\^`, `$`, `\$`)
	// Neither matches a slash, as in rsync.
	wildcards = strings.NewReplacer(`*`, `[^/]*`, `?`, `[^/]`)
)
