package ssh

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/fleetsync/fleetsync/transport"
)

// sshFiles are the files of ssh_config(5), read once.
type sshFiles struct {
	mu    sync.Mutex
	files map[string]sshFile
}

// sshFile is one of them. A file that is not there has no lines.
type sshFile struct {
	lines []sshLine
	err   error
	mode  fs.FileInfo
}

// sshLine is one line: a keyword in lower case, and its arguments.
type sshLine struct {
	keyword string
	args    []string
	rest    string // the arguments as they stand, for what reads them in another way
	number  int
	err     error // it cannot be read; the program stops at it
}

// parseSSHConfig reads a file as readconf.c of OpenSSH 9.2 does.
func parseSSHConfig(text string) []sshLine {
	var lines []sshLine
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimLeft(strings.TrimRight(line, " \t\r\n\f"), " \t\r")
		if line == "" || line[0] == '#' {
			continue
		}
		l := sshLine{number: i + 1}
		end := strings.IndexAny(line, " \t\r=")
		if end < 0 {
			end = len(line)
		}
		l.keyword = strings.ToLower(line[:end])
		l.rest = strings.TrimLeft(line[end:], " \t\r")
		if strings.HasPrefix(l.rest, "=") {
			l.rest = strings.TrimLeft(l.rest[1:], " \t\r")
		}
		switch {
		case strings.ContainsAny(line, "\x00"), strings.ContainsAny(l.keyword, `"`):
			l.err = errors.New("cannot be read")
		case l.rest == "":
			l.err = errors.New("has no argument")
		default:
			l.args, l.err = splitSSHArgs(l.rest)
		}
		lines = append(lines, l)
	}
	return lines
}

// splitSSHArgs is argv_split of OpenSSH's misc.c: quotes of both kinds, few escapes, and a comment
// where a word could begin.
func splitSSHArgs(s string) ([]string, error) {
	var args []string
	for i := 0; i < len(s); i++ {
		if s[i] == ' ' || s[i] == '\t' {
			continue
		}
		if s[i] == '#' {
			break
		}
		var quote byte
		var arg []byte
		for ; i < len(s); i++ {
			c := s[i]
			if c == '\\' && i+1 < len(s) && (strings.IndexByte(`'"\`, s[i+1]) >= 0 || (quote == 0 && s[i+1] == ' ')) {
				i++
				arg = append(arg, s[i])
			} else if quote == 0 && (c == ' ' || c == '\t') {
				break
			} else if quote == 0 && (c == '"' || c == '\'') {
				quote = c
			} else if quote != 0 && c == quote {
				quote = 0
			} else {
				arg = append(arg, c)
			}
		}
		if quote != 0 {
			return nil, errors.New("has a quote that does not end")
		}
		args = append(args, string(arg))
	}
	return args, nil
}

func (f *sshFiles) read(name string) sshFile {
	f.mu.Lock()
	defer f.mu.Unlock()
	if file, ok := f.files[name]; ok {
		return file
	}
	var file sshFile
	text, err := os.ReadFile(name)
	if err == nil {
		file.lines = parseSSHConfig(string(text))
		file.mode, err = os.Stat(name)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		file.err = err
	}
	if f.files == nil {
		f.files = map[string]sshFile{}
	}
	f.files[name] = file
	return file
}

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
	files *sshFiles
	home  string

	first      map[string]sshLine
	identities []string
	refused    string // why only the program can reach the host; empty if we can
}

// readDirectives reads options of the form keyword=value and then file, or the user's and the
// system's if it is empty.
func (f *sshFiles) readDirectives(host, file string, options []string) *directives {
	d := &directives{host: host, files: f, home: homeDir(), first: map[string]sshLine{}}
	for _, o := range options {
		for _, line := range parseSSHConfig(o) {
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

// matchesHost is the test of a Host line: a pattern with a ! that matches ends it.
func matchesHost(host string, patterns []string) applies {
	found := appliesNot
	for _, p := range patterns {
		if not, ok := strings.CutPrefix(p, "!"); ok {
			if wildcard(not, host) {
				return appliesNot
			}
		} else if wildcard(p, host) {
			found = appliesYes
		}
	}
	return found
}

// wildcard tells whether s matches pattern, where * is any text and ? any byte (ssh_config(5), PATTERNS).
func wildcard(pattern, s string) bool {
	p, i := 0, 0
	star, mark := -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// What a keyword means to us. Those in none of the lists are new or wrong: only the program can tell.
var (
	honoured = set(strings.Fields(`
		addressfamily ciphers connecttimeout globalknownhostsfile hostkeyalgorithms hostkeyalias hostname identitiesonly
		identityagent identityfile ignoreunknown kexalgorithms macs port proxycommand proxyjump serveralivecountmax
		serveraliveinterval user userknownhostsfile`))
	// Each changes whom one talks to, whom one trusts or how one proves oneself, unless it has one of the values.
	refusedUnless = map[string][]string{
		"bindaddress":                      nil,
		"bindinterface":                    nil,
		"casignaturealgorithms":            nil,
		"certificatefile":                  {"none"},
		"canonicalizehostname":             {"no"},
		"hostbasedauthentication":          {"no"},
		"knownhostscommand":                {"none"},
		"nohostauthenticationforlocalhost": {"no"},
		"pkcs11provider":                   {"none"},
		"preferredauthentications":         {"publickey"},
		"pubkeyacceptedalgorithms":         nil,
		"pubkeyacceptedkeytypes":           nil,
		"pubkeyauthentication":             {"yes", "unbound", "host-bound"},
		"requiredrsasize":                  nil,
		"revokedhostkeys":                  {"none"},
		"securitykeyprovider":              {"internal"},
		"smartcarddevice":                  {"none"},
		"verifyhostkeydns":                 {"no", "ask"},
	}
	// What is about people at terminals, forwarding, speed, or gone from ssh. Any StrictHostKeyChecking
	// is as good as yes: a key that is not known is refused.
	harmless = set(strings.Fields(`
		addkeystoagent afstokenpassing batchmode canonicaldomains canonicalizefallbacklocal canonicalizemaxdots
		canonicalizepermittedcnames challengeresponseauthentication channeltimeout checkhostip cipher clearallforwardings
		compression compressionlevel connectionattempts controlmaster controlpath controlpersist dsaauthentication
		dynamicforward enableescapecommandline enablesshkeysign escapechar exitonforwardfailure fallbacktorsh
		fingerprinthash forkafterauthentication forwardagent forwardx11 forwardx11timeout forwardx11trusted gatewayports
		globalknownhostsfile2 gssapiauthentication gssapiclientidentity gssapidelegatecredentials gssapikeyexchange gssapikexalgorithms
		gssapirenewalforcesrekey gssapiserveridentity gssapitrustdns hashknownhosts hostbasedacceptedalgorithms hostbasedkeytypes ipqos
		kbdinteractiveauthentication kbdinteractivedevices keepalive kerberosauthentication kerberostgtpassing localcommand
		localforward loglevel logverbose numberofpasswordprompts obscurekeystroketiming passwordauthentication
		permitlocalcommand permitremoteopen protocol proxyusefdpass rekeylimit remotecommand remoteforward requesttty
		rhostsauthentication rhostsrsaauthentication rsaauthentication sendenv sessiontype setenv skeyauthentication
		stdinnull streamlocalbindmask streamlocalbindunlink stricthostkeychecking syslogfacility tcpkeepalive tisauthentication
		tunnel tunneldevice updatehostkeys useprivilegedport userknownhostsfile2 useroaming usersh visualhostkey
		warnweakcrypto xauthlocation versionaddendum`))
)

// set returns words as a set.
func set(words []string) map[string]bool {
	m := map[string]bool{}
	for _, w := range words {
		m[w] = true
	}
	return m
}

// line takes a directive at a place into account.
func (d *directives) line(at string, line sshLine, now applies) {
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

func (d *directives) honour(at string, line sshLine) {
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
