package inventory

// Fleet is what an inventory file says exists: hosts, their groups and the roles some of them have.
// Every name in Masters, Canaries, Proxies and Groups is the name of a host in Hosts. A Fleet is
// read-only after LoadFleet and safe for concurrent use.
type Fleet struct {
	Name string // of the fleet: names its lock and its run directory
	Tree Tree

	Hosts    []Host              // in the file's order, ranges expanded
	Groups   map[string][]string // group → names of hosts, groups of groups expanded, in the file's order
	Masters  []Master
	Canaries []string
	Proxies  []Proxy

	Digest string // hex SHA-256 of the file's bytes

	byName map[string]int
}

// Tree is what is synced.
type Tree struct {
	Source      string   // on a master; absolute, may hold {host}
	Destination string   // on every host; absolute, may hold {host}
	Module      string   // the rsyncd module that masters and proxies serve the tree from
	Scratch     string   // on every host, on the destination's file system; absolute, may hold {host}
	Exclude     []string // rsync patterns of the forms that find can match too
}

// Host is any destination, with every default applied and {host} expanded.
type Host struct {
	Name       string
	Address    string // what to connect to; the name unless the file says otherwise
	Port       int    // of ssh; 0 is ssh's own choice
	User       string // of ssh; empty is ssh's own choice
	Become     string // run every command on the host as this user, by sudo -n -u; empty is off
	Datacenter string
	Rack       string

	Source      string // where a master keeps the tree
	Destination string
	Scratch     string

	Endpoint   string     // of the host's rsyncd, without the module: rsync://ADDRESS[:PORT]
	Connection Connection // how commands reach the host
}

// Connection is how commands reach a host.
type Connection string

// The connections.
const (
	ConnectionSSH   Connection = "ssh"   // over ssh
	ConnectionLocal Connection = "local" // the host is a directory on this machine
)

// Master is a host that holds the authoritative tree.
type Master struct {
	Host  string
	Serve bool // may be synced from; false: is synced to, never from
	Slots int  // how many hosts it may serve at once
}

// Proxy is a host that, once synced and verified, serves the tree to others.
type Proxy struct {
	Host   string
	Slots  int  // how many hosts it may serve at once
	Pooled bool // has objects in the pools and must be out of them while it serves; true unless the file says otherwise
}

// DefaultSlots is how many hosts a source serves at once where the inventory does not say.
const DefaultSlots = 10

// Host returns the host of that name.
func (f *Fleet) Host(name string) (Host, bool) {
	i, ok := f.byName[name]
	if !ok {
		return Host{}, false
	}
	return f.Hosts[i], true
}

// Master returns the master of that name.
func (f *Fleet) Master(name string) (Master, bool) {
	for _, m := range f.Masters {
		if m.Host == name {
			return m, true
		}
	}
	return Master{}, false
}
