package transport

// Host is how to reach a host.
type Host struct {
	Name    string // how people call it
	Address string // what ssh connects to; Name when empty
	Port    int    // of ssh; 0 is ssh's own choice
	User    string // of ssh; empty is ssh's own choice
	Become  string // run every command as this user, by sudo -n -u; empty is off
	Local   bool   // the host is a directory on this machine: no ssh
}
