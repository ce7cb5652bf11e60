package ssh

import (
	"fmt"
	"maps"
	"slices"
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
	SSH   Config
	Grace time.Duration // between the polite and the hard end of a cancelled command; DefaultGrace when 0

	shared shared
	links  links
	files  sshFiles

	mu        sync.Mutex
	routes    map[transport.Host]routed
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
func (d *Dialer) Dial(h transport.Host) (transport.Conn, error) {
	if h.Local {
		return transport.Local{Become: h.Become, Grace: d.Grace}, nil
	}
	h, err := h.Addressed()
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
func (d *Dialer) route(h transport.Host) (*route, error) {
	key := transport.Host{Address: h.Address, Port: h.Port, User: h.User}
	d.links.set(d.SSH)
	d.mu.Lock()
	defer d.mu.Unlock()
	found, ok := d.routes[key]
	if !ok {
		found.route, found.err = d.files.route(key, d.SSH, 0)
		if d.routes == nil {
			d.routes, d.fallbacks = map[transport.Host]routed{}, map[string]string{}
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
