package demo

import (
	"fmt"
	"path/filepath"
)

// module is what daemons call the tree.
const module = "common"

// role is what a host is for.
type role string

// The roles.
const (
	roleMaster role = "master"
	roleCanary role = "canary"
	roleProxy  role = "proxy"
	roleHost   role = "host"
)

// host is one host of the fleet.
type host struct {
	name       string
	datacenter string
	rack       string
	role       role
	origin     bool   // of masters: the one that may serve
	endpoint   string // of its daemon, once that is up
}

func (h host) serves() bool { return h.role == roleMaster || h.role == roleProxy }

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
		h := host{role: roleMaster, rack: "C6"}
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
	// The first of a datacenter is a canary, the last are proxies.
	canaries := [2]int{1, 0}
	if o.Hosts-o.Proxies > 2 {
		canaries[1] = 1
	}
	sizes := [2]int{(o.Hosts + 1) / 2, o.Hosts / 2}
	first := min((o.Proxies+1)/2, sizes[0]-canaries[0])
	proxies := [2]int{first, o.Proxies - first}
	for d, datacenter := range []string{"eqiad", "codfw"} {
		for i := range sizes[d] {
			h := host{
				name:       fmt.Sprintf("mw%04d.%s.wmnet", 1017+1000*d+i, datacenter),
				datacenter: datacenter,
				rack:       racks[i*len(racks)/sizes[d]],
				role:       roleHost,
			}
			if p := i - (sizes[d] - proxies[d]); p >= 0 {
				h.role, h.rack = roleProxy, racks[p%len(racks)]
			} else if i < canaries[d] {
				h.role = roleCanary
			}
			hosts = append(hosts, h)
		}
	}
	return hosts
}

var racks = []string{"A5", "B7", "C6", "D5"}

// names returns the names of the hosts of a role, in the fleet's order.
func names(hosts []host, r role) []string {
	var names []string
	for _, h := range hosts {
		if h.role == r {
			names = append(names, h.name)
		}
	}
	return names
}
