package text

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/transport"
)

// Short returns s neutral, with single spaces, and at most width columns wide; what was cut off is marked by "…".
func Short(s string, width int) string {
	// A column takes a few bytes at most unless somebody stacks marks without width on it.
	most := 8 * max(width, 1)
	if len(s) <= most {
		return Truncate(oneLine(s), width)
	}
	s = oneLine(strings.ToValidUTF8(s[:most], ""))
	if Width(s) < width {
		return s + "…"
	}
	return Truncate(s, min(width, Width(s)-1)) // never as if nothing were missing
}

// Truncate returns s, which must be neutral, at most width columns wide.
func Truncate(s string, width int) string {
	switch {
	case width <= 0:
		return ""
	case !ascii(s):
		return runewidth.Truncate(s, width, "…")
	case len(s) <= width:
		return s
	default:
		return s[:width-1] + "…"
	}
}

// ascii says whether each byte of s is a column; to look for anything else is slow.
func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// oneLine returns s neutral and with single spaces, so that a column holds as much of it as it can.
func oneLine(s string) string { return strings.Join(strings.Fields(transport.Neutral(s)), " ") }

// Pad returns s with spaces up to width columns; it never shortens.
func Pad(s string, width int) string { return s + strings.Repeat(" ", max(0, width-Width(s))) }

// Width returns how many columns s takes.
func Width(s string) int {
	if ascii(s) {
		return len(s)
	}
	return runewidth.StringWidth(s)
}

// Fold returns hosts as a person would write them, in at most about width columns: as ranges, and
// with the number of those for which there was no room.
func Fold(names []string, width int) string {
	if all := inventory.FoldNames(names); len(all) <= width {
		return oneLine(all)
	}
	// Sorting by length first keeps ranges together: mw9 comes before mw10.
	names = slices.SortedFunc(slices.Values(names), func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	fits, not := 1, len(names)
	for fits+1 < not {
		if try := (fits + not) / 2; len(inventory.FoldNames(names[:try])) <= width {
			fits = try
		} else {
			not = try
		}
	}
	shown := Short(inventory.FoldNames(names[:fits]), max(width, 20))
	if fits == len(names) {
		return shown
	}
	return fmt.Sprintf("%s and %s more", shown, Count(len(names)-fits))
}

// Count returns n with its thousands apart: 10,000.
func Count[N int | int64](n N) string {
	s := fmt.Sprint(int64(n))
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Hosts returns "1 host" or "10,000 hosts".
func Hosts(n int) string { return Plural(n, "host") }

// Plural returns n and the word, which takes an s unless n is 1.
func Plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return Count(n) + " " + word + "s"
}

// Bytes returns n as people say it: 0 B, 999 B, 1.2 kB, 34 MB.
func Bytes(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	value := float64(n)
	for _, unit := range []string{"kB", "MB", "GB", "TB", "PB"} {
		value /= 1000
		switch {
		case value < 9.95:
			return fmt.Sprintf("%.1f %s", value, unit)
		case value < 999.5:
			return fmt.Sprintf("%.0f %s", value, unit)
		}
	}
	return fmt.Sprintf("%.0f EB", value/1000)
}

// Time returns d as people say it: 0s, 850ms, 4.1s, 17m04s, 3h05m.
func Time(d time.Duration) string {
	switch {
	case d <= 0:
		return "0s"
	case d < 10*time.Millisecond:
		return "<10ms"
	case d < 995*time.Millisecond:
		return d.Round(10 * time.Millisecond).String()
	case d < 10*time.Second:
		return strings.Replace(fmt.Sprintf("%.1fs", d.Seconds()), ".0s", "s", 1)
	}
	d = d.Round(time.Second)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour && d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	default:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
}

// Upper returns s with its first letter as it begins a sentence.
func Upper(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// Fingerprint returns as much of a tree's digest as tells it from the others of a fleet.
func Fingerprint(digest string) string {
	const enough = 12
	if digest = oneLine(digest); len(digest) > enough && ascii(digest) {
		return digest[:enough]
	}
	return Short(digest, enough)
}
