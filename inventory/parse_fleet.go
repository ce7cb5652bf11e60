package inventory

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// LoadFleet reads an inventory file. An error about its content is of type Problems.
func LoadFleet(path string) (*Fleet, error) {
	data, err := read(path, "inventory")
	if err != nil {
		return nil, err
	}
	return ParseFleet(path, data)
}

// ParseFleet reads an inventory. The name stands for it in errors, which are of type Problems and
// hold every mistake of the file.
func ParseFleet(name string, data []byte) (*Fleet, error) {
	d, root := parse(name, data)
	if root == nil {
		return nil, d.problems.orNil()
	}
	digest := sha256.Sum256(data)
	p := fleetParser{
		document: d,
		fleet:    &Fleet{Digest: hex.EncodeToString(digest[:]), byName: map[string]int{}},
		checked:  map[*yaml.Node]bool{},
	}
	p.inventory(root)
	if err := d.problems.orNil(); err != nil {
		return nil, err
	}
	return p.fleet, nil
}

// fleetParser reads an inventory in the order in which its parts need each other, which need not be
// the order in which they are written.
type fleetParser struct {
	*document
	fleet *Fleet

	tree     settings // what tree says of every host
	defaults settings
	declared []declaration // as many as hosts in the fleet

	groups map[string]group

	hostsBroken bool                // some hosts are not in the fleet: unknown names are no news
	checked     map[*yaml.Node]bool // nodes of which something was reported for one of their many hosts
}

// declaration is where a host is written, and how.
type declaration struct {
	at  *yaml.Node // its key under hosts
	own settings   // with defaults and the tree's applied
}

func (p *fleetParser) inventory(root *yaml.Node) {
	var tree, defaults, hosts, groups, roles *yaml.Node
	if !p.mapping(root, "an inventory", keys{
		"fleet":    p.textInto(&p.fleet.Name, checkWord),
		"tree":     keep(&tree),
		"defaults": keep(&defaults),
		"hosts":    keep(&hosts),
		"groups":   keep(&groups),
		"roles":    keep(&roles),
	}, "fleet", "tree", "hosts", "roles") {
		return
	}
	if tree != nil {
		p.readTree(tree)
	}
	if defaults != nil {
		p.mapping(defaults, "defaults", p.settingsKeys(&p.defaults))
	}
	if hosts != nil {
		p.readHosts(hosts)
	}
	if groups != nil {
		p.readGroups(groups)
	}
	if roles != nil && hosts != nil {
		p.readRoles(roles)
	}
	p.checkPlaces()
}

// keep returns a reader for keys that leaves the value for later.
func keep(into **yaml.Node) func(*yaml.Node) {
	return func(n *yaml.Node) { *into = n }
}

func (p *fleetParser) readTree(n *yaml.Node) {
	t := &p.fleet.Tree
	p.mapping(n, "tree", keys{
		"source":      p.givenText(&p.tree.source, checkPath),
		"destination": p.givenText(&p.tree.destination, checkPath),
		"scratch":     p.givenText(&p.tree.scratch, checkPath),
		"module":      p.textInto(&t.Module, checkWord),
		"exclude":     p.textsInto(&t.Exclude, "exclude", checkExclude),
	}, "source", "destination", "module")
	t.Source, t.Destination, t.Scratch = p.tree.source.value, p.tree.destination.value, p.tree.scratch.value
	if t.Scratch == "" && t.Destination != "" {
		t.Scratch = defaultScratch(t.Destination)
	}
}

func (p *fleetParser) readHosts(n *yaml.Node) {
	if !p.isMapping(n, "hosts") {
		p.hostsBroken = true
		return
	}
	if len(n.Content) == 0 {
		p.report(n, "name a host, such as mw1017.eqiad.wmnet:", "hosts is empty")
		p.hostsBroken = true
	}
	folded := map[string]int{} // lower-case name → index: DNS knows no case (RFC 4343)
	for key, value := range p.pairs(n) {
		var own settings
		if !isNull(value) {
			p.mapping(value, "a host", p.settingsKeys(&own))
		}
		own = own.or(p.defaults).or(p.tree)
		names, ok := p.expandNames(key)
		p.hostsBroken = p.hostsBroken || !ok
		if len(p.fleet.Hosts)+len(names) > maxHosts {
			p.report(key, "make it several fleets", "a fleet has at most %d hosts", maxHosts)
			p.hostsBroken = true
			break
		}

		var again []string
		first, hint := 0, ""
		for _, name := range names {
			if i, known := folded[strings.ToLower(name)]; known {
				again, first = append(again, name), p.declared[i].at.Line
				if p.fleet.Hosts[i].Name != name {
					hint = ": names that differ in case only are one host"
				}
				continue
			}
			i := len(p.fleet.Hosts)
			folded[strings.ToLower(name)], p.fleet.byName[name] = i, i
			p.declared = append(p.declared, declaration{key, own})
			p.fleet.Hosts = append(p.fleet.Hosts, p.host(name, own))
		}
		if len(again) > 0 {
			hint = fmt.Sprintf("first declared on line %d; keep one of them", first) + hint
			p.report(key, hint, "duplicate host %s", quote(FoldNames(again)))
		}
	}
}

// Limits of the work for one file: a reader of a mistyped or hostile file must end.
const (
	maxHosts    = 100_000   // in a fleet
	maxWork     = 1_000_000 // names that patterns and groups stand for
	maxSearches = 20        // for a host that somebody may have meant
)

// expandNames expands a pattern to names of hosts, known or not.
func (p *fleetParser) expandNames(n *yaml.Node) ([]string, bool) {
	names, f := expandRange(n.Value)
	if f == nil {
		f = p.charge(len(names))
	}
	for i := 0; f == nil && i < len(names); i++ {
		if f = checkHost(names[i]); f != nil && names[i] != n.Value {
			f.offset = 0 // in the name, which is not where it is in the pattern
		}
	}
	if f != nil {
		p.reportFault(n, f)
		return nil, false
	}
	return names, true
}

// charge counts names against maxWork.
func (p *fleetParser) charge(names int) *fault {
	p.names += names
	if p.names > maxWork {
		return faultf("use fewer hosts, or fewer groups of them", "the patterns of the file stand for more than %d names", maxWork)
	}
	return nil
}

// knownNames expands a pattern to names of hosts of the fleet.
func (p *fleetParser) knownNames(n *yaml.Node) []string {
	if n.Kind != yaml.ScalarNode || isNull(n) {
		p.reportKind(n, "must be a host, a range or an @group", `write names in quotes, such as "mw[1017-1018].eqiad.wmnet" or "@jobrunners"`)
		return nil
	}
	names, ok := p.expandNames(n)
	if !ok {
		return nil
	}
	isStranger := func(name string) bool { _, known := p.fleet.byName[name]; return !known }
	var strangers []string
	for _, name := range names {
		if isStranger(name) {
			strangers = append(strangers, name)
		}
	}
	if len(strangers) == 0 {
		return names
	}
	if !p.hostsBroken {
		if p.searches++; p.searches <= maxSearches {
			p.reportFault(n, p.fleet.unknownHosts(strangers))
		} else {
			p.report(n, "", "unknown host %s", quote(FoldNames(strangers)))
		}
	}
	return slices.DeleteFunc(names, isStranger)
}

// indices returns where hosts are in the fleet, of those that are in it.
func (p *fleetParser) indices(names []string) []int {
	indices := make([]int, 0, len(names))
	for _, name := range names {
		if i, known := p.fleet.byName[name]; known {
			indices = append(indices, i)
		}
	}
	return indices
}

// hostNames returns the names of hosts by where they are in the fleet.
func (p *fleetParser) hostNames(indices []int) []string {
	names := make([]string, len(indices))
	for i, host := range indices {
		names[i] = p.fleet.Hosts[host].Name
	}
	return names
}
