//go:build linux

package lab

import (
	"fmt"
	"path/filepath"
)

// Role is what a host is for.
type Role string

// The roles. RoleConf is that of the host that runs etcd, which the inventory does not know.
const (
	RoleMaster Role = "master"
	RoleCanary Role = "canary"
	RoleProxy  Role = "proxy"
	RoleHost   Role = "host"
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

// The places of a tree on its hosts, and what daemons call it.
const (
	source      = "/srv/mediawiki-staging"
	destination = "/srv/mediawiki"
	scratch     = "/srv/.fleetsync"
	module      = "common"
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

// lay returns the hosts of a lab: etcd's, masters, then one datacenter after the other. In each the first is a
// canary and the last are proxies.
func lay(o Options) []Host {
	hosts := []Host{{Name: Conf, Datacenter: "eqiad", Rack: "A1", Role: RoleConf}}
	for i := range o.Masters {
		hosts = append(hosts, Host{
			Name: fmt.Sprintf("deploy%d", i+1), Datacenter: datacenters[i%2], Rack: "A1", Role: RoleMaster})
	}
	canaries := [2]int{1, 0}
	if o.Hosts-o.Proxies > 2 {
		canaries[1] = 1
	}
	count := [2]int{(o.Hosts + 1) / 2, o.Hosts / 2}
	first := min((o.Proxies+1)/2, count[0]-canaries[0])
	proxies := [2]int{first, o.Proxies - first}
	digits := max(2, len(fmt.Sprint(o.Hosts)))
	for d, datacenter := range datacenters {
		for i := range count[d] {
			h := Host{
				Name:       fmt.Sprintf("mw%0*d", digits, len(hosts)-o.Masters),
				Datacenter: datacenter, Rack: racks[i*len(racks)/count[d]], Role: RoleHost,
			}
			if p := i - (count[d] - proxies[d]); p >= 0 {
				h.Role, h.Rack = RoleProxy, racks[p%len(racks)]
			} else if i < canaries[d] {
				h.Role = RoleCanary
			}
			hosts = append(hosts, h)
		}
	}
	for i := range hosts {
		hosts[i].Address = address(i)
	}
	return hosts
}

var (
	datacenters = []string{"eqiad", "codfw"}
	racks       = []string{"A2", "B3", "C4", "D5"}
)

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
