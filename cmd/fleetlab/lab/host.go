//go:build linux

package lab

import (
	"fmt"
	"path/filepath"

	"github.com/fleetsync/fleetsync/cmd/internal/testfleet"
)

// Role is what a host is for.
type Role = testfleet.Role

// The roles. RoleConf is that of the host that runs etcd, which the inventory does not know.
const (
	RoleMaster      = testfleet.RoleMaster
	RoleCanary      = testfleet.RoleCanary
	RoleProxy       = testfleet.RoleProxy
	RoleHost        = testfleet.RoleHost
	RoleConf   Role = "conf"
)

// Host is one host of a lab.
type Host struct {
	Name       string
	Address    string // known only within the lab, where names lead to it, too
	Datacenter string
	Rack       string
	Role       Role
}

// Conf is the name of the host that runs etcd.
const Conf = "conf1"

const etcdPort = "2379"

// The places of a tree on its hosts, and what daemons call it.
const (
	source      = "/srv/mediawiki-staging"
	destination = "/srv/mediawiki"
	scratch     = "/srv/.fleetsync"
	module      = "common"
	downFile    = "/srv/down" // while it is there, a host's pages are 503
)

// The lab's network: an address for each host, and gateway for the world.
const (
	gateway = "10.77.0.1"
	netBits = 16
)

// address returns the address of the host of an index.
func address(i int) string { return fmt.Sprintf("10.77.%d.%d", 1+i/250, 1+i%250) }

// hardware returns the Ethernet address of the host of an index: always the same, so that a host that
// boots again is reached by who remembers it.
func hardware(i int) string { return fmt.Sprintf("02:00:00:00:%02x:%02x", i/256, i%256) }

// port returns the name of the bridge's port of the host of an index.
func port(i int) string { return fmt.Sprintf("v%d", i) }

// relayPort returns the name of the bridge's port when there is a relay before that host.
func relayPort(i int) string { return fmt.Sprintf("d%d", i) }

// served returns what the host's rsync daemon serves.
func (h Host) served() string {
	if h.Role == RoleMaster {
		return source
	}
	return destination
}

// dir returns where a lab keeps what belongs to a host.
func hostDir(dir, name string) string { return filepath.Join(dir, "hosts", name) }

// lay returns the hosts of a lab: etcd's, masters, then all others as testfleet.Layout has them.
func lay(o Options) []Host {
	hosts := []Host{{Name: Conf, Datacenter: testfleet.Datacenters[0], Rack: "A1", Role: RoleConf}}
	for i := range o.Masters {
		hosts = append(hosts, Host{
			Name: fmt.Sprintf("deploy%d", i+1), Datacenter: testfleet.Datacenters[i%2], Rack: "A1", Role: RoleMaster})
	}
	digits := max(2, len(fmt.Sprint(o.Hosts)))
	for i, p := range testfleet.Layout(o.Hosts, o.Proxies) {
		hosts = append(hosts, Host{Name: fmt.Sprintf("mw%0*d", digits, i+1), Datacenter: p.Datacenter, Rack: p.Rack, Role: p.Role})
	}
	for i := range hosts {
		hosts[i].Address = address(i)
	}
	return hosts
}

// named returns the names of the hosts of a role, in their order.
func named(hosts []Host, r Role) []string {
	var names []string
	for _, h := range hosts {
		if h.Role == r {
			names = append(names, h.Name)
		}
	}
	return names
}
