package transport

import (
	"os/exec"
	"strings"
	"testing"
)

// TestTerse: what is left of a script does what the script does, and is a good part of it.
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
	if whole, sent := len(wrapperText), len(wrapper); sent*10 > whole*7 || strings.Contains(wrapper, "\n#") {
		t.Errorf("%d bytes are sent of %d", sent, whole)
	}
}
