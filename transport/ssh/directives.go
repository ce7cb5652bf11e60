package ssh

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/fleetsync/fleetsync/transport"
)

// applies tells whether a block of ssh_config is for a host. Of a Match it is not known: only the
// program can tell.
type applies int

const (
	appliesNot applies = iota
	appliesMaybe
	appliesYes
)

// directives are what ssh_config says of one host. The first value of a keyword holds, except of
// IdentityFile, where all do (ssh_config(5)).
type directives struct {
	host  string // as given, what Host patterns are matched with
	files *configFiles
	home  string

	first      map[string]configLine
	identities []string
	refused    string // why only the program can reach the host; empty if we can
}

// readDirectives reads options of the form keyword=value and then file, or the user's and the
// system's if it is empty.
func (f *configFiles) readDirectives(host, file string, options []string) *directives {
	d := &directives{host: host, files: f, home: homeDir(), first: map[string]configLine{}}
	for _, o := range options {
		for _, line := range parseConfigFile(o) {
			d.line("option "+line.keyword, line, appliesYes)
		}
	}
	switch file {
	case "none": // ssh(1), -F
	case "":
		d.file(filepath.Join(d.home, ".ssh", "config"), appliesYes, true, true, 0)
		d.file("/etc/ssh/ssh_config", appliesYes, false, false, 0)
	default:
		if _, err := os.Stat(file); err != nil {
			d.refuse("%v", err)
		}
		d.file(file, appliesYes, true, false, 0)
	}
	return d
}

// homeDir is where ~ is, which is not what HOME says (misc.c: tilde_expand).
func homeDir() string {
	if u, err := user.Current(); err == nil {
		return u.HomeDir
	}
	return os.Getenv("HOME")
}

func (d *directives) refuse(format string, args ...any) {
	if d.refused == "" {
		d.refused = transport.Neutral(fmt.Sprintf(format, args...))
	}
}

// maxInclude is READCONF_MAX_DEPTH of readconf.c.
const maxInclude = 16

// file reads a file of the user or of the system. Those that may be changed by others are the
// program's to complain about, if careful.
func (d *directives) file(name string, outer applies, users, careful bool, depth int) {
	file := d.files.read(name)
	if file.err != nil {
		d.refuse("%v", file.err)
		return
	}
	if careful && file.mode != nil {
		if s, ok := file.mode.Sys().(*syscall.Stat_t); ok && (s.Uid != 0 && int(s.Uid) != os.Getuid() || s.Mode&0o22 != 0) {
			d.refuse("%s: others may change it", name)
			return
		}
	}
	now := outer
	for _, line := range file.lines {
		at := fmt.Sprintf("%s line %d: %s", name, line.number, line.keyword)
		switch {
		case line.err != nil:
			d.refuse("%s %v", at, line.err)
		case line.keyword == "host":
			now = min(outer, matchesHost(d.host, line.args))
		case line.keyword == "match":
			now = min(outer, appliesMaybe)
			if len(line.args) == 1 && strings.EqualFold(line.args[0], "all") {
				now = outer
			}
		case line.keyword == "include":
			if now != appliesNot {
				d.include(at, line.args, now, users, depth)
			}
		default:
			d.line(at, line, now)
		}
	}
}

func (d *directives) include(at string, patterns []string, now applies, users bool, depth int) {
	if depth >= maxInclude {
		d.refuse("%s: too many files within files", at)
		return
	}
	for _, p := range patterns {
		switch {
		case strings.HasPrefix(p, "~/") && users:
			p = filepath.Join(d.home, p[2:])
		case strings.HasPrefix(p, "~"):
			d.refuse("%s %s: not understood", at, p)
			return
		case filepath.IsAbs(p):
		case users:
			p = filepath.Join(d.home, ".ssh", p)
		default:
			p = filepath.Join("/etc/ssh", p)
		}
		names, err := filepath.Glob(p)
		if err != nil || strings.ContainsAny(p, `{\`) {
			d.refuse("%s %s: not understood", at, p)
			return
		}
		for _, name := range names {
			d.file(name, now, users, users, depth+1)
		}
	}
}

// line takes a directive at a place into account.
func (d *directives) line(at string, line configLine, now applies) {
	if line.err != nil {
		d.refuse("%s %v", at, line.err)
		return
	}
	if now == appliesNot {
		return
	}
	_, seen := d.first[line.keyword]
	if harmless[line.keyword] {
		return
	}
	if honoured[line.keyword] {
		if seen && line.keyword != "identityfile" {
			return
		}
		if now == appliesMaybe {
			d.refuse("%s in a Match block", at)
			return
		}
		d.honour(at, line)
		return
	}
	values, known := refusedUnless[line.keyword]
	if !known {
		if ignored, ok := d.first["ignoreunknown"]; ok && len(ignored.args) == 1 {
			for pattern := range strings.SplitSeq(strings.ToLower(ignored.args[0]), ",") {
				if wildcard(pattern, line.keyword) {
					return
				}
			}
		}
		d.refuse("%s is not known", at)
		return
	}
	// Certificates add up (ssh_config(5)); of all others the first holds, which one that may not apply is not known to be.
	if seen && line.keyword != "certificatefile" {
		return
	}
	if now != appliesMaybe {
		d.first[line.keyword] = line
	}
	if len(line.args) != 1 || !slices.Contains(values, strings.ToLower(line.args[0])) {
		d.refuse("%s", at)
	}
}

func (d *directives) honour(at string, line configLine) {
	several := false
	switch line.keyword {
	case "userknownhostsfile", "globalknownhostsfile":
		several = true
	case "proxycommand":
		several = true // a command line
		if !strings.EqualFold(line.rest, "none") && len(d.first["proxyjump"].args) == 0 {
			d.refuse("%s", at)
		}
	case "proxyjump":
		if _, ok := d.first["proxycommand"]; ok {
			return // the first of the two holds (ssh_config(5))
		}
	case "connecttimeout":
		if len(line.args) == 1 && strings.EqualFold(line.args[0], "none") {
			return // as if it were not there: a later one holds (seen)
		}
	case "identityfile":
		if len(line.args) == 1 && !slices.Contains(d.identities, line.args[0]) {
			d.identities = append(d.identities, line.args[0])
		}
	}
	if len(line.args) == 0 || (len(line.args) > 1 && !several) || line.args[0] == "" {
		d.refuse("%s: wrong number of arguments", at)
		return
	}
	d.first[line.keyword] = line
}

// get returns the value of a keyword, or "".
func (d *directives) get(keyword string) string {
	if line, ok := d.first[keyword]; ok {
		return line.args[0]
	}
	return ""
}
