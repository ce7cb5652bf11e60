package transport

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestNeutral(t *testing.T) {
	for in, want := range map[string]string{
		"plain é 漢":                 "plain é 漢",
		"\x1b]0;title\x07\x1b[2Jx":  "]0;title[2Jx",
		"c1 \u009b31m \u0085":       "c1 31m ",
		"\u202etxt.exe\u2066\u200f": "txt.exe",
		"a\tb\u2028c\x7f":           "a bc",
		"bad \xff\x9b31m":           "bad \ufffd31m",
		"two\r\nlines":              "two  lines",
	} {
		if got := Neutral(in); got != want {
			t.Errorf("%q: %q, not %q", in, got, want)
		}
	}
}

// FuzzNeutral holds that what is neutral is one line of text, that it stays as it is when it is neutralised again, and
// that nothing is lost of what was harmless.
//
// Seen to fail with: format characters let through, bytes that are no UTF-8 let through, an end of a line let through, and a
// space too many dropped.
func FuzzNeutral(f *testing.F) {
	for _, s := range []string{"", "mw1017", "\x1b[2J", "a\r\nb", "\u202eabc", "日本語", "\xff\xfe", "e\u0301\u0301", "\u2028", "\t\t x ",
		"🏳️‍🌈", "\x9b31m", "\ue000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Neutral(s)
		if !utf8.ValidString(got) || Neutral(got) != got {
			t.Errorf("%q becomes %q, which is not neutral", s, got)
		}
		harmless := func(r rune) bool { return r == ' ' || unicode.IsGraphic(r) && !unicode.In(r, unicode.Zl, unicode.Zp) }
		for _, r := range got {
			if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co) {
				t.Errorf("%U of %q goes through: %q", r, s, got)
			}
		}
		rest := []rune(got)
		for _, r := range strings.ToValidUTF8(s, "") {
			if !harmless(r) {
				continue
			}
			i := 0
			for i < len(rest) && rest[i] != r {
				i++
			}
			if i == len(rest) {
				t.Fatalf("%U of %q is lost: %q", r, s, got)
			}
			rest = rest[i+1:]
		}
	})
}
