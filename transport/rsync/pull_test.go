package rsync

import (
	"slices"
	"strings"
	"testing"
	"time"

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
		"NUL in an argument":        func(p *Pull) { p.After = transport.Script{Text: ":", Args: []string{"\x00"}} },
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
