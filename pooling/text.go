package pooling

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
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

// checkName returns an error unless a name can be part of a key.
func checkName(what, name string) error {
	if name == "" {
		return fmt.Errorf("%w: no name of a %s", ErrMalformed, what)
	}
	return checkText(what, name)
}

// checkText returns an error unless a text is one line that can be shown as it is.
func checkText(what, text string) error {
	const most = 1024
	if len(text) > most || !utf8.ValidString(text) || strings.ContainsFunc(text, unfit) {
		return fmt.Errorf("%w: %s %q: want one line of at most %d bytes", ErrMalformed, what, Clean(text), most)
	}
	return nil
}
