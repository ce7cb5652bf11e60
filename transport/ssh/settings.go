package ssh

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fleetsync/fleetsync/transport"
)

// settings reads the directives of one host into its route, one subject after the other. Each error is an errOnlyProgram.
type settings struct {
	*directives
	route  *route
	me     *user.User
	asked  transport.Host
	config Config
	tokens map[byte]string // what %h and the like stand for
}

// bad is the error of a keyword whose value is not understood.
func (s *settings) bad(keyword string, err error) error {
	return errOnlyProgram(transport.Neutral(fmt.Sprintf("%s %s: %v", keyword, s.get(keyword), err)))
}

// readAddress reads where the host is, as whom to log in, and by which name it is known.
func (s *settings) readAddress() error {
	var err error
	switch v := strings.ToLower(s.get("addressfamily")); v {
	case "", "any":
	case "inet":
		s.route.network = "tcp4"
	case "inet6":
		s.route.network = "tcp6"
	default:
		return s.bad("addressfamily", errors.New("not understood"))
	}
	if v := s.get("port"); s.route.port == 0 && v != "" {
		if s.route.port, err = strconv.Atoi(v); err != nil || s.route.port < 1 || s.route.port > 65535 {
			return s.bad("port", errors.New("is no port"))
		}
	}
	if s.route.port == 0 {
		s.route.port = 22
	}
	if s.route.user == "" {
		s.route.user = s.get("user")
	}
	if s.route.user == "" {
		s.route.user = s.me.Username
	}
	s.route.address = s.asked.Address
	if v := s.get("hostname"); v != "" {
		if s.route.address, err = expand(v, map[byte]string{'h': s.asked.Address}); err != nil {
			return s.bad("hostname", err)
		}
	}
	s.route.address = strings.ToLower(s.route.address) // ssh.c
	if validHost(transport.Host{Address: s.route.address}) != nil {
		return s.bad("hostname", errors.New("is no address"))
	}

	s.route.principal = s.route.address
	s.route.known = s.route.address
	if alias := s.get("hostkeyalias"); alias != "" {
		alias = strings.ToLower(alias) // seen
		s.route.known, s.route.principal = alias, alias
	} else if s.route.port != 22 {
		s.route.known, s.route.plain = fmt.Sprintf("[%s]:%d", s.route.address, s.route.port), s.route.address
	}
	return nil
}

// readTokens sets what tokens stand for; most of them are of the address.
func (s *settings) readTokens() error {
	name, err := os.Hostname()
	if err != nil {
		return errOnlyProgram(err.Error())
	}
	short, _, _ := strings.Cut(name, ".")
	s.tokens = map[byte]string{
		'h': s.route.address, 'n': s.asked.Address, 'p': strconv.Itoa(s.route.port), 'r': s.route.user, 'u': s.me.Username, 'd': s.me.HomeDir,
		'l': name, 'L': short, 'i': s.me.Uid, 'k': s.route.known,
	}
	if s.get("hostkeyalias") == "" {
		s.tokens['k'] = s.asked.Address
	}
	return nil
}

// path returns the name of a file with its tokens and ~ replaced.
func (s *settings) path(name string) (string, error) {
	name, err := expand(name, s.tokens)
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(name, "~/") {
		return filepath.Join(s.me.HomeDir, name[2:]), nil
	}
	if strings.HasPrefix(name, "~") {
		return "", errors.New("not understood")
	}
	return name, nil
}

// readKnownHosts reads which files say whom to trust.
func (s *settings) readKnownHosts() error {
	for _, k := range []struct{ keyword, ours string }{
		{"userknownhostsfile", "~/.ssh/known_hosts ~/.ssh/known_hosts2"},
		{"globalknownhostsfile", "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"},
	} {
		names := strings.Fields(k.ours)
		if line, ok := s.first[k.keyword]; ok {
			names = line.args
		}
		for _, n := range names {
			if strings.EqualFold(n, "none") && len(names) == 1 {
				continue
			}
			n, err := s.path(n)
			if err != nil {
				return s.bad(k.keyword, err)
			}
			s.route.knownFiles = append(s.route.knownFiles, n)
		}
	}
	return nil
}

// readIdentities reads which files hold our keys.
func (s *settings) readIdentities() error {
	ids := s.identities
	if s.route.given = len(ids) > 0; !s.route.given {
		ids = []string{"~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa"}
	}
	for _, n := range ids {
		if strings.EqualFold(n, "none") {
			continue
		}
		n, err := s.path(n)
		if err != nil {
			return s.bad("identityfile", err)
		}
		if !slices.Contains(s.route.identities, n) {
			s.route.identities = append(s.route.identities, n)
		}
	}
	switch v := strings.ToLower(s.get("identitiesonly")); v {
	case "", "no", "false":
	case "yes", "true":
		s.route.identitiesOnly = true
	default:
		return s.bad("identitiesonly", errors.New("not understood"))
	}
	return nil
}

// readAgent reads the socket of the agent.
func (s *settings) readAgent() error {
	var err error
	switch v := s.get("identityagent"); {
	case v == "", v == "SSH_AUTH_SOCK":
		s.route.agent = os.Getenv("SSH_AUTH_SOCK")
	case strings.EqualFold(v, "none"):
	case v[0] == '$' && !strings.HasPrefix(v, "${"):
		s.route.agent = os.Getenv(v[1:])
	default:
		if s.route.agent, err = s.path(v); err != nil {
			return s.bad("identityagent", err)
		}
	}
	return nil
}

// readTimes reads how long to wait for what.
func (s *settings) readTimes() error {
	var err error
	if v := s.get("connecttimeout"); v != "" {
		if s.route.timeout, err = parseDuration(v); err != nil {
			return s.bad("connecttimeout", err)
		}
	}
	if s.config.ConnectTimeout > 0 {
		s.route.timeout = s.config.ConnectTimeout
	}
	s.route.probe = s.route.timeout
	if s.route.timeout <= 0 {
		s.route.timeout, s.route.probe = 15*time.Second, 10*time.Second
	}
	if v := s.get("serveraliveinterval"); v != "" {
		alive, err := parseDuration(v)
		if err != nil {
			return s.bad("serveraliveinterval", err)
		}
		// 0 is never, but a host that is gone must be noticed.
		if alive > 0 {
			s.route.alive = alive
		}
	}
	if v := s.get("serveralivecountmax"); v != "" {
		if s.route.aliveMax, err = strconv.Atoi(v); err != nil || s.route.aliveMax < 0 {
			return s.bad("serveralivecountmax", errors.New("is no number"))
		}
		s.route.aliveMax = max(s.route.aliveMax, 1)
	}
	return nil
}

// readAlgorithms reads which algorithms may be used, best first.
func (s *settings) readAlgorithms() error {
	safe, unsafe := safeAlgorithms(), unsafeAlgorithms()
	for _, k := range []struct {
		keyword      string
		safe, unsafe []string
		to           *[]string
	}{
		{"hostkeyalgorithms", hostKeyAlgorithms(), unsafe.HostKeys, &s.route.hostKeys},
		{"kexalgorithms", safe.KeyExchanges, slices.Concat(unsafe.KeyExchanges, []string{"curve25519-sha256@libssh.org"}), &s.route.kex},
		{"ciphers", safe.Ciphers, unsafe.Ciphers, &s.route.ciphers},
		{"macs", safe.MACs, unsafe.MACs, &s.route.macs},
	} {
		if v := s.get(k.keyword); v != "" {
			if *k.to = chooseAlgorithms(v, k.safe, k.unsafe); len(*k.to) == 0 {
				return s.bad(k.keyword, errors.New("none of them is known"))
			}
		}
	}
	return nil
}
