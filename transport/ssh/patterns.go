package ssh

import (
	"strings"
)

// matchesHost is the test of a Host line: a pattern with a ! that matches ends it.
func matchesHost(host string, patterns []string) applies {
	found := appliesNot
	for _, p := range patterns {
		if not, ok := strings.CutPrefix(p, "!"); ok {
			if wildcard(not, host) {
				return appliesNot
			}
		} else if wildcard(p, host) {
			found = appliesYes
		}
	}
	return found
}

// wildcard tells whether s matches pattern, where * is any text and ? any byte (ssh_config(5), PATTERNS).
func wildcard(pattern, s string) bool {
	p, i := 0, 0
	star, mark := -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
