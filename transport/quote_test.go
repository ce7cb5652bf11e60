package transport

import (
	"os/exec"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestWord: a word is read back by a real shell, and is quoted only where a shell would read something else.
func TestWord(t *testing.T) {
	for s, want := range map[string]string{
		"": "''", "/srv/a-b_c.d": "/srv/a-b_c.d", "mw[1017-1018]": "'mw[1017-1018]'", "@a:b,c%+=": "@a:b,c%+=", "~": "'~'", "it's": `'it'\''s'`,
	} {
		if got := Word(s); got != want {
			t.Errorf("%q is %s, want %s", s, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.OneOf(rapid.String(), rapid.StringMatching(`['"\\$ \n!*~#=a-]{0,4}`)), 1, 20).Draw(t, "words")
		line := `printf '%s\0'`
		for i := range words {
			words[i] = strings.ReplaceAll(words[i], "\x00", "")
			line += " " + Word(words[i])
		}
		out, err := exec.Command("sh", "-c", line).Output()
		if want := strings.Join(words, "\x00") + "\x00"; err != nil || string(out) != want {
			t.Fatalf("%s: %q is read as %q, %v", line, want, out, err)
		}
	})
}
