package manifest_test

import (
	"strings"
	"testing"
	"unicode"

	"github.com/fleetsync/fleetsync/orchestrator/manifest"
)

const good = "f 644 5 1454450400.1234567890 -2.5000000000 65024 9977905 1 0 0 8 ./a b//\x00" +
	"d 2755 4096 1454450400.0000000000 1454450400.0000000000 65024 1 2 0 0 8 .//\x00" +
	"l 777 3 1454450400.0000000000 1454450400.0000000000 65024 2 1 0 0 0 ./-l\n//x//y\x00"

func TestParse(t *testing.T) {
	m, err := manifest.Parse(strings.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	want := []manifest.Entry{
		{Path: ".", Type: manifest.Folder, Mode: 0o2755, Mtime: 1454450400e9, Ctime: 1454450400e9, Device: 65024, Inode: 1, Links: 2, Blocks: 8},
		{Path: "-l\n", Type: manifest.Symlink, Mode: 0o777, Mtime: 1454450400e9, Ctime: 1454450400e9, Device: 65024, Inode: 2, Links: 1,
			Link: "x//y"},
		{Path: "a b", Type: manifest.File, Mode: 0o644, Size: 5, Mtime: 1454450400_123456789, Ctime: -1_500_000_000, Device: 65024,
			Inode: 9977905, Links: 1, Blocks: 8},
	}
	if len(m.Entries) != len(want) {
		t.Fatalf("%d entries", len(m.Entries))
	}
	for i := range want {
		if m.Entries[i] != want[i] {
			t.Errorf("entry %d is %+v, want %+v", i, m.Entries[i], want[i])
		}
	}
}

// bad are listings that find does not print.
var bad = []string{
	"f", "\x00", strings.TrimSuffix(good, "\x00"), good + good, " " + good,
	"x 644 5 1.0000000000 1.0000000000 1 1 1 0 0 8 ./a//\x00",
	"ff 644 5 1.0000000000 1.0000000000 1 1 1 0 0 8 ./a//\x00",
	"f 648 5 1.0000000000 1.0000000000 1 1 1 0 0 8 ./a//\x00",
	"f 17777 5 1.0000000000 1.0000000000 1 1 1 0 0 8 ./a//\x00",
	"f 644 -5 1.0000000000 1.0000000000 1 1 1 0 0 8 ./a//\x00",
	"f 644 9223372036854775808 1.0000000000 1.0000000000 1 1 1 0 0 8 ./a//\x00",
	"f 644 5 1.000000000 1.0000000000 1 1 1 0 0 8 ./a//\x00",
	"f 644 5 1.0000000001 1.0000000000 1 1 1 0 0 8 ./a//\x00",
	"f 644 5 1.-000000000 1.0000000000 1 1 1 0 0 8 ./a//\x00",
	"f 644 5 1 1.0000000000 1 1 1 0 0 8 ./a//\x00",
	"f 644 5 12000000000.0000000000 1.0000000000 1 1 1 0 0 8 ./a//\x00",
	"f 644 5 1.0000000000 1.0000000000 1 1 4294967296 0 0 8 ./a//\x00",
	"f 644 5 1.0000000000 1.0000000000 1 1 1 0 0 8 a//\x00",
	"f 644 5 1.0000000000 1.0000000000 1 1 1 0 0 8 /a//\x00",
	"f 644 5 1.0000000000 1.0000000000 1 1 1 0 0 8 ./a\x00",
	"f 644 5 1.0000000000 1.0000000000 1 1 1 0 0 8 ./a/../../b//\x00",
	"f 644 5 1.0000000000 1.0000000000 1 1 1 0 0 8 ..//\x00",
	"f 644 5 1.0000000000 1.0000000000 1 1 1 0 0 8 .///\x00",
	"f 644 5 1.0000000000 1.0000000000 1 1 1 0 0 8 ./././/\x00",
	"f 644 5 1.0000000000 1.0000000000 1 1 1 0 0 8 ./a//x\x00",
	"l 644 5 1.0000000000 1.0000000000 1 1 1 0 0 8 ./a//\x00",
	"f 644 5 1.0000000000 1.0000000000 1 1 1 0 0 8 ./\x1b[2J" + strings.Repeat("a", 1<<20) + "//\x00",
	"f 644 5 1.0000000000 1.0000000000 1 1 1 0 0 ./\x1b[2J\x9b" + strings.Repeat("a", 1<<10) + "//\x00",
}

func TestParseRefuses(t *testing.T) {
	for _, listing := range bad {
		_, err := manifest.Parse(strings.NewReader(listing))
		if err == nil {
			t.Errorf("%.200q is taken", listing)
			continue
		}
		if message := err.Error(); len(message) > 1500 || strings.ContainsFunc(message,
			func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
			t.Errorf("%.200q: the message is not fit to be shown: %q", listing, message)
		}
	}
}

// Whatever is parsed can be digested, compared and kept, and comes back as it was; a message is fit to be shown.
func FuzzParse(f *testing.F) {
	f.Add(good)
	for _, listing := range bad {
		f.Add(listing)
	}
	f.Fuzz(func(t *testing.T, listing string) {
		m, err := manifest.Parse(strings.NewReader(listing))
		if err != nil {
			if message := err.Error(); len(message) > 1500 || strings.ContainsFunc(message, unicode.IsControl) {
				t.Errorf("the message is not fit to be shown: %q", message)
			}
			return
		}
		m.Fingerprint()
		m.Digest([]string{"a", "b/c"})
		again, err := manifest.Decode(manifest.Encode(m))
		if err != nil {
			t.Fatal(err)
		}
		if m.Digest(nil) != again.Digest(nil) || len(manifest.Diff(m, again, nil)) > 0 {
			t.Error("it is not the same when it comes back")
		}
	})
}
