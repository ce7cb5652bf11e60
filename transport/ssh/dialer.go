package ssh

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fleetsync/fleetsync/transport"
)

// Fallback is a host that only the OpenSSH program can reach, although native connections were asked for.
type Fallback struct {
	Host   string // its name
	Reason string // what of ssh_config we cannot do, neutralised
}

// Dialer makes connections to hosts. The zero Dialer uses the user's own ssh configuration, and
// connections of its own. It is safe for concurrent use and must not be changed after its first Dial.
type Dialer struct {
	Config Config
	Grace  time.Duration // between the polite and the hard end of a cancelled command; DefaultGrace when 0

	shared controlMasters
	links  links
	files  configFiles

	mu        sync.Mutex
	routes    map[transport.Host]routed
	fallbacks map[string]string // reasons by name
}

// routed is a route, or why there is none.
type routed struct {
	route *route
	err   error
}

// Dial returns a connection to h. Nothing is started before its first Run. The error tells that h
// cannot be reached by any means: its address or user would be misread by ssh. A host that a native
// connection cannot reach as ssh_config says is reached by the program; Fallbacks tells.
func (d *Dialer) Dial(h transport.Host) (transport.Conn, error) {
	if h.Local {
		return transport.Local{Become: h.Become, Grace: d.Grace}, nil
	}
	h, err := addressed(h)
	if err != nil {
		return nil, err
	}
	grace := d.Grace
	if grace <= 0 {
		grace = transport.DefaultGrace
	}
	switch d.Config.Client {
	case "", ClientNative:
		route, err := d.route(h)
		if err == nil {
			return &native{pool: &d.links, route: route, host: h, grace: grace}, nil
		}
	case ClientOpenSSH:
	default:
		return nil, fmt.Errorf("%q is no ssh client: it is %s or %s", d.Config.Client, ClientNative, ClientOpenSSH)
	}
	s := &openSSH{config: d.Config, host: h, grace: grace}
	if d.Config.Share {
		s.shared = &d.shared
	}
	return s, nil
}

// route looks for a route once per host.
func (d *Dialer) route(h transport.Host) (*route, error) {
	key := transport.Host{Address: h.Address, Port: h.Port, User: h.User}
	d.links.set(d.Config)
	d.mu.Lock()
	defer d.mu.Unlock()
	found, ok := d.routes[key]
	if !ok {
		found.route, found.err = d.files.route(key, d.Config, 0)
		if d.routes == nil {
			d.routes, d.fallbacks = map[transport.Host]routed{}, map[string]string{}
		}
		d.routes[key] = found
	}
	if found.err != nil && d.Config.Client != ClientOpenSSH {
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

// validHost tells whether h can be given to ssh.
func validHost(h transport.Host) error {
	// ssh reads user@host and ssh://host too (ssh(1)); the address must be nothing but an address.
	if h.Address == "" || h.Address[0] == '-' || strings.ContainsAny(h.Address, "@/ \t") || transport.HasControl(h.Address) {
		return fmt.Errorf("%q is no address ssh can connect to", h.Address)
	}
	if transport.HasControl(h.User) || strings.HasPrefix(h.User, "-") {
		return fmt.Errorf("%q is no user ssh can log in as", h.User)
	}
	if h.Port < 0 || h.Port > 65535 {
		return fmt.Errorf("%d is no port", h.Port)
	}
	return nil
}

// addressed returns h with its address, if that can be given to ssh.
func addressed(h transport.Host) (transport.Host, error) {
	if h.Address == "" {
		h.Address = h.Name
	}
	if err := validHost(h); err != nil {
		return h, fmt.Errorf("host %q: %w", h.Name, err)
	}
	return h, nil
}
