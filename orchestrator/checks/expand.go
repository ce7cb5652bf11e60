package checks

import "strings"

// Expand returns s with every {host} and {destination} replaced. Nothing else is expanded, and what
// was put in is not looked at again, so that a value with braces of its own stays as it is. Nothing
// is quoted either: s must be one argument or a URL, never part of a shell's command line.
func Expand(s, host, destination string) string {
	return strings.NewReplacer("{host}", host, "{destination}", destination).Replace(s)
}
