package rsync

import (
	"path"
	"strings"
)

// rules returns the filter rules that restrict a sync to p.Paths, nil for the whole tree. They are
// rules and not --files-from because only so (measured, 3.5.0) excludes hold for what is below an
// excluded directory, a vanished path inside a vanished directory is no warning, and nothing is
// expanded by the daemon.
func (p Pull) rules() []byte {
	var rules []string
	seen := map[string]bool{}
	add := func(rule string) {
		if !seen[rule] {
			seen[rule] = true
			rules = append(rules, rule)
		}
	}
	for _, name := range p.Paths {
		name = path.Clean(name)
		if name == "." {
			return nil
		}
		for i, c := range []byte(name) {
			if c == '/' {
				add("+ /" + pattern(name[:i]) + "/")
			}
		}
		add("+ /" + pattern(name))
		add("+ /" + escape(name) + "/**")
	}
	if rules == nil {
		return nil
	}
	return []byte(strings.Join(append(rules, "- *"), "\n") + "\n")
}

// pattern returns the pattern that matches name alone. A backslash escapes only in a pattern that
// has a wildcard, else it is literal (rsync(1), pattern matching rules).
func pattern(name string) string {
	if !strings.ContainsAny(name, "*?[") {
		return name
	}
	return escape(name)
}

func escape(name string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(name)
}
