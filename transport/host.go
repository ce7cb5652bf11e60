package transport

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Host is how to reach a host.
type Host struct {
	Name    string // how people call it
	Address string // what ssh connects to; Name when empty
	Port    int    // of ssh; 0 is ssh's own choice
	User    string // of ssh; empty is ssh's own choice
	Become  string // run every command as this user, by sudo -n -u; empty is off
	Local   bool   // the host is a directory on this machine: no ssh
}

// validate tells whether h can be given to ssh.
func (h Host) validate() error {
	// ssh reads user@host and ssh://host too (ssh(1)); the address must be nothing but an address.
	if h.Address == "" || h.Address[0] == '-' || strings.ContainsAny(h.Address, "@/ \t") || hasControl(h.Address) {
		return fmt.Errorf("%q is no address ssh can connect to", h.Address)
	}
	if hasControl(h.User) || strings.HasPrefix(h.User, "-") {
		return fmt.Errorf("%q is no user ssh can log in as", h.User)
	}
	if h.Port < 0 || h.Port > 65535 {
		return fmt.Errorf("%d is no port", h.Port)
	}
	return nil
}

// addressed returns h with its address, if that can be given to ssh.
func (h Host) addressed() (Host, error) {
	if h.Address == "" {
		h.Address = h.Name
	}
	if err := h.validate(); err != nil {
		return h, fmt.Errorf("host %q: %w", h.Name, err)
	}
	return h, nil
}

// Fallback is a host that only the OpenSSH program can reach, although native connections were asked for.
type Fallback struct {
	Host   string // its name
	Reason string // what of ssh_config we cannot do, neutralised
}

// Dialer makes connections to hosts. The zero Dialer uses the user's own ssh configuration, and
// connections of its own. It is safe for concurrent use and must not be changed after its first Dial.
type Dialer struct {
	SSH   SSHConfig
	Grace time.Duration // between the polite and the hard end of a cancelled command; DefaultGrace when 0

	shared shared
	links  links
	files  sshFiles

	mu        sync.Mutex
	routes    map[Host]routed
	fallbacks map[string]string // reasons by name
}

// routed is what came of looking for a route.
type routed struct {
	route *route
	err   error
}

// Dial returns a connection to h. Nothing is started before its first Run. The error tells that h
// cannot be reached by any means: its address or user would be misread by ssh. A host that a native
// connection cannot reach as ssh_config says is reached by the program; Fallbacks tells.
func (d *Dialer) Dial(h Host) (Conn, error) {
	if h.Local {
		return Local{Become: h.Become, Grace: d.Grace}, nil
	}
	h, err := h.addressed()
	if err != nil {
		return nil, err
	}
	switch d.SSH.Client {
	case "", ClientNative:
		route, err := d.route(h)
		if err == nil {
			return &native{pool: &d.links, route: route, host: h, grace: d.Grace}, nil
		}
	case ClientOpenSSH:
	default:
		return nil, fmt.Errorf("%q is no ssh client: it is %s or %s", d.SSH.Client, ClientNative, ClientOpenSSH)
	}
	s := &openSSH{config: d.SSH, host: h, grace: d.Grace}
	if d.SSH.Share {
		s.shared = &d.shared
	}
	return s, nil
}

// route looks for a route once per host.
func (d *Dialer) route(h Host) (*route, error) {
	key := Host{Address: h.Address, Port: h.Port, User: h.User}
	d.links.set(d.SSH)
	d.mu.Lock()
	defer d.mu.Unlock()
	found, ok := d.routes[key]
	if !ok {
		found.route, found.err = d.files.route(key, d.SSH, 0)
		if d.routes == nil {
			d.routes, d.fallbacks = map[Host]routed{}, map[string]string{}
		}
		d.routes[key] = found
	}
	if found.err != nil && d.SSH.Client != ClientOpenSSH {
		d.fallbacks[h.Name] = found.err.Error()
	}
	return found.route, found.err
}

// Fallbacks returns the hosts dialled so far that need the OpenSSH program, and why, sorted by name.
func (d *Dialer) Fallbacks() []Fallback {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []Fallback
	for _, name := range slices.Sorted(maps.Keys(d.fallbacks)) {
		all = append(all, Fallback{Host: name, Reason: d.fallbacks[name]})
	}
	return all
}

// Close ends what the Dialer's connections keep open. Their commands must have ended before. The
// Dialer can be used again.
func (d *Dialer) Close() error {
	d.links.close()
	return d.shared.close()
}
