package transport

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Neutral returns s as one line without anything that could move a cursor, start an escape sequence or
// reorder text: tabs and ends of lines become spaces; other control characters (C0, DEL, C1), line and
// paragraph separators and every invisible format character (bidirectional overrides among them) are
// dropped; bytes that are no UTF-8 become U+FFFD. It is the one neutraliser of text from elsewhere: whoever
// shows, logs or stores such text passes it through here. It does not bound the text.
func Neutral(s string) string {
	clean := true
	for i := 0; i < len(s) && clean; i++ {
		clean = ' ' <= s[i] && s[i] < 0x7f
	}
	if clean {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t', r == '\n', r == '\r':
			return ' '
		case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co):
			return -1
		default:
			return r
		}
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
}

// HasControl tells whether s holds a control character of ASCII, the end of a line among them.
func HasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
