package checks

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestHeadAndTail(t *testing.T) {
	for _, c := range []struct{ s, head, tail string }{
		{"", "", ""},
		{"  \r\n ", "", ""},
		{"short", "short", "short"},
		{" two\n\tlines\r\n", "two lines", "two lines"},
		{"\x1b[31mred\x07\x00", "[31mred", "[31mred"},
		{"abc\u202edef\u200b", "abcdef", "abcdef"},
		{"\x9b31m\xff", "\ufffd31m\ufffd", "\ufffd31m\ufffd"},
		{"0123456789abcdef", "0123456789abcdef", "0123456789abcdef"},
		{"0123456789abcdefg", "0123456789abc…", "…456789abcdefg"},
		{"äöüäöüäöü", "äöüäöü…", "…äöüäöü"},
		{strings.Repeat(" ", 1000) + "end", "…", "…end"},
	} {
		if got := head(c.s, 16); got != c.head {
			t.Errorf("head(%q) = %q, want %q", c.s, got, c.head)
		}
		if got := tail(c.s, 16); got != c.tail {
			t.Errorf("tail(%q) = %q, want %q", c.s, got, c.tail)
		}
	}
}

// Planted faults that this saw: control characters kept; format characters kept; cut in the middle
// of a rune; the bound counted in runes.
func FuzzClean(f *testing.F) {
	f.Add("\x1b]0;title\x07 text\r\n\u2028next\u202e", 20)
	f.Add(strings.Repeat("ä", 200), 33)
	f.Add("\xff\xfe\x00", 7)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = 4 + int(uint(limit)%400)
		for _, got := range []string{head(s, limit), tail(s, limit)} {
			checkClean(t, got, limit)
		}
	})
}

func checkClean(t *testing.T, s string, limit int) {
	t.Helper()
	if len(s) > limit {
		t.Errorf("%d bytes, at most %d expected: %q", len(s), limit, s)
	}
	if !utf8.ValidString(s) {
		t.Errorf("not UTF-8: %q", s)
	}
	for _, r := range s {
		if unicode.In(r, unicode.C, unicode.Zl, unicode.Zp) {
			t.Errorf("%U in %q", r, s)
		}
	}
}
