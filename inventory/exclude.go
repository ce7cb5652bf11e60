package inventory

import (
	"regexp"
	"strings"
	"unicode"
)

// excludeHint lists the forms of patterns. They are those for which rsync's rules and a match by find
// on the path within the tree agree: no rule depends on another, and ** only stands for any depth.
const excludeHint = "allowed are /a/b (anchored, no wildcards), NAME and **/NAME and **/A/NAME " +
	"(at any depth; * and ? match within a component), " +
	"each with a / at the end for folders only"

// rulePrefix matches what rsync reads as a rule of another kind instead of as a pattern (man rsync,
// FILTER RULES).
var rulePrefix = regexp.MustCompile(`^(!|[-+:.HSPRDCM](,\S*)? |(merge|dir-merge|include|exclude|hide|show|protect|risk|clear) )`)

// checkExclude says what is wrong with an exclude pattern.
func checkExclude(s string) *fault { return checkTreePattern(s, "exclude pattern") }

// checkTreePattern says what is wrong with a pattern of paths within the tree, whatever it is for.
func checkTreePattern(s, what string) *fault {
	bad := func(offset int, why string) *fault {
		return faultf(excludeHint, "%s %s %s", what, quote(s), why).at(offset)
	}
	switch {
	case s == "":
		return bad(0, "is empty")
	case len(s) > maxPath:
		return bad(0, "is too long")
	case rulePrefix.MatchString(s):
		return bad(0, "would be read as a filter rule")
	case strings.TrimSpace(s) != s:
		return bad(0, "begins or ends with a space")
	}
	for i, r := range s {
		switch {
		case strings.ContainsRune(`[]\`, r):
			return bad(i, "holds "+quote(string(r)))
		case r == unicode.ReplacementChar || !unicode.IsPrint(r):
			return bad(i, "holds a character that cannot be printed")
		}
	}
	rest := strings.TrimSuffix(s, "/")
	anyDepth := strings.HasPrefix(rest, "**/")
	rest = strings.TrimPrefix(rest, "**/")
	anchored := strings.HasPrefix(rest, "/")
	switch {
	case anchored && anyDepth:
		return bad(0, "has an empty component")
	case anchored && strings.ContainsAny(rest, "*?"):
		return bad(strings.IndexAny(s, "*?"), "is anchored and has a wildcard")
	case !anchored && !anyDepth && strings.Contains(rest, "/"):
		return bad(0, "has a / inside, but does not say whether it is anchored (begin with /) or not (begin with **/)")
	}
	rest = strings.TrimPrefix(rest, "/")
	offset := strings.Index(s, rest)
	for component := range strings.SplitSeq(rest, "/") {
		switch {
		case component == "":
			return bad(offset, "has an empty component")
		case component == "." || component == "..":
			return bad(offset, "has a component "+component)
		case strings.Contains(component, "**"):
			return bad(offset, "has ** in a place other than the start")
		}
		offset += len(component) + 1
	}
	if strings.Trim(rest, "*") == "" {
		return bad(0, "matches the whole tree")
	}
	return nil
}
