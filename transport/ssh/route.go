package ssh

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/fleetsync/fleetsync/transport"
)

// route is how a host is reached, by whom it is trusted and how we prove who we are: what
// ssh_config(5) says of it, with its own defaults. It is not changed once it is made.
type route struct {
	key string // the same for the same connection

	network string // tcp, tcp4, tcp6
	address string
	port    int
	user    string
	via     *route // the jump host; nil: none

	known      string // what known_hosts are asked for; with a port if it is not 22 and there is no alias
	plain      string // the same without its port; "" if it has none
	principal  string // what a host certificate must be for
	knownFiles []string

	identities     []string
	given          bool // they are not the default ones
	identitiesOnly bool
	agent          string // socket; "": none

	timeout  time.Duration // to connect, and again for the handshake
	probe    time.Duration // for a host to say that it is there
	alive    time.Duration // without a word before the host is asked for one
	aliveMax int           // so many questions without an answer are the end

	hostKeys           []string // algorithms in the order of preference; nil: ours
	kex, ciphers, macs []string // nil: those of the library
}

// maxJumps bounds a chain of jump hosts, which may be a loop.
const maxJumps = 8

// errOnlyProgram is why a host can be reached by the OpenSSH program only.
type errOnlyProgram string

func (e errOnlyProgram) Error() string { return string(e) }

// route returns how to reach h. The error is an errOnlyProgram.
func (f *sshFiles) route(h transport.Host, c Config, depth int) (*route, error) {
	// A chain of jump hosts: the program gets a configuration file, but no options, for them (ssh.c).
	options := c.Options
	if depth > 0 {
		options = nil
	}
	d := f.readDirectives(h.Address, c.ConfigFile, options)
	r, jump, err := d.route(h, c)
	if err == nil && d.refused != "" {
		err = errOnlyProgram(d.refused)
	}
	if err != nil {
		return nil, err
	}
	via := ""
	if jump != "" {
		if depth >= maxJumps {
			return nil, errOnlyProgram("proxyjump: too many jump hosts, one after the other")
		}
		if r.via, err = f.jump(jump, c, depth+1); err != nil {
			return nil, err
		}
		via = r.via.key
	}
	r.key = strings.Join([]string{h.Address, r.user, strconv.Itoa(r.port), via}, "\x00")
	return r, nil
}

// jump returns the route to the last of a list of jump hosts, through those before.
func (f *sshFiles) jump(list string, c Config, depth int) (*route, error) {
	rest, last := "", list
	if i := strings.LastIndexByte(list, ','); i >= 0 {
		rest, last = list[:i], list[i+1:]
	}
	h, err := parseJump(last)
	if err != nil {
		return nil, errOnlyProgram(err.Error())
	}
	r, err := f.route(h, c, depth)
	if err != nil {
		return nil, errOnlyProgram(transport.Neutral(fmt.Sprintf("jump host %s: %v", h.Address, err)))
	}
	if rest != "" {
		// What is given outranks what the configuration says of that host.
		if depth >= maxJumps {
			return nil, errOnlyProgram("proxyjump: too many jump hosts, one after the other")
		}
		if r.via, err = f.jump(rest, c, depth+1); err != nil {
			return nil, err
		}
		r.key += "\x00" + r.via.key
	}
	return r, nil
}

// parseJump reads [user@]host[:port] or ssh://[user@]host[:port].
func parseJump(s string) (transport.Host, error) {
	bad := fmt.Errorf("proxyjump: %q is no host", transport.Neutral(s))
	var h transport.Host
	if after, ok := strings.CutPrefix(s, "ssh://"); ok {
		u, err := url.Parse(s)
		if err != nil || (u.Path != "" && u.Path != "/") || strings.Contains(after, "?") {
			return transport.Host{}, bad
		}
		s = u.Host
		if u.User != nil {
			h.User = u.User.Username()
		}
	} else if i := strings.LastIndexByte(s, '@'); i >= 0 {
		h.User, s = s[:i], s[i+1:]
		if h.User == "" {
			return transport.Host{}, bad
		}
	}
	h.Address = s
	if host, port, err := net.SplitHostPort(s); err == nil {
		h.Address = host
		if h.Port, err = strconv.Atoi(port); err != nil || h.Port < 1 {
			return transport.Host{}, bad
		}
	} else if len(s) > 2 && s[0] == '[' && s[len(s)-1] == ']' {
		h.Address = s[1 : len(s)-1]
	} else if strings.Count(s, ":") == 1 {
		return transport.Host{}, bad
	}
	if h.Validate() != nil {
		return transport.Host{}, bad
	}
	return h, nil
}

// route returns the route without its jump host, which it returns as it is written.
func (d *directives) route(h transport.Host, c Config) (r *route, jump string, err error) {
	r = &route{network: "tcp", port: h.Port, user: h.User, aliveMax: 3, alive: 15 * time.Second}
	fail := func(keyword string, err error) (*route, string, error) {
		return nil, "", errOnlyProgram(transport.Neutral(fmt.Sprintf("%s %s: %v", keyword, d.get(keyword), err)))
	}
	switch v := strings.ToLower(d.get("addressfamily")); v {
	case "", "any":
	case "inet":
		r.network = "tcp4"
	case "inet6":
		r.network = "tcp6"
	default:
		return fail("addressfamily", errors.New("not understood"))
	}
	if v := d.get("port"); r.port == 0 && v != "" {
		if r.port, err = strconv.Atoi(v); err != nil || r.port < 1 || r.port > 65535 {
			return fail("port", errors.New("is no port"))
		}
	}
	if r.port == 0 {
		r.port = 22
	}
	if r.user == "" {
		r.user = d.get("user")
	}
	me, err := user.Current()
	if err != nil {
		return nil, "", errOnlyProgram(err.Error())
	}
	if r.user == "" {
		r.user = me.Username
	}
	r.address = h.Address
	if v := d.get("hostname"); v != "" {
		if r.address, err = expand(v, map[byte]string{'h': h.Address}); err != nil {
			return fail("hostname", err)
		}
	}
	r.address = strings.ToLower(r.address) // ssh.c
	if (transport.Host{Address: r.address}).Validate() != nil {
		return fail("hostname", errors.New("is no address"))
	}

	r.principal = r.address
	r.known = r.address
	if alias := d.get("hostkeyalias"); alias != "" {
		alias = strings.ToLower(alias) // seen
		r.known, r.principal = alias, alias
	} else if r.port != 22 {
		r.known, r.plain = fmt.Sprintf("[%s]:%d", r.address, r.port), r.address
	}

	name, err := os.Hostname()
	if err != nil {
		return nil, "", errOnlyProgram(err.Error())
	}
	short, _, _ := strings.Cut(name, ".")
	tokens := map[byte]string{
		'h': r.address, 'n': h.Address, 'p': strconv.Itoa(r.port), 'r': r.user, 'u': me.Username, 'd': me.HomeDir,
		'l': name, 'L': short, 'i': me.Uid, 'k': r.known,
	}
	if d.get("hostkeyalias") == "" {
		tokens['k'] = h.Address
	}
	path := func(s string) (string, error) {
		s, err := expand(s, tokens)
		if err != nil {
			return "", err
		}
		if strings.HasPrefix(s, "~/") {
			return filepath.Join(me.HomeDir, s[2:]), nil
		}
		if strings.HasPrefix(s, "~") {
			return "", errors.New("not understood")
		}
		return s, nil
	}
	for _, k := range []struct{ keyword, ours string }{
		{"userknownhostsfile", "~/.ssh/known_hosts ~/.ssh/known_hosts2"},
		{"globalknownhostsfile", "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"},
	} {
		names := strings.Fields(k.ours)
		if line, ok := d.first[k.keyword]; ok {
			names = line.args
		}
		for _, n := range names {
			if strings.EqualFold(n, "none") && len(names) == 1 {
				continue
			}
			n, err := path(n)
			if err != nil {
				return fail(k.keyword, err)
			}
			r.knownFiles = append(r.knownFiles, n)
		}
	}

	ids := d.identities
	if r.given = len(ids) > 0; !r.given {
		ids = []string{"~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa"}
	}
	for _, n := range ids {
		if strings.EqualFold(n, "none") {
			continue
		}
		n, err := path(n)
		if err != nil {
			return fail("identityfile", err)
		}
		if !slices.Contains(r.identities, n) {
			r.identities = append(r.identities, n)
		}
	}
	switch v := strings.ToLower(d.get("identitiesonly")); v {
	case "", "no", "false":
	case "yes", "true":
		r.identitiesOnly = true
	default:
		return fail("identitiesonly", errors.New("not understood"))
	}
	switch v := d.get("identityagent"); {
	case v == "", v == "SSH_AUTH_SOCK":
		r.agent = os.Getenv("SSH_AUTH_SOCK")
	case strings.EqualFold(v, "none"):
	case v[0] == '$' && !strings.HasPrefix(v, "${"):
		r.agent = os.Getenv(v[1:])
	default:
		if r.agent, err = path(v); err != nil {
			return fail("identityagent", err)
		}
	}

	if v := d.get("connecttimeout"); v != "" {
		if r.timeout, err = sshDuration(v); err != nil {
			return fail("connecttimeout", err)
		}
	}
	if c.ConnectTimeout > 0 {
		r.timeout = c.ConnectTimeout
	}
	r.probe = r.timeout
	if r.timeout <= 0 {
		r.timeout, r.probe = 15*time.Second, 10*time.Second
	}
	if v := d.get("serveraliveinterval"); v != "" {
		alive, err := sshDuration(v)
		if err != nil {
			return fail("serveraliveinterval", err)
		}
		// 0 is never, but a host that is gone must be noticed.
		if alive > 0 {
			r.alive = alive
		}
	}
	if v := d.get("serveralivecountmax"); v != "" {
		if r.aliveMax, err = strconv.Atoi(v); err != nil || r.aliveMax < 0 {
			return fail("serveralivecountmax", errors.New("is no number"))
		}
		r.aliveMax = max(r.aliveMax, 1)
	}

	safe, unsafe := safeAlgorithms(), unsafeAlgorithms()
	for _, k := range []struct {
		keyword      string
		safe, unsafe []string
		to           *[]string
	}{
		{"hostkeyalgorithms", hostKeyAlgorithms(), unsafe.HostKeys, &r.hostKeys},
		{"kexalgorithms", safe.KeyExchanges, slices.Concat(unsafe.KeyExchanges, []string{"curve25519-sha256@libssh.org"}), &r.kex},
		{"ciphers", safe.Ciphers, unsafe.Ciphers, &r.ciphers},
		{"macs", safe.MACs, unsafe.MACs, &r.macs},
	} {
		if v := d.get(k.keyword); v != "" {
			if *k.to = chooseAlgorithms(v, k.safe, k.unsafe); len(*k.to) == 0 {
				return fail(k.keyword, errors.New("none of them is known"))
			}
		}
	}

	if v := d.get("proxyjump"); v != "" && !strings.EqualFold(v, "none") {
		if jump, err = expand(v, tokens); err != nil {
			return fail("proxyjump", err)
		}
	}
	return r, jump, nil
}

// What the library has. Nobody changes it.
var (
	safeAlgorithms   = sync.OnceValue(ssh.SupportedAlgorithms)
	unsafeAlgorithms = sync.OnceValue(ssh.InsecureAlgorithms)
)

// chooseAlgorithms reads a list of algorithms as ssh_config(5) has it for Ciphers and its like, as far
// as we have them.
func chooseAlgorithms(list string, safe, unsafe []string) []string {
	pick := func(names, from []string) []string {
		var picked []string
		for _, n := range names {
			for _, f := range from {
				if wildcard(n, f) && !slices.Contains(picked, f) {
					picked = append(picked, f)
				}
			}
		}
		return picked
	}
	all := slices.Concat(safe, unsafe)
	names := strings.Split(strings.TrimLeft(list, "+-^"), ",")
	without := func(from, drop []string) []string {
		return slices.DeleteFunc(slices.Clone(from), func(s string) bool { return slices.Contains(drop, s) })
	}
	switch list[0] {
	case '+':
		return append(slices.Clone(safe), without(pick(names, all), safe)...)
	case '-':
		return without(safe, pick(names, safe))
	case '^':
		first := pick(names, all)
		return append(first, without(safe, first)...)
	default:
		return pick(names, all)
	}
}

// expand replaces the tokens of ssh_config(5), %h and the like, and ${NAME} by what the environment has.
func expand(s string, tokens map[byte]string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '%' && i+1 < len(s):
			i++
			if s[i] == '%' {
				b.WriteByte('%')
				continue
			}
			v, ok := tokens[s[i]]
			if !ok {
				return "", fmt.Errorf("the token %%%c is not known", s[i])
			}
			b.WriteString(v)
		case s[i] == '%':
			return "", errors.New("a token without its letter")
		case strings.HasPrefix(s[i:], "${"):
			name, _, ok := strings.Cut(s[i+2:], "}")
			v, set := os.LookupEnv(name)
			if !ok || !set {
				return "", fmt.Errorf("%s is not in the environment", name)
			}
			b.WriteString(v)
			i += len(name) + 2
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), nil
}

// sshDuration reads a time as sshd_config(5), TIME FORMATS: 90, 1m30s.
func sshDuration(s string) (time.Duration, error) {
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}
	if strings.EqualFold(s, "none") {
		return 0, nil
	}
	var total time.Duration
	for rest := s; rest != ""; {
		n := 0
		for n < len(rest) && '0' <= rest[n] && rest[n] <= '9' {
			n++
		}
		v, err := strconv.ParseInt(rest[:n], 10, 32)
		if err != nil {
			return 0, fmt.Errorf("%q is no time", s)
		}
		rest = rest[n:]
		unit := time.Second
		if rest != "" {
			var ok bool
			if unit, ok = units[rest[0]|0x20]; !ok {
				return 0, fmt.Errorf("%q is no time", s)
			}
			rest = rest[1:]
		}
		const year = 365 * 24 * time.Hour
		if v > int64(year/unit) || total > year {
			return 0, fmt.Errorf("%q is too long", s)
		}
		total += time.Duration(v) * unit
	}
	return total, nil
}
