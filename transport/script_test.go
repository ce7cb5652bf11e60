package transport

import (
	"os/exec"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestQuote: what is quoted is read back by a real shell.
func TestQuote(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.OneOf(rapid.String(), rapid.StringMatching(`['"\\$ \n!*-]{0,8}`)), 1, 20).Draw(t, "words")
		for i := range words {
			words[i] = strings.ReplaceAll(words[i], "\x00", "")
		}
		out, err := exec.Command("sh", "-c", `printf '%s\0' `+Quote(words...)).Output()
		if want := strings.Join(words, "\x00") + "\x00"; err != nil || string(out) != want {
			t.Fatalf("%q is read as %q, %v", want, out, err)
		}
	})
}

// TestStripComments: what is left of a script does what the script does, and is a good part of it.
func TestStripComments(t *testing.T) {
	const script = "# says\n\techo a # b\n\n\n\tif true; then\n\t\t# c's\n\t\techo '#d'\n\tfi\n   # spaces are left\necho e"
	const want = "echo a # b\nif true; then\necho '#d'\nfi\n   # spaces are left\necho e"
	if got := StripComments(script); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for _, s := range []string{script, want} {
		if out, err := exec.Command("sh", "-c", s).Output(); err != nil || string(out) != "a\n#d\ne\n" {
			t.Errorf("%q (%v) of %q", out, err, s)
		}
	}
	if len(wrapper)*10 > len(wrapperText)*7 || strings.Contains(wrapper, "\n#") {
		t.Errorf("%d bytes are sent of %d", len(wrapper), len(wrapperText))
	}
}
