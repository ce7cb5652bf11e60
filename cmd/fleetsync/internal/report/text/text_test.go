package text_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"pgregory.net/rapid"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/inventory"
)

// FuzzLine holds that what a Printer prints is one line of text, whatever goes into it, and that what
// is shortened is short.
//
// Planted faults that it or the tests below saw: a Printer that prints parts as they are, Truncate that takes every byte for a
// column, Short that does not mark what it
// cut off, Fold that shows everything, and one that counts one too many.
func FuzzLine(f *testing.F) {
	for _, s := range []string{"", "mw1017", "\x1b[2J", "a\r\nb", "\u202eabc", "日本語", "\xff\xfe", "e\u0301\u0301\u0301", "\u2028",
		"\t\t x ", "🏳️‍🌈", "\x9b31m"} {
		f.Add(s, 7)
	}
	f.Fuzz(func(t *testing.T, s string, width int) {
		width = width % 400
		short := text.Short(s, width)
		if got := text.Width(short); got > max(width, 0) {
			t.Errorf("Short(%q, %d) is %q, %d wide", s, width, short, got)
		}
		if len(short) > 8*max(width, 1)*4 {
			t.Errorf("Short(%q, %d) has %d bytes", s, width, len(short))
		}
		var b bytes.Buffer
		p := text.NewPrinter(&b)
		p.Line(text.Red, "%s|%s", s, short)
		p.Table([]string{s, "B", s}, []text.Row{{Cells: []string{s, s, s}}})
		printed := b.String()
		if strings.Count(printed, "\n") != 3 || !strings.HasSuffix(printed, "\n") {
			t.Errorf("not three lines: %q", printed)
		}
		for _, r := range strings.ReplaceAll(printed, "\n", "") {
			if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
				t.Errorf("%U of %q was printed: %q", r, s, printed)
			}
		}
	})
}

// TestFold holds that a folded list is short, and that what it shows and what it counts are together
// what it was given.
func TestFold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-c]{1,3}[0-9]{1,4}(\.example\.org)?`), 1, 200, rapid.ID).Draw(t, "names")
		width := rapid.IntRange(0, 300).Draw(t, "width")
		shown, rest, cut := strings.Cut(text.Fold(names, width), " and ")
		if len(shown) > max(width, 20)+2 {
			t.Fatalf("%q is %d wide, not %d", shown, len(shown), width)
		}
		more := 0
		if cut {
			if _, err := fmt.Sscanf(rest, "%d more", &more); err != nil {
				t.Fatalf("%q: %v", rest, err)
			}
		}
		if strings.HasSuffix(shown, "…") {
			t.Fatalf("%q was cut within a name", shown) // of which none is too long
		}
		if total := count(t, shown) + more; total != len(names) {
			t.Fatalf("%q and %d more are %d of %d names", shown, more, total, len(names))
		}
	})
}

// count expands a folded list, whose ranges hold commas too.
func count(t *rapid.T, folded string) int {
	n, depth, start := 0, 0, 0
	for i, c := range folded + "," {
		switch {
		case c == '[':
			depth++
		case c == ']':
			depth--
		case c == ',' && depth == 0:
			names, err := inventory.ExpandRange(folded[start:i])
			if err != nil {
				t.Fatalf("%q: %v", folded[start:i], err)
			}
			n += len(names)
			start = i + 1
		}
	}
	return n
}

func TestNumbers(t *testing.T) {
	for got, want := range map[string]string{
		text.Count(0): "0", text.Count(999): "999", text.Count(1000): "1,000", text.Count(1234567): "1,234,567",
		text.Count(-1000): "-1,000", text.Count(int64(-123)): "-123",
		text.Hosts(1): "1 host", text.Hosts(10000): "10,000 hosts", text.Hosts(0): "0 hosts",
		text.Bytes(0): "0 B", text.Bytes(999): "999 B", text.Bytes(1000): "1.0 kB", text.Bytes(9949): "9.9 kB", text.Bytes(9950): "10 kB",
		text.Bytes(999_499): "999 kB", text.Bytes(999_500): "1.0 MB", text.Bytes(6_900_000_000): "6.9 GB", text.Bytes(1 << 62): "5 EB",
		text.Time(-time.Second): "0s", text.Time(time.Millisecond): "<10ms", text.Time(854 * time.Millisecond): "850ms",
		text.Time(999 * time.Millisecond): "1s", text.Time(4123 * time.Millisecond): "4.1s", text.Time(9990 * time.Millisecond): "10s",
		text.Time(59600 * time.Millisecond):       "1m",
		text.Time(17*time.Minute + 4*time.Second): "17m04s", text.Time(3*time.Hour + 5*time.Minute): "3h05m",
	} {
		if got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}

func TestShort(t *testing.T) {
	for _, c := range []struct {
		s     string
		width int
		want  string
	}{
		{"mw1017", 6, "mw1017"}, {"mw1017", 5, "mw10…"}, {"mw1017", 1, "…"}, {"mw1017", 0, ""}, {"mw1017", -3, ""},
		{"a\n b\t\tc ", 9, "a b c"}, {"日本語", 5, "日本…"}, {"日本語", 4, "日…"},
		{strings.Repeat("x", 9), 1, "…"}, {strings.Repeat("\x00", 100) + "x", 4, "…"},
		{strings.Repeat(" ", 90) + strings.Repeat("x", 90), 10, "…"},
	} {
		if got := text.Short(c.s, c.width); got != c.want {
			t.Errorf("Short(%q, %d) is %q, not %q", c.s, c.width, got, c.want)
		}
	}
}

func TestScreen(t *testing.T) {
	var b bytes.Buffer
	if s := text.ScreenOf(&b); s != (text.Screen{}) {
		t.Errorf("a buffer is %+v", s)
	}
}
