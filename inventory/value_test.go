package inventory

import (
	"math"
	"strings"
	"testing"
	"time"
)

// Planted faults that this found: units of 512; K for bytes.
func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{
		"0": 0, "1K": 1024, "512M": 536870912, "2G": 2147483648, "1T": 1099511627776, "9999T": 10994016766132224,
	} {
		if got, ok := parseSize(s); !ok || got != want {
			t.Errorf("parseSize(%q) = %d, %v; want %d", s, got, ok, want)
		}
	}
	for _, s := range []string{"", "1", "0K", "00", "01K", "K", "1k", "1KB", "1KiB", "1 K", "1.5G", "-1G", "+1G", "1e3K", "10000K", "1P",
		"٥K", "1K\n"} {
		if got, ok := parseSize(s); ok {
			t.Errorf("parseSize(%q) = %d", s, got)
		}
	}
}

// Planted faults that this found: a day of 23 hours; taking 1d24h; taking 1d-5h or 1d.5h.
func TestParseDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"0d": 0, "1d": 24 * time.Hour, "14d": 336 * time.Hour, "9999d": 239976 * time.Hour, "1d12h": 36 * time.Hour,
		"1d0s": 24 * time.Hour, "2d23h59m59.5s": 71*time.Hour + 59*time.Minute + 59500*time.Millisecond,
	} {
		if got, ok := parseDuration(s); !ok || got != want {
			t.Errorf("parseDuration(%q) = %v, %v; want %v", s, got, ok, want)
		}
	}
	for _, s := range []string{"d", "1D", "1.5d", "-1d", "+1d", "1 d", "12h1d", "1d2d", "1d24h", "1d-5h", "1d+5h", "1d.5h", "1d5",
		"10000d", "1d\n", "٥d"} {
		if got, ok := parseDuration(s); ok {
			t.Errorf("parseDuration(%q) = %v", s, got)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0s", time.Second: "1s", 90 * time.Minute: "1h30m", 24 * time.Hour: "24h", 48 * time.Hour: "2d", 36 * time.Hour: "36h",
		3650 * day: "3650d",
	} {
		if got := short(d); got != want {
			t.Errorf("short(%v) = %q, want %q", d, got, want)
		}
	}
}

// Whatever was a duration before there were days is the same one still, and days mean 24 hours each.
func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"500ms", "1h30m", "14d", "1d12h", "1d24h", "9999d23h59m59.999999999s", "0", "-5s", "1d1ns", "d", "106751d23h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parseDuration(s)
		before, err := time.ParseDuration(s)
		if err == nil && (!ok || got != before) {
			t.Fatalf("%q was %v and is %v, %v", s, before, got, ok)
		}
		if err != nil && ok {
			n, rest, found := strings.Cut(s, "d")
			if rest == "" {
				rest = "0s"
			}
			// An oracle of its own: the library's hours, 24 times.
			hours, errN := time.ParseDuration(n + "h")
			tail, errRest := time.ParseDuration(rest)
			if !found || errN != nil || errRest != nil || tail < 0 || got != 24*hours+tail || got > math.MaxInt64/2 {
				t.Fatalf("%q is %v", s, got)
			}
		}
	})
}
