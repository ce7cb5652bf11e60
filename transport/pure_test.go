package transport

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestPullCommand(t *testing.T) {
	p := Pull{Source: "rsync://10.0.0.1:873/common/", Destination: "/srv/media wiki", Scratch: "/srv/.fleetsync"}
	lock := "/srv/.fleetsync/media wiki-aac632af.lock"
	head := []string{"sh", "-c", pullScript, "fleetsync", "/srv/.fleetsync", lock, "/srv/media wiki", "rsync", "--archive", "--delete", "--delete-delay", "--delay-updates", "--modify-window=-1", "--filter=R .~tmp~/"}
	foot := []string{"--stats", "--no-human-readable", "--outbuf=L", "--no-motd", "rsync://10.0.0.1:873/common/", "/srv/media wiki/"}
	join := func(parts ...[]string) (all []string) {
		for _, part := range parts {
			all = append(all, part...)
		}
		return all
	}

	want := Command{Args: join(head, []string{"--timeout=60", "--contimeout=60", "--max-delete=0"}, foot)}
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
	want = Command{
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

// TestQuote: what is quoted is read back by a real shell.
func TestQuote(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.OneOf(rapid.String(), rapid.StringMatching(`['"\\$ \n!*-]{0,8}`)), 1, 20).Draw(t, "words")
		for i := range words {
			words[i] = strings.ReplaceAll(words[i], "\x00", "")
		}
		out, err := exec.Command("sh", "-c", `printf '%s\0' `+Quote(words...)).Output()
		if want := strings.Join(words, "\x00") + "\x00"; err != nil || string(out) != want {
			t.Fatalf("%q is read as %q, %v", want, out, err)
		}
	})
}

func TestDial(t *testing.T) {
	d := Dialer{SSH: SSHConfig{Client: ClientOpenSSH}}
	for _, h := range []Host{
		{}, {Name: "-oProxyCommand=x"}, {Name: "a", Address: "-x"}, {Name: "a", Address: "ssh://b"}, {Name: "a", Address: "u@b"},
		{Name: "a b"}, {Name: "a\nb"}, {Name: "a", User: "-x"}, {Name: "a", User: "x\n"}, {Name: "a", Port: -1}, {Name: "a", Port: 1 << 16},
	} {
		if _, err := d.Dial(h); err == nil {
			t.Errorf("%+v is not refused", h)
		}
	}
	conn, err := d.Dial(Host{Name: "mw1", Address: "::1", Port: 22, User: "deploy", Become: "mwdeploy"})
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(conn.(*openSSH).command("LINE"), " ")
	want := "ssh -T -x -o BatchMode=yes -o ConnectTimeout=15 -o ServerAliveInterval=15 -o ServerAliveCountMax=3" +
		" -o ClearAllForwardings=yes -o RemoteCommand=none -l deploy -p 22 -- ::1 LINE"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	_, err = conn.Run(t.Context(), Command{Args: []string{"echo", strings.Repeat("x", 128<<10)}})
	if e := (*Error)(nil); !errors.As(err, &e) || e.Class != ClassPermanent {
		t.Errorf("a command line that is too long: %v", err)
	}
}

func TestWrapped(t *testing.T) {
	argv, err := wrapped(Command{Args: []string{"rsync", "-a"}, Stdin: []byte("abc")}, "mwdeploy", 0)
	if diff := cmp.Diff([]string{"sudo", "-n", "-u", "mwdeploy", "--", "sh", "-c", wrapper, "fleetsync", "1.000", "3", "rsync", "-a"}, argv); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

// TestWrapperWaitsForItsInput: a command whose input was cut off is not started.
func TestWrapperWaitsForItsInput(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	argv, err := wrapped(Command{Args: []string{"touch", mark}, Stdin: []byte("+ /wmf-config\n- *\n")}, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin = strings.NewReader("+ /wmf")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 143 || string(out) != "input ended after 6 of 18 bytes\n" {
		t.Errorf("%v: %s", err, out)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("the command was started")
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
	for _, line := range []string{"", "Number of files: 1", "1 101% 1B/s 0:0", "x 1% 1B/s 0:0", "1 1% 1B/s 0:0 (xfr#x, to-chk=1/1)", "1 1% 1B/s 0:0 xfr to"} {
		if got, ok := parseProgress(line); ok {
			t.Errorf("%q: %+v", line, got)
		}
	}
}

func TestNeutral(t *testing.T) {
	for in, want := range map[string]string{
		"plain é 漢":                 "plain é 漢",
		"\x1b]0;title\x07\x1b[2Jx":  "]0;title[2Jx",
		"c1 \u009b31m \u0085":       "c1 31m ",
		"\u202etxt.exe\u2066\u200f": "txt.exe",
		"a\tb\u2028c\x7f":           "a bc",
		"bad \xff\x9b31m":           "bad \ufffd31m",
	} {
		if got := Neutral(in); got != want {
			t.Errorf("%q: %q, not %q", in, got, want)
		}
	}
}

func TestLinesAreBounded(t *testing.T) {
	var logged []string
	l := lines{keep: 20, log: func(s string) { logged = append(logged, s) }}
	for range 100 {
		if _, err := l.Write([]byte(strings.Repeat("x", 1000))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Write([]byte("\nlast\r")); err != nil {
		t.Fatal(err)
	}
	if len(logged) != 2 || len(logged[0]) != maxLine || logged[1] != "last" || len(l.String()) > maxLine {
		t.Errorf("%d lines, %d bytes kept", len(logged), len(l.String()))
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
	if v := (Version{3, 1, 3}); !v.AtLeast(3, 1, 3) || !v.AtLeast(3, 0, 9) || v.AtLeast(3, 2, 0) || v.AtLeast(4, 0, 0) || v.AtLeast(3, 1, 4) || !v.AtLeast(2, 9, 9) {
		t.Error(v)
	}
}

func TestSummary(t *testing.T) {
	for in, want := range map[string]string{
		"": "",
		"@ERROR: Unknown module 'x'\nrsync error: error starting client-server protocol (code 5) at main.c(1) [Receiver=3.5.0]": "@ERROR: Unknown module 'x'",
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

func FuzzOutput(f *testing.F) {
	f.Add("   198975  99%   22.91kB/s    0:00:08 (xfr#29991, to-chk=9/30061)\rNumber of files: 3 (reg: 2, dir: 1)\n\x1b[31m")
	f.Add("Total file size: 1,234,567 bytes\nTotal bytes sent: 99999999999999999999\n")
	f.Add("1 1% 1B/s 0:0 (xfr#1, to-chk=1/1)\n\xff\u202e\n")
	f.Fuzz(func(t *testing.T, text string) {
		var stats Stats
		l := lines{keep: 20, log: func(line string) {
			if !utf8.ValidString(line) || hasControl(line) || line == "" {
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
		l.flush()
		if got := l.String(); len(got) > maxLine || strings.Count(got, "\n") >= 20 {
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

func FuzzParseVersion(f *testing.F) {
	f.Add("rsync  version 3.5.0  protocol version 32")
	f.Add("rsync version v3.2.3dev")
	f.Fuzz(func(t *testing.T, text string) {
		if v, err := ParseVersion(text); err == nil && !v.AtLeast(0, 0, 0) {
			t.Errorf("%+v", v)
		}
	})
}
