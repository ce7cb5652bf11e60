package rsync

import (
	"testing"
)

func TestParseVersion(t *testing.T) {
	for in, want := range map[string]Version{
		"rsync  version 3.5.0  protocol version 32\nCopyright": {3, 5, 0},
		"rsync  version v3.2.3  protocol version 31":           {3, 2, 3},
		"rsync  version 3.1.0pre1  protocol version 31":        {3, 1, 0},
	} {
		if got, err := ParseVersion(in); err != nil || got != want {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "openrsync: protocol version 29", "rsync version x.y", "rsync version 3", "rsync version 3.-1.0"} {
		if got, err := ParseVersion(in); err == nil {
			t.Errorf("%q: %v", in, got)
		}
	}
	if v := (Version{3, 1, 3}); !v.AtLeast(3, 1, 3) || !v.AtLeast(3, 0, 9) || v.AtLeast(3, 2, 0) || v.AtLeast(4, 0, 0) ||
		v.AtLeast(3, 1, 4) || !v.AtLeast(2, 9, 9) {
		t.Error(v)
	}
}

func FuzzParseVersion(f *testing.F) {
	f.Add("rsync  version 3.5.0  protocol version 32")
	f.Add("rsync version v3.2.3dev")
	f.Fuzz(func(t *testing.T, text string) {
		if v, err := ParseVersion(text); err == nil && !v.AtLeast(0, 0, 0) {
			t.Errorf("%+v", v)
		}
	})
}
