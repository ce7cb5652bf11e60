package inventory

import (
	"errors"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

func (p *policyParser) readPooling(n *yaml.Node) {
	pool := defaultPooling()
	var user, password, cert, key *yaml.Node
	balancers := map[string]*yaml.Node{}
	p.mapping(n, "pooling", keys{
		"endpoints":     p.textsInto(&pool.Endpoints, "endpoints", checkPoolEndpoint),
		"prefix":        p.prefixInto(&pool.Prefix, &p.poolPrefix),
		"select":        func(n *yaml.Node) { pool.Select = p.readSelect(n) },
		"threshold":     p.shareInto(&pool.Threshold),
		"services":      func(n *yaml.Node) { pool.Services = p.readServices(n) },
		"drain":         p.durationInto(&pool.Drain, 0),
		"timeout":       p.durationInto(&pool.Timeout, 100*time.Millisecond),
		"health":        func(n *yaml.Node) { pool.Health = p.readHealth(n) },
		"user":          func(n *yaml.Node) { user = n; p.textInto(&pool.User, checkPoolUser)(n) },
		"password":      p.refusePassword,
		"password_file": func(n *yaml.Node) { password = n; pool.Password = p.readPassword(n) },
		"ca_file":       p.localPath(&pool.CAFile),
		"cert_file":     func(n *yaml.Node) { cert = n; p.localPath(&pool.CertFile)(n) },
		"key_file":      func(n *yaml.Node) { key = n; p.localPath(&pool.KeyFile)(n) },
		"balancers":     func(n *yaml.Node) { pool.Balancers = p.readBalancers(n, balancers) },
		"quarantine":    p.textInto((*string)(&pool.Quarantine), checkQuarantine),

		"on_foreign_edit": p.textInto((*string)(&pool.OnForeignEdit), checkForeignEdit),
	}, "endpoints")
	p.checkMapped(&pool, balancers)
	p.together(user, password, "user", "password_file")
	p.together(cert, key, "cert_file", "key_file")
	p.policy.Pooling = &pool
}

// together reports a key that stands without its other half.
func (p *policyParser) together(a, b *yaml.Node, nameA, nameB string) {
	switch {
	case a != nil && b == nil:
		p.report(a, "write both or neither", "%s without %s", nameA, nameB)
	case a == nil && b != nil:
		p.report(b, "write both or neither", "%s without %s", nameB, nameA)
	}
}

var checkQuarantine = oneOf("choice of hosts", "write none, canaries or all", QuarantineNone, QuarantineCanaries, QuarantineAll)

func checkPoolEndpoint(s string) *fault {
	if strings.Contains(s, "@") {
		// Not quoted: what is before it may be a password.
		return faultf("use pooling's keys user and password_file", "the endpoint holds a user")
	}
	return checkBaseURL(s, "endpoint", "write https://HOST:PORT; the keys' path is set by prefix")
}

// checkBaseURL says when a URL without a user is not just scheme, host and port.
func checkBaseURL(s, what, hint string) *fault {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https":
		return faultf(hint, "bad %s %s", what, quote(s))
	case u.Path != "" || u.RawQuery != "" || u.ForceQuery || strings.Contains(s, "#"):
		return faultf(hint, "%s %s holds more than a host and a port", what, quote(s))
	case checkAddress(u.Hostname()) != nil || strings.ContainsAny(s, "{}"):
		return faultf(hint, "%s %s has a bad host", what, quote(s))
	}
	return checkURLPort(u, s, hint)
}

func checkPrefix(s string) *fault {
	const hint = "write the path of the keys, such as /conftool/v1/pools"
	if !strings.HasPrefix(s, "/") || s == "/" || path.Clean(s) != s {
		return faultf(hint, "bad prefix %s", quote(s))
	}
	for component := range strings.SplitSeq(s[1:], "/") {
		if checkWord(component) != nil {
			return faultf(hint, "bad prefix %s", quote(s))
		}
	}
	return nil
}

// checkPoolUser says what is wrong with a user of the API: a colon ends it (RFC 7617, 2).
func checkPoolUser(s string) *fault {
	if s == "" || len(s) > 256 || strings.Contains(s, ":") {
		return faultf("write the user's name; the password goes to password_file", "bad user name")
	}
	return checkPrintable(s)
}

func (p *policyParser) refusePassword(n *yaml.Node) {
	p.report(n, "write it to a file that only you can read, and name that: password_file: PATH", "a password does not belong into the policy")
}

func (p *policyParser) readSelect(n *yaml.Node) map[string][]string {
	selected := map[string][]string{}
	words := func(key string) func(*yaml.Node) {
		return func(n *yaml.Node) {
			if n.Kind == yaml.SequenceNode {
				selected[key] = p.texts(n, key, checkWord)
			} else if s, ok := p.text(n, checkWord); ok {
				selected[key] = []string{s}
			}
		}
	}
	p.mapping(n, "select", keys{
		"datacenter": words("datacenter"),
		"cluster":    words("cluster"),
		"service":    words("service"),
	})
	return selected
}

func (p *policyParser) readServices(n *yaml.Node) map[string]Amount {
	if !p.isMapping(n, "services") {
		return nil
	}
	services := map[string]Amount{}
	for key, value := range p.pairs(n) {
		if f := checkWord(key.Value); f != nil {
			p.reportFault(key, f)
		}
		var a Amount
		p.shareInto(&a)(value)
		services[key.Value] = a
	}
	return services
}

func (p *policyParser) readHealth(n *yaml.Node) *HTTPCheck {
	var check *HTTPCheck
	p.mapping(n, "health", keys{
		"http": func(n *yaml.Node) { check = p.readHTTP(n) },
	}, "http")
	return check
}

// maxPassword is the size of a password file that is still read, in bytes.
const maxPassword = 4096

// readPassword returns the content of a password file, without a newline at its end.
func (p *policyParser) readPassword(n *yaml.Node) string {
	s, ok := p.text(n, checkLocalPath)
	if !ok {
		return ""
	}
	data, err := readRegular(p.resolve(s), maxPassword)
	if err != nil {
		p.report(n, "write the password, and nothing else, to that file", "cannot read the password file: %s", escape(err.Error()))
		return ""
	}
	password := strings.TrimRight(string(data), "\r\n")
	if password == "" || slices.ContainsFunc([]byte(password), func(c byte) bool { return c < ' ' || c == 0x7f }) {
		p.report(n, "write the password, and nothing else, to that file", "the password file is empty or has more than a line")
		return ""
	}
	return password
}

// readRegular reads a file that is no pipe or device, of at most limit bytes.
func readRegular(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("not a regular file")}
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // nothing was written
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = &fs.PathError{Op: "read", Path: path, Err: errors.New("too large")}
	}
	return data, err
}
