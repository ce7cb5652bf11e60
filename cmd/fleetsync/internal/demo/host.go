package demo

import (
	"fmt"
	"path/filepath"

	"github.com/fleetsync/fleetsync/cmd/internal/testfleet"
)

// module is what daemons call the tree.
const module = "common"

// host is one host of the fleet.
type host struct {
	name       string
	datacenter string
	rack       string
	role       testfleet.Role
	origin     bool   // of masters: the one that may serve
	endpoint   string // of its daemon, once that is up
}

func (h host) serves() bool { return h.role == testfleet.RoleMaster || h.role == testfleet.RoleProxy }

func (h host) dir(fleet string) string { return filepath.Join(fleet, "hosts", h.name) }

func (h host) destination(fleet string) string {
	return filepath.Join(h.dir(fleet), "srv", "mediawiki")
}

// source returns where a master has its tree.
func (h host) source(fleet string) string {
	if h.origin {
		return filepath.Join(fleet, "staging")
	}
	return filepath.Join(h.dir(fleet), "srv", "mediawiki-staging")
}

// lay returns the hosts of a fleet: masters first, then one datacenter after the other.
func lay(o Options) []host {
	hosts := make([]host, 0, o.Masters+o.Hosts)
	for i := range o.Masters {
		h := host{role: testfleet.RoleMaster, rack: "C6"}
		switch i {
		case 0:
			h.name, h.datacenter, h.origin = "mira.codfw.wmnet", "codfw", true
		case 1:
			h.name, h.datacenter = "tin.eqiad.wmnet", "eqiad"
		default:
			h.name, h.datacenter = fmt.Sprintf("deploy%04d.eqiad.wmnet", 1000+i-1), "eqiad"
		}
		hosts = append(hosts, h)
	}
	for _, p := range testfleet.Layout(o.Hosts, o.Proxies) {
		number := 1017 + p.Number
		if p.Datacenter != testfleet.Datacenters[0] {
			number += 1000
		}
		hosts = append(hosts, host{
			name:       fmt.Sprintf("mw%04d.%s.wmnet", number, p.Datacenter),
			datacenter: p.Datacenter, rack: p.Rack, role: p.Role,
		})
	}
	return hosts
}

// names returns the names of the hosts of a role, in the fleet's order.
func names(hosts []host, r testfleet.Role) []string {
	var names []string
	for _, h := range hosts {
		if h.role == r {
			names = append(names, h.name)
		}
	}
	return names
}
