package pooling

import (
	"strings"
	"unicode"
)

// Clean makes text of others fit for an error: no control or formatting characters, at most 200 characters.
func Clean(s string) string {
	const most = 200
	n := 0
	s = strings.Map(func(r rune) rune {
		if n++; n > most || unfit(r) {
			return -1
		}
		return r
	}, s)
	if n > most {
		s += "…"
	}
	return s
}

// unfit reports whether a character must not be shown: a control or formatting character, or none at all.
func unfit(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar
}
