package checks

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxDetail is the most bytes that a Result's Detail has.
const MaxDetail = 300

// maxExcerpt is the most bytes of an answer that a Detail quotes.
const maxExcerpt = 120

const ellipsis = "…"

// detailf formats a Detail. What comes from a host may be among the arguments as it is.
func detailf(format string, args ...any) string {
	return head(fmt.Sprintf(format, args...), MaxDetail)
}

// head returns the first of s as one clean line of at most limit bytes.
func head(s string, limit int) string {
	// Cleaning never makes a byte into more than three (U+FFFD), and a hostile s may be a megabyte.
	cut := len(s) > 8*limit
	if cut {
		s = s[:8*limit]
	}
	s = clean(s)
	if len(s) <= limit && !cut {
		return s
	}
	end := min(limit-len(ellipsis), len(s))
	for end > 0 && end < len(s) && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + ellipsis
}

// tail returns the last of s as one clean line of at most limit bytes: a command says at its end
// why it failed.
func tail(s string, limit int) string {
	cut := len(s) > 8*limit
	if cut {
		s = s[len(s)-8*limit:]
	}
	s = clean(s)
	if len(s) <= limit && !cut {
		return s
	}
	start := max(len(s)-(limit-len(ellipsis)), 0)
	for start < len(s) && !utf8.RuneStart(s[start]) {
		start++
	}
	return ellipsis + s[start:]
}

// clean returns s as one line that moves no cursor and colours nothing: white space of any kind
// becomes single spaces, what cannot be seen (control and format characters, direction overrides
// among them) is dropped, and bytes that are no text become U+FFFD.
func clean(s string) string {
	var b strings.Builder
	gap := false
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			gap = b.Len() > 0
			continue
		case !unicode.IsGraphic(r):
			continue
		}
		if gap {
			b.WriteByte(' ')
			gap = false
		}
		b.WriteRune(r)
	}
	return b.String()
}
