package transport

import (
	"fmt"
	"strings"
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
func (h Host) Validate() error {
	// ssh reads user@host and ssh://host too (ssh(1)); the address must be nothing but an address.
	if h.Address == "" || h.Address[0] == '-' || strings.ContainsAny(h.Address, "@/ \t") || HasControl(h.Address) {
		return fmt.Errorf("%q is no address ssh can connect to", h.Address)
	}
	if HasControl(h.User) || strings.HasPrefix(h.User, "-") {
		return fmt.Errorf("%q is no user ssh can log in as", h.User)
	}
	if h.Port < 0 || h.Port > 65535 {
		return fmt.Errorf("%d is no port", h.Port)
	}
	return nil
}

// addressed returns h with its address, if that can be given to ssh.
func (h Host) Addressed() (Host, error) {
	if h.Address == "" {
		h.Address = h.Name
	}
	if err := h.Validate(); err != nil {
		return h, fmt.Errorf("host %q: %w", h.Name, err)
	}
	return h, nil
}
