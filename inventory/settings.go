package inventory

import (
	"gopkg.in/yaml.v3"
)

// given is a value that the file may hold, and where it does; at is nil where it does not.
type given[T any] struct {
	value T
	at    *yaml.Node
}

// or returns g, or other if the file does not hold g.
func (g given[T]) or(other given[T]) given[T] {
	if g.at == nil {
		return other
	}
	return g
}

// settings is what the file says of a host, or of all hosts.
type settings struct {
	user, become, address, datacenter, rack given[string]
	source, destination, scratch, endpoint  given[string]
	connection                              given[string]
	port                                    given[int]
}

// or returns s with what it does not say taken from other.
func (s settings) or(other settings) settings {
	return settings{
		user:        s.user.or(other.user),
		become:      s.become.or(other.become),
		address:     s.address.or(other.address),
		datacenter:  s.datacenter.or(other.datacenter),
		rack:        s.rack.or(other.rack),
		source:      s.source.or(other.source),
		destination: s.destination.or(other.destination),
		scratch:     s.scratch.or(other.scratch),
		endpoint:    s.endpoint.or(other.endpoint),
		connection:  s.connection.or(other.connection),
		port:        s.port.or(other.port),
	}
}

func (p *fleetParser) settingsKeys(s *settings) keys {
	return keys{
		"user":        p.givenText(&s.user, checkUser),
		"become":      p.givenText(&s.become, checkUser),
		"address":     p.givenText(&s.address, checkAddress),
		"datacenter":  p.givenText(&s.datacenter, checkWord),
		"rack":        p.givenText(&s.rack, checkWord),
		"source":      p.givenText(&s.source, checkPath),
		"destination": p.givenText(&s.destination, checkPath),
		"scratch":     p.givenText(&s.scratch, checkPath),
		"endpoint":    p.givenText(&s.endpoint, checkEndpoint),
		"connection":  p.givenText(&s.connection, checkConnection),
		"port": func(n *yaml.Node) {
			s.port.at = n
			p.numberInto(&s.port.value, 1, 65535)(n)
		},
	}
}

func (p *fleetParser) givenText(into *given[string], check func(string) *fault) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if s, ok := p.text(n, check); ok {
			*into = given[string]{s, n}
		}
	}
}

var checkConnection = oneOf("connection", "connections are ssh and local", ConnectionSSH, ConnectionLocal)

// host returns the host of that name, with its settings expanded and checked once more: {host} may
// make a path a folder of the system, or a name too long.
func (p *fleetParser) host(name string, s settings) Host {
	at := func(g given[string], check func(string) *fault) string {
		value := expand(g.value, name)
		if value == g.value || p.checked[g.at] {
			return value // checked where it is written
		}
		if f := check(value); f != nil {
			p.checked[g.at] = true
			f.offset = 0
			f.message = "for host " + quote(name) + ": " + f.message
			p.reportFault(g.at, f)
		}
		return value
	}
	h := Host{
		Name:        name,
		Address:     at(s.address, checkAddress),
		Port:        s.port.value,
		User:        s.user.value,
		Become:      s.become.value,
		Datacenter:  s.datacenter.value,
		Rack:        s.rack.value,
		Source:      at(s.source, checkPath),
		Destination: at(s.destination, checkPath),
		Scratch:     at(s.scratch, checkPath),
		Endpoint:    at(s.endpoint, checkEndpoint),
		Connection:  Connection(s.connection.value),
	}
	if h.Address == "" {
		h.Address = name
	}
	if h.Scratch == "" && h.Destination != "" {
		h.Scratch = defaultScratch(h.Destination)
	}
	if h.Endpoint == "" {
		h.Endpoint = defaultEndpoint(h.Address)
	}
	if h.Connection == "" {
		h.Connection = ConnectionSSH
	}
	return h
}
