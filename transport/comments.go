package transport

import "strings"

// Terse returns a script of ours without what only people read: comments of whole lines, indentation by tabs, and lines without a
// word. A script travels with each command to each host, quoted for one shell within another, which makes many bytes of each
// quote. It must have no such line within quotes whose value matters.
func StripComments(script string) string {
	var out strings.Builder
	for line := range strings.Lines(script) {
		line = strings.TrimLeft(line, "\t")
		if line != "\n" && !strings.HasPrefix(line, "#") {
			out.WriteString(line)
		}
	}
	return out.String()
}
