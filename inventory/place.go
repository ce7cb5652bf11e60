package inventory

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// place is a folder that a run reads or writes on some machine.
type place struct {
	path string
	role string // source, destination or scratch
	host string
	at   *yaml.Node // what to show to the person who wrote it
}

// checkPlaces reports places on one machine that lie in each other: a sync deletes what the source
// does not have, so it would delete another's source, or a scratch folder in use. Only scratch folders
// of several hosts may be shared.
func (p *fleetParser) checkPlaces() {
	masters := map[string]bool{}
	for _, m := range p.fleet.Masters {
		masters[m.Host] = true
	}
	machines := map[string][]place{}
	var order []string
	for i, h := range p.fleet.Hosts {
		own := p.declared[i].own
		add := func(path, role string, at ...*yaml.Node) {
			at = append(at, p.declared[i].at)
			first := at[slices.IndexFunc(at, func(n *yaml.Node) bool { return n != nil })]
			if path == "" {
				return // missing or wrong, which was reported
			}
			m := machine(h)
			if machines[m] == nil {
				order = append(order, m)
			}
			machines[m] = append(machines[m], place{path, role, h.Name, first})
		}
		add(h.Destination, "destination", own.destination.at)
		add(h.Scratch, "scratch", own.scratch.at, own.destination.at)
		if masters[h.Name] {
			add(h.Source, "source", own.source.at)
		}
	}
	for _, m := range order {
		p.checkMachine(machines[m])
	}
}

// machine names the machine that a host is on: hosts with a local connection share this one.
func machine(h Host) string {
	if h.Connection == ConnectionLocal {
		return "this machine"
	}
	return strings.ToLower(h.Address) + " " + strconv.Itoa(h.Port)
}

func (p *fleetParser) checkMachine(places []place) {
	// With a slash behind each path, a folder's contents follow it directly when sorted.
	slices.SortStableFunc(places, func(a, b place) int { return cmp.Compare(a.path+"/", b.path+"/") })
	var around []place // those that hold the present one
	for _, inner := range places {
		for len(around) > 0 && !strings.HasPrefix(inner.path+"/", around[len(around)-1].path+"/") {
			around = around[:len(around)-1]
		}
		for _, outer := range around {
			if inner.role != "scratch" || outer.role != "scratch" {
				p.reportOverlap(inner, outer)
				break
			}
		}
		if n := len(around); n == 0 || around[n-1].path != inner.path || around[n-1].role != inner.role {
			around = append(around, inner)
		}
	}
}

func (p *fleetParser) reportOverlap(inner, outer place) {
	if p.checked[inner.at] {
		return // one host tells for all that a value is for
	}
	p.checked[inner.at] = true
	of := "its"
	hint := "keep source, destination and scratch apart"
	if inner.host != outer.host {
		of = outer.host + "'s"
		hint = "both are on one machine: give each host folders of its own, with {host} in their paths"
	}
	relation := "lies in"
	if inner.path == outer.path {
		relation = "is also"
	}
	p.report(inner.at, hint, "%s", fmt.Sprintf("host %s: %s %s %s %s %s",
		inner.host, inner.role, quote(inner.path), relation, of, outer.role))
}
