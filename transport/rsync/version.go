package rsync

import (
	"fmt"
	"strconv"
	"strings"
)

// Version is a version of rsync.
type Version struct{ Major, Minor, Patch int }

// ParseVersion reads what rsync --version prints.
func ParseVersion(output string) (Version, error) {
	// rsync  version 3.5.0  protocol version 32; before 3.2.4 some builds say "version v3.2.3"
	f := strings.Fields(output)
	if len(f) < 3 || f[0] != "rsync" || f[1] != "version" {
		return Version{}, fmt.Errorf("%.40q: not the version of an rsync", output)
	}
	number, _, _ := strings.Cut(strings.TrimPrefix(f[2], "v"), "pre")
	parts := strings.Split(number, ".")
	if len(parts) < 2 || len(parts) > 3 {
		return Version{}, fmt.Errorf("%.40q: not the version of an rsync", f[2])
	}
	var n [3]int
	for i, p := range parts {
		v, err := strconv.Atoi(p)
		if err != nil || v < 0 {
			return Version{}, fmt.Errorf("%.40q: not the version of an rsync", f[2])
		}
		n[i] = v
	}
	return Version{n[0], n[1], n[2]}, nil
}

// AtLeast tells whether v is that version or a later one.
func (v Version) AtLeast(major, minor, patch int) bool {
	if v.Major != major {
		return v.Major > major
	}
	if v.Minor != minor {
		return v.Minor > minor
	}
	return v.Patch >= patch
}
