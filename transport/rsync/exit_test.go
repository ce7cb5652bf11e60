package rsync

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestSummary(t *testing.T) {
	for in, want := range map[string]string{
		"": "",
		"@ERROR: Unknown module 'x'\n" +
			"rsync error: error starting client-server protocol (code 5) at main.c(1) [Receiver=3.5.0]": "@ERROR: Unknown module 'x'",
		"rsync error: timeout (code 30)": "rsync error: timeout (code 30)",
		"a\nb\nc\nd":                     "b; c; d",
	} {
		if got := summary(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
	if got := summary(strings.Repeat("é", 1000)); len(got) > 510 || !utf8.ValidString(got) {
		t.Errorf("%q", got)
	}
}
