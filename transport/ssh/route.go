package ssh

import (
	"os/user"
	"strconv"
	"strings"
	"time"

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

	known      string // the name to look up in known_hosts; with a port if it is not 22 and there is no alias
	plain      string // the same without its port; "" if it has none
	principal  string // what a host certificate must be for
	knownFiles []string

	identities     []string
	given          bool // the identities are named by ssh_config, not the default ones
	identitiesOnly bool
	agent          string // socket; "": none

	timeout  time.Duration // to connect, and again for the handshake
	probe    time.Duration // of a probe
	alive    time.Duration // of silence, before a keep-alive is sent
	aliveMax int           // so many keep-alives without an answer end the connection

	hostKeys           []string // algorithms in the order of preference; nil: ours
	kex, ciphers, macs []string // nil: those of the library
}

// errOnlyProgram is why a host can be reached by the OpenSSH program only.
type errOnlyProgram string

func (e errOnlyProgram) Error() string { return string(e) }

// route returns how to reach h. The error is an errOnlyProgram.
func (f *configFiles) route(h transport.Host, c Config, depth int) (*route, error) {
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

// route returns the route without its jump host, which it returns as it is written.
func (d *directives) route(h transport.Host, c Config) (r *route, jump string, err error) {
	me, err := user.Current()
	if err != nil {
		return nil, "", errOnlyProgram(err.Error())
	}
	r = &route{network: "tcp", port: h.Port, user: h.User, aliveMax: 3, alive: 15 * time.Second}
	s := &settings{directives: d, route: r, me: me, asked: h, config: c}
	for _, read := range []func() error{
		s.readAddress, s.readTokens, s.readKnownHosts, s.readIdentities, s.readAgent, s.readTimes, s.readAlgorithms,
	} {
		if err := read(); err != nil {
			return nil, "", err
		}
	}
	if v := d.get("proxyjump"); v != "" && !strings.EqualFold(v, "none") {
		if jump, err = expand(v, s.tokens); err != nil {
			return nil, "", s.bad("proxyjump", err)
		}
	}
	return r, jump, nil
}
