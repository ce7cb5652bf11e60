package transport

import (
	"fmt"
	"strings"
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

// Dialer makes connections to hosts. The zero Dialer uses the user's own ssh configuration. It is
// safe for concurrent use and must not be changed after its first Dial.
type Dialer struct {
	SSH   SSHConfig
	Grace time.Duration // between the polite and the hard end of a cancelled command; DefaultGrace when 0

	shared shared
}

// Dial returns a connection to h. Nothing is started before its first Run. The error tells that h
// cannot be reached by any means: its address or user would be misread by ssh.
func (d *Dialer) Dial(h Host) (Conn, error) {
	if h.Local {
		return Local{Become: h.Become, Grace: d.Grace}, nil
	}
	if h.Address == "" {
		h.Address = h.Name
	}
	// ssh reads user@host and ssh://host too (ssh(1)); the address must be nothing but an address.
	if h.Address == "" || h.Address[0] == '-' || strings.ContainsAny(h.Address, "@/ \t") || hasControl(h.Address) {
		return nil, fmt.Errorf("host %q: %q is no address ssh can connect to", h.Name, h.Address)
	}
	if hasControl(h.User) || strings.HasPrefix(h.User, "-") {
		return nil, fmt.Errorf("host %q: %q is no user ssh can log in as", h.Name, h.User)
	}
	if h.Port < 0 || h.Port > 65535 {
		return nil, fmt.Errorf("host %q: %d is no port", h.Name, h.Port)
	}
	s := &ssh{config: d.SSH, host: h, grace: d.Grace}
	if d.SSH.Share {
		s.shared = &d.shared
	}
	return s, nil
}

// Close ends what the Dialer's connections keep open. Their commands must have ended before.
func (d *Dialer) Close() error { return d.shared.close() }
