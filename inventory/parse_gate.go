package inventory

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

func (p *policyParser) readGate(n *yaml.Node, g *Gate) {
	p.mapping(n, "gate", keys{
		"soak":     p.durationInto(&g.Soak, 0),
		"interval": p.durationInto(&g.Interval, 100*time.Millisecond),
		"checks":   func(n *yaml.Node) { g.Checks = p.readChecks(n) },
	})
}

func (p *policyParser) readChecks(n *yaml.Node) []Check {
	var checks []Check
	first := map[string]int{}
	for _, item := range p.items(n, "checks") {
		c := defaultCheck()
		var name, asks *yaml.Node
		if !p.mapping(item, "a check", keys{
			"name":    func(n *yaml.Node) { name = n; p.textInto(&c.Name, checkNameOf("check"))(n) },
			"http":    func(n *yaml.Node) { asks = n; c.HTTP = p.readHTTP(n) },
			"command": func(n *yaml.Node) { asks = n; c.Command = p.readCommand(n) },
			"timeout": p.durationInto(&c.Timeout, time.Millisecond),
		}, "name") {
			continue
		}
		both := hasKey(item, "http") && hasKey(item, "command")
		if both || asks == nil {
			p.report(item, "write either http: {url: …} or command: [PROGRAM, ARGUMENT, …]", "a check has exactly one of http and command")
		}
		if c.HTTP != nil && c.HTTP.Latency > c.Timeout {
			p.report(asks, "make the latency smaller or the timeout larger", "latency %v can never be reached: the check's timeout is %v",
				c.HTTP.Latency, c.Timeout)
		}
		if p.isDuplicate(first, name, "check", c.Name) {
			continue
		}
		checks = append(checks, c)
	}
	return checks
}

// stepName matches what a check or a hook may be called: with dashes for spaces it is part of a step's ID.
var stepName = regexp.MustCompile(`^[a-z0-9_][a-z0-9_-]*( [a-z0-9_-]+)*$`)

// checkNameOf returns a check of the name of what.
func checkNameOf(what string) func(string) *fault {
	return func(s string) *fault {
		if len(s) > 64 || !stepName.MatchString(s) {
			return faultf("use words of a-z, 0-9, _ and -, up to 64 characters", "bad name of a %s %s", what, quote(s))
		}
		return nil
	}
}

// isDuplicate reports a name that another item of the list has. The map holds the line of each name so far, as it
// is in a step's ID. An empty name is bad, which was reported.
func (d *document) isDuplicate(first map[string]int, at *yaml.Node, what, name string) bool {
	if name == "" {
		return false
	}
	id := strings.ReplaceAll(name, " ", "-")
	if line, again := first[id]; again {
		d.report(at, fmt.Sprintf("the first is on line %d; spaces and dashes count as one", line), "duplicate %s %s", what, quote(name))
		return true
	}
	first[id] = at.Line
	return false
}

// readCommand reads a program and its arguments.
func (p *policyParser) readCommand(n *yaml.Node) []string {
	if n.Kind == yaml.ScalarNode && !isNull(n) {
		p.reportKind(n, "command must be a list", "write [PROGRAM, ARGUMENT, …]; no shell splits a line")
		return nil
	}
	command := p.texts(n, "command", checkArgument)
	if len(command) > 0 && (command[0] == "" || command[0][0] == '-') {
		p.report(n.Content[0], "", "%s is no program", quote(command[0]))
	}
	return command
}

// checkArgument says what is wrong with an argument of a command. A script may have lines.
func checkArgument(s string) *fault {
	return checkPrintable(strings.NewReplacer("\n", " ", "\t", " ").Replace(s))
}

func (p *policyParser) readHTTP(n *yaml.Node) *HTTPCheck {
	h := defaultHTTP()
	p.mapping(n, "http", keys{
		"url":     p.textInto(&h.URL, checkURL),
		"headers": func(n *yaml.Node) { h.Headers = p.readHeaders(n) },
		"status":  p.numberInto(&h.Status, 100, 599),
		"body":    p.textInto(&h.Body, checkPattern),
		"latency": p.durationInto(&h.Latency, time.Millisecond),
	}, "url")
	return &h
}

var hasUser = regexp.MustCompile(`^[^/]*//[^/?#]*@`)

// checkURL says what is wrong with the URL of a check. It may hold {host}.
func checkURL(s string) *fault {
	const hint = "write http://{host}/PATH or https://{host}/PATH; {host} is the host's name"
	if f := checkPrintable(s); f != nil {
		return f
	}
	if f := checkPlaceholders(s); f != nil {
		f.hint = "the only placeholder is {host}; write other braces as %7B and %7D"
		return f
	}
	u, err := url.Parse(expand(s, sampleHost))
	switch {
	case hasUser.MatchString(s):
		// Not quoted: what is before the @ may be a password.
		return faultf("send an Authorization header", "the URL holds a user")
	case err != nil || u.Hostname() == "" || u.Opaque != "" || strings.ContainsAny(s, ` "<>\`):
		return faultf(hint, "bad URL %s", quote(s))
	case u.Scheme != "http" && u.Scheme != "https":
		return faultf(hint, "URL %s is neither http nor https", quote(s))
	case u.Fragment != "" || strings.HasSuffix(s, "#"):
		return faultf("remove what follows the #", "URL %s holds a fragment, which is never sent", quote(s))
	}
	return checkURLPort(u, s, hint)
}

// checkURLPort says when a URL has a port that no connection has; url.Parse takes any digits.
func checkURLPort(u *url.URL, s, hint string) *fault {
	port := u.Port()
	if port == "" && !strings.HasSuffix(u.Host, ":") {
		return nil
	}
	if len(port) == 0 || len(port) > 5 || port == "0" || len(port) == 5 && port > "65535" {
		return faultf(hint, "URL %s has a bad port", quote(s))
	}
	return nil
}

func checkPattern(s string) *fault {
	if _, err := regexp.Compile(s); err != nil {
		return faultf("write a regular expression of Go's syntax (RE2)", "bad pattern: %s",
			escape(strings.TrimPrefix(err.Error(), "error parsing regexp: ")))
	}
	return nil
}

// headerName matches a token (RFC 9110, 5.6.2).
var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

func (p *policyParser) readHeaders(n *yaml.Node) map[string]string {
	if !p.isMapping(n, "headers") {
		return nil
	}
	headers := map[string]string{}
	for key, value := range p.pairs(n) {
		name := http.CanonicalHeaderKey(key.Value)
		if !headerName.MatchString(key.Value) {
			p.report(key, "a header's name has letters, digits and dashes", "bad header %s", quote(key.Value))
			continue
		}
		if _, again := headers[name]; again {
			p.report(key, "the case of a header's name does not matter; keep one of them", "duplicate header %s", quote(key.Value))
			continue
		}
		if s, ok := p.text(value, checkPrintable); ok {
			headers[name] = s
		}
	}
	return headers
}
