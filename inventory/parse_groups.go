package inventory

import (
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// group is a group while the file is read.
type group struct {
	members  []*yaml.Node
	hosts    []int // where they are in the fleet, sorted
	expanded bool
}

func (p *fleetParser) readGroups(n *yaml.Node) {
	if !p.isMapping(n, "groups") {
		return
	}
	p.groups = map[string]group{}
	p.fleet.Groups = map[string][]string{}
	var order []string
	for key, value := range p.pairs(n) {
		if f := checkGroup(key.Value); f != nil {
			p.reportFault(key, f)
		}
		p.groups[key.Value] = group{members: p.items(value, "group "+quote(key.Value))}
		order = append(order, key.Value)
	}
	for _, name := range order {
		p.fleet.Groups[name] = p.hostNames(p.expandGroup(name, nil))
	}
}

// maxChain is how deep groups may lie in groups.
const maxChain = 100

// expandGroup returns the hosts of a group that is read from within the groups of a chain.
func (p *fleetParser) expandGroup(name string, chain []string) []int {
	g := p.groups[name]
	if g.expanded {
		return g.hosts
	}
	chain = append(slices.Clip(chain), name)
	for _, member := range g.members {
		if !isReference(member) {
			g.hosts = append(g.hosts, p.indices(p.knownNames(member))...)
			continue
		}
		other := member.Value[1:]
		if i := slices.Index(chain, other); i >= 0 {
			loop := append(slices.Clone(chain[i:]), other)
			p.report(member, "remove one of these references", "groups contain each other: %s", quote(strings.Join(loop, " → ")))
			continue
		}
		if len(chain) == maxChain {
			p.report(member, "", "groups are nested more than %d deep", maxChain)
			continue
		}
		g.hosts = append(g.hosts, p.referenced(member, chain)...)
	}
	slices.Sort(g.hosts)
	g.hosts = slices.Compact(g.hosts)
	g.expanded = true
	p.groups[name] = g
	return g.hosts
}

func isReference(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && strings.HasPrefix(n.Value, "@")
}

// referenced returns the hosts of the group that an @reference names.
func (p *fleetParser) referenced(n *yaml.Node, chain []string) []int {
	name := n.Value[1:]
	if _, ok := p.groups[name]; !ok {
		var known []string
		for name := range p.groups {
			known = append(known, name)
		}
		p.reportFault(n, unknown("group", name, known))
		return nil
	}
	hosts := p.expandGroup(name, chain)
	if f := p.charge(len(hosts)); f != nil {
		p.reportFault(n, f)
		return nil
	}
	return hosts
}

// member is a host in a list of patterns and @groups, and the element that names it.
type member struct {
	host string
	at   *yaml.Node
}

// members reads a list of patterns and @groups, and reports hosts that it names twice.
func (p *fleetParser) members(n *yaml.Node, what string) []member {
	var members []member
	seen := map[string]bool{}
	for _, item := range p.items(n, what) {
		var names, again []string
		if isReference(item) {
			names = p.hostNames(p.referenced(item, nil))
		} else {
			names = p.knownNames(item)
		}
		for _, name := range names {
			if seen[name] {
				again = append(again, name)
				continue
			}
			seen[name] = true
			members = append(members, member{name, item})
		}
		if len(again) > 0 {
			p.report(item, "keep one of them", "%s holds %s twice", what, quote(FoldNames(again)))
		}
	}
	return members
}
