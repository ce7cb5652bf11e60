package inventory

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// hostHint says what a host's name is made of. Such a name means nothing to a shell, and rsync cannot
// read it as an option, a path or a HOST:PATH.
const hostHint = "a host name has labels of letters, digits, - and _, joined by dots; no label begins or ends with -, or is longer than 63"

// A DNS name has at most 253 characters, and a label 63 (RFC 1035, 2.3.4).
const (
	maxName  = 253
	maxLabel = 63
)

var (
	account = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,31}$`)
	wordly  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)
)

// operators are the words of the selection language, which no host or group may have for a name.
var operators = []string{"and", "or", "not"}

// checkHost says what is wrong with a host's name.
func checkHost(name string) *fault {
	if name == "" {
		return faultf(hostHint, "the host name is empty")
	}
	if len(name) > maxName {
		return faultf(hostHint, "host name %s is longer than %d characters", quote(name), maxName)
	}
	for i, r := range name {
		if !isHostRune(r) {
			return faultf(hostHint, "host name %s holds %s", quote(name), quote(string(r))).at(i)
		}
	}
	offset := 0
	for l := range strings.SplitSeq(name, ".") {
		if l == "" || len(l) > maxLabel || l[0] == '-' || l[len(l)-1] == '-' {
			return faultf(hostHint, "host name %s has the bad label %s", quote(name), quote(l)).at(offset)
		}
		offset += len(l) + 1
	}
	return checkReserved(name)
}

// checkReserved says when a name cannot be a name because the selection language has it.
func checkReserved(name string) *fault {
	if slices.Contains(operators, name) {
		return faultf("choose another name", "%s is a word of the selection language", quote(name))
	}
	return nil
}

func isHostRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.'
}

// checkWord says what is wrong with the name of something that is no host: a fleet, a group, a
// datacenter, a rack, a module, a cluster.
func checkWord(s string) *fault {
	if !wordly.MatchString(s) {
		return faultf("use up to 64 letters, digits, _, - and ., beginning with a letter, digit or _", "bad name %s", quote(s))
	}
	return nil
}

// checkGroup says what is wrong with the name of a group.
func checkGroup(s string) *fault {
	if strings.HasPrefix(s, "@") {
		return faultf("write it without the @; only references have one", "bad name %s", quote(s))
	}
	if f := checkWord(s); f != nil {
		return f
	}
	return checkReserved(s)
}

// checkUser says what is wrong with the name of an account.
func checkUser(s string) *fault {
	if !account.MatchString(s) {
		return faultf("use up to 32 letters, digits, _, - and ., beginning with a letter or _", "bad user name %s", quote(s))
	}
	return nil
}

// checkAddress says what is wrong with what to connect to: a host's name or an IP address. It may
// hold {host}.
func checkAddress(s string) *fault {
	if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
		return nil
	}
	if strings.HasPrefix(s, "[") {
		return faultf("write an IPv6 address without brackets here", "bad address %s", quote(s))
	}
	if checkPlaceholders(s) != nil || checkHost(expand(s, sampleHost)) != nil {
		return faultf("write a host name, an IPv4 address or an IPv6 address; {host} is the host's name", "bad address %s", quote(s))
	}
	return nil
}

const endpointHint = "write rsync://HOST or rsync://HOST:PORT, an IPv6 address in brackets; the module is set under tree"

// checkEndpoint says what is wrong with the address of an rsyncd. It may hold {host}.
func checkEndpoint(s string) *fault {
	if strings.Contains(s, "@") {
		// Not quoted: what is before it may be a password.
		return faultf("rsyncd serves the tree to hosts without a user; "+endpointHint, "the endpoint holds a user")
	}
	bad := faultf(endpointHint, "bad endpoint %s", quote(s))
	rest, ok := strings.CutPrefix(s, "rsync://")
	if !ok {
		return bad
	}
	host, port := rest, ""
	if inside, after, ok := strings.Cut(strings.TrimPrefix(rest, "["), "]"); ok && strings.HasPrefix(rest, "[") {
		if ip, err := netip.ParseAddr(inside); err != nil || !ip.Is6() {
			return bad
		}
		host, port = inside, after
	} else if i := strings.IndexByte(rest, ':'); i >= 0 {
		host, port = rest[:i], rest[i:]
	}
	if port != "" {
		n, err := strconv.Atoi(port[1:])
		if err != nil || port[0] != ':' || !startsWithDigit(port[1:]) || n < 1 || n > 65535 {
			return bad
		}
	}
	if checkAddress(host) != nil {
		return bad
	}
	return nil
}

// defaultEndpoint returns the endpoint of an rsyncd on its usual port.
func defaultEndpoint(address string) string {
	if strings.Contains(address, ":") {
		return "rsync://[" + address + "]"
	}
	return "rsync://" + address
}
