package rsync

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetsync/fleetsync/transport"
)

func TestPullCommand(t *testing.T) {
	p := Pull{Source: "rsync://10.0.0.1:873/common/", Destination: "/srv/media wiki", Scratch: "/srv/.fleetsync"}
	lock := "/srv/.fleetsync/media wiki-aac632af.lock"
	head := []string{"sh", "-c", pullScript, "fleetsync", "/srv/.fleetsync", lock, "/srv/media wiki", "rsync", "--archive", "--delete",
		"--delete-delay", "--delay-updates", "--modify-window=-1", "--filter=R .~tmp~/"}
	foot := []string{"--stats", "--no-human-readable", "--outbuf=L", "--no-motd", "rsync://10.0.0.1:873/common/", "/srv/media wiki/"}
	join := func(parts ...[]string) (all []string) {
		for _, part := range parts {
			all = append(all, part...)
		}
		return all
	}

	want := transport.Command{Args: join(head, []string{"--timeout=60", "--contimeout=60", "--max-delete=0"}, foot)}
	if diff := cmp.Diff(want, p.Command()); diff != "" {
		t.Error(diff)
	}

	watched := p
	watched.progress = true
	if args := watched.Command().Args; !slices.Contains(args, "--info=progress2") || len(args) != len(want.Args)+1 {
		t.Error(args)
	}

	p.Exclude, p.Compress, p.BandwidthLimit = []string{".git", "/a b"}, true, "10m"
	p.Timeout, p.MaxDelete, p.Args = 1500*time.Millisecond, Unlimited, []string{"--checksum"}
	p.Backup = "/srv/.fleetsync/keep"
	p.Paths = []string{"wmf-config/", "./docs/a*/b", "docs/x", `w\x`}
	want = transport.Command{
		Args: join(head, []string{"--compress", "--bwlimit=10m", "--exclude=.git", "--exclude=/a b", "--checksum",
			"--exclude-from=-", "--timeout=2", "--contimeout=2", "--backup", "--backup-dir=/srv/.fleetsync/keep"}, foot),
		Stdin: []byte(`+ /wmf-config
+ /wmf-config/**
+ /docs/
+ /docs/a\*/
+ /docs/a\*/b
+ /docs/a\*/b/**
+ /docs/x
+ /docs/x/**
+ /w\x
+ /w\\x/**
- *
`),
	}
	if diff := cmp.Diff(want, p.Command()); diff != "" {
		t.Error(diff)
	}
	p.Paths = []string{"wmf-config", "docs/."}
	if got := string(p.Command().Stdin); got != "+ /wmf-config\n+ /wmf-config/**\n+ /docs\n+ /docs/**\n- *\n" {
		t.Error(got)
	}
	p.Paths = []string{"wmf-config", "./"}
	if c := p.Command(); c.Stdin != nil || strings.Contains(strings.Join(c.Args, " "), "exclude-from") {
		t.Errorf("%q, %q", c.Args, c.Stdin)
	}
}

func TestPullValidate(t *testing.T) {
	good := Pull{Source: "rsync://[::1]:873/common", Destination: "/srv/mediawiki", Scratch: "/srv/mediawiki-scratch"}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(p *Pull){
		"no source":                 func(p *Pull) { p.Source = "" },
		"an option as source":       func(p *Pull) { p.Source = "--rsh=x" },
		"a path as source":          func(p *Pull) { p.Source = "/srv" },
		"no module":                 func(p *Pull) { p.Source = "rsync://a/" },
		"below the module":          func(p *Pull) { p.Source = "rsync://a/m/x" },
		"control in the source":     func(p *Pull) { p.Source = "rsync://a\n/m" },
		"the root":                  func(p *Pull) { p.Destination = "/" },
		"the root, hidden":          func(p *Pull) { p.Destination = "/srv/.." },
		"a relative destination":    func(p *Pull) { p.Destination = "srv" },
		"an unclean destination":    func(p *Pull) { p.Destination = "/srv//x" },
		"NUL in the destination":    func(p *Pull) { p.Destination = "/srv/\x00" },
		"no scratch":                func(p *Pull) { p.Scratch = "" },
		"scratch in destination":    func(p *Pull) { p.Scratch = "/srv/mediawiki/.fleetsync" },
		"scratch is destination":    func(p *Pull) { p.Scratch = "/srv/mediawiki" },
		"a relative backup":         func(p *Pull) { p.Backup = "keep" },
		"an unclean backup":         func(p *Pull) { p.Backup = "/srv/../keep" },
		"backup in destination":     func(p *Pull) { p.Backup = "/srv/mediawiki/keep" },
		"backup is destination":     func(p *Pull) { p.Backup = "/srv/mediawiki" },
		"destination in backup":     func(p *Pull) { p.Backup = "/srv" },
		"NUL in a script":           func(p *Pull) { p.Before.Text = "\x00" },
		"NUL in an argument":        func(p *Pull) { p.After = Script{Text: ":", Args: []string{"\x00"}} },
		"arguments of nothing":      func(p *Pull) { p.After.Args = []string{"x"} },
		"deletions below all":       func(p *Pull) { p.MaxDelete = -2 },
		"no paths":                  func(p *Pull) { p.Paths = []string{} },
		"an empty path":             func(p *Pull) { p.Paths = []string{"a", ""} },
		"an absolute path":          func(p *Pull) { p.Paths = []string{"/etc"} },
		"a path up":                 func(p *Pull) { p.Paths = []string{"a/../../b"} },
		"the end of a line":         func(p *Pull) { p.Paths = []string{"a\n- b"} },
		"another end of a line":     func(p *Pull) { p.Paths = []string{"a\rb"} },
		"NUL in a path":             func(p *Pull) { p.Paths = []string{"a\x00"} },
		"too long a path":           func(p *Pull) { p.Paths = []string{strings.Repeat("a/", 1001)} },
		"siblings would be deleted": func(p *Pull) { p.Paths, p.Args = []string{"a"}, []string{"--delete-excluded"} },
	} {
		p := good
		spoil(&p)
		if err := p.Validate(); err == nil {
			t.Errorf("%s is not refused", name)
		}
	}
}

func TestLockIsTheDestinations(t *testing.T) {
	a := Lock("/s", "/srv/a/tree")
	if b := Lock("/s", "/srv/b/tree"); a == b {
		t.Errorf("two destinations share the lock %s", a)
	}
	if long := Lock("/s", "/"+strings.Repeat("a", 255)); len(long) > 200 {
		t.Errorf("%d bytes", len(long))
	}
}

func TestParseStats(t *testing.T) {
	for name, text := range map[string]string{
		"3.5.0 plain":          "Number of files: 30061 (reg: 30000, dir: 61)\nNumber of created files: 2 (reg: 2)\nNumber of deleted files: 3\nTotal file size: 1234567 bytes\n",
		"3.1 to 3.5, default":  "Number of files: 30,061 (reg: 30,000, dir: 61)\nNumber of created files: 2 (reg: 2)\nNumber of deleted files: 3\nTotal file size: 1,234,567 bytes\n",
		"a locale with points": "Number of files: 30.061 (reg: 30.000, dir: 61)\nNumber of created files: 2 (reg: 2)\nNumber of deleted files: 3\nTotal file size: 1.234.567 bytes\n",
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
		if got := l.String(); len(got) > transport.MaxLine || strings.Count(got, "\n") >= 20 {
			t.Errorf("%d bytes kept", len(got))
		}
		if stats.Files < 0 || stats.TotalSize < 0 || stats.Sent < 0 {
			t.Errorf("%+v", stats)
		}
		if s := transport.Summary(text); len(s) > 510 {
			t.Errorf("%d bytes", len(s))
		}
	})
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

// TestScriptsAreSentWithoutComments holds that what travels with each sync is its scripts without their comments.
func TestScriptsAreSentWithoutComments(t *testing.T) {
	whole, sent := len(pullText)+len(aroundText), len(pullScript)+len(aroundScript)
	if sent*10 > whole*7 || strings.Contains(pullScript+aroundScript, "\n#") {
		t.Errorf("%d bytes are sent of %d", sent, whole)
	}
}
