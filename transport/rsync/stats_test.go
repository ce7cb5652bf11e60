package rsync

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetsync/fleetsync/transport"
)

func TestParseStats(t *testing.T) {
	for name, text := range map[string]string{
		"3.5.0 plain": "Number of files: 30061 (reg: 30000, dir: 61)\n" +
			"Number of created files: 2 (reg: 2)\nNumber of deleted files: 3\nTotal file size: 1234567 bytes\n",
		"3.1 to 3.5, default": "Number of files: 30,061 (reg: 30,000, dir: 61)\n" +
			"Number of created files: 2 (reg: 2)\nNumber of deleted files: 3\nTotal file size: 1,234,567 bytes\n",
		"a locale with points": "Number of files: 30.061 (reg: 30.000, dir: 61)\n" +
			"Number of created files: 2 (reg: 2)\nNumber of deleted files: 3\nTotal file size: 1.234.567 bytes\n",
	} {
		var s Stats
		for line := range strings.Lines(text) {
			s.parse(strings.TrimSpace(line))
		}
		if want := (Stats{Files: 30061, Created: 2, Deleted: 3, TotalSize: 1234567}); !cmp.Equal(s, want) {
			t.Errorf("%s: %+v", name, s)
		}
	}
	for _, bad := range []string{"", "1.23M", "1,23", ",123", "1234,567", "-1", "9223372036854775808", "1,2345", "12,345,67", "1,"} {
		if n, ok := parseNumber(bad); ok {
			t.Errorf("%q is %d", bad, n)
		}
	}
}

func TestParseProgress(t *testing.T) {
	for line, want := range map[string]Progress{
		"         198975  99%   22.91kB/s    0:00:08 (xfr#29991, to-chk=9/30061) ": {198975, 99, 29991, 9, 30061},
		"      1,234,567 100%    1.23MB/s    0:00:01 (xfr#5, ir-chk=1000/20000)":   {1234567, 100, 5, 1000, 20000},
		"              0   0%    0.00kB/s    0:00:00  ":                            {},
		"          32768   3%    9.98kB/s    0:06:56":                              {32768, 3, 0, 0, 0},
	} {
		if got, ok := parseProgress(line); !ok || got != want {
			t.Errorf("%q: %+v, %t", line, got, ok)
		}
	}
	for _, line := range []string{"", "Number of files: 1", "1 101% 1B/s 0:0", "x 1% 1B/s 0:0", "1 1% 1B/s 0:0 (xfr#x, to-chk=1/1)",
		"1 1% 1B/s 0:0 xfr to"} {
		if got, ok := parseProgress(line); ok {
			t.Errorf("%q: %+v", line, got)
		}
	}
}

func FuzzOutput(f *testing.F) {
	f.Add("   198975  99%   22.91kB/s    0:00:08 (xfr#29991, to-chk=9/30061)\rNumber of files: 3 (reg: 2, dir: 1)\n\x1b[31m")
	f.Add("Total file size: 1,234,567 bytes\nTotal bytes sent: 99999999999999999999\n")
	f.Add("1 1% 1B/s 0:0 (xfr#1, to-chk=1/1)\n\xff\u202e\n")
	f.Fuzz(func(t *testing.T, text string) {
		var stats Stats
		l := transport.Lines{Keep: 20, Log: func(line string) {
			if !utf8.ValidString(line) || transport.HasControl(line) || line == "" {
				t.Errorf("%q is not neutral", line)
			}
			if p, ok := parseProgress(line); ok && (p.Bytes < 0 || p.Percent < 0 || p.Percent > 100 || p.Files < 0 || p.Left < 0 || p.Total < 0) {
				t.Errorf("%q: %+v", line, p)
			}
			stats.parse(line)
		}}
		// In two writes, as a pipe may cut it anywhere.
		for _, part := range []string{text[:len(text)/2], text[len(text)/2:]} {
			if n, err := l.Write([]byte(part)); n != len(part) || err != nil {
				t.Fatal(n, err)
			}
		}
		l.Flush()
		if got := l.String(); len(got) > 4<<10 || strings.Count(got, "\n") >= 20 {
			t.Errorf("%d bytes kept", len(got))
		}
		if stats.Files < 0 || stats.TotalSize < 0 || stats.Sent < 0 {
			t.Errorf("%+v", stats)
		}
		if s := summary(text); len(s) > 510 {
			t.Errorf("%d bytes", len(s))
		}
	})
}
