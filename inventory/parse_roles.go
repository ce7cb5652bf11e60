package inventory

import (
	"gopkg.in/yaml.v3"
)

// maxSlots bounds how many hosts one source may serve at once.
const maxSlots = 1000

// serveHint explains the two levels of trust in a master.
const serveHint = "write serve: true for a master that hosts may be synced from, or serve: false for one that is only synced to"

func (p *fleetParser) readRoles(n *yaml.Node) {
	var masters, canaries, proxies *yaml.Node
	if !p.mapping(n, "roles", keys{
		"masters":  keep(&masters),
		"canaries": keep(&canaries),
		"proxies":  keep(&proxies),
	}, "masters") {
		return
	}
	held := map[string]string{} // host → its role
	if masters != nil {
		p.readMasters(masters, held)
	}
	if canaries != nil {
		p.readCanaries(canaries, held)
	}
	if proxies != nil {
		p.readProxies(proxies, held)
	}
}

func (p *fleetParser) readMasters(n *yaml.Node, held map[string]string) {
	serving, unclear := false, false
	entries := p.items(n, "masters")
	for _, entry := range entries {
		m := Master{Slots: DefaultSlots}
		var host *yaml.Node
		before := len(p.problems)
		readable := p.mapping(entry, "a master", keys{
			"host":  keep(&host),
			"serve": p.flagInto(&m.Serve),
			"slots": p.numberInto(&m.Slots, 1, maxSlots),
		}, "host")
		if readable && !hasKey(entry, "serve") {
			p.report(entry, serveHint, "a master lacks serve")
		}
		unclear = unclear || len(p.problems) > before
		if host == nil {
			continue
		}
		names := p.knownNames(host)
		switch {
		case len(names) > 1:
			p.report(host, "write an entry for each", "a master is one host, not %d", len(names))
		case len(names) == 1 && held[names[0]] != "":
			p.report(host, "keep one of them", "%s is a master twice", quote(names[0]))
		case len(names) == 1:
			m.Host = names[0]
			held[m.Host] = "a master"
			p.fleet.Masters = append(p.fleet.Masters, m)
		}
		serving = serving || m.Serve
	}
	if len(entries) > 0 && !serving && !unclear {
		p.report(n, serveHint, "no master may serve")
	}
}

func hasKey(n *yaml.Node, key string) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return true
		}
	}
	return false
}

func (p *fleetParser) readCanaries(n *yaml.Node, held map[string]string) {
	for _, c := range p.members(n, "canaries") {
		if !p.take(held, c, "a canary", "choose an ordinary host: a canary is judged as one that users reach") {
			continue
		}
		p.fleet.Canaries = append(p.fleet.Canaries, c.host)
	}
}

func (p *fleetParser) readProxies(n *yaml.Node, held map[string]string) {
	for _, entry := range p.items(n, "proxies") {
		proxy := Proxy{Slots: DefaultSlots, Pooled: true}
		var hosts *yaml.Node
		if !p.mapping(entry, "a proxy", keys{
			"hosts":  keep(&hosts),
			"slots":  p.numberInto(&proxy.Slots, 1, maxSlots),
			"pooled": p.flagInto(&proxy.Pooled),
		}, "hosts") || hosts == nil {
			continue
		}
		for _, m := range p.members(hosts, "hosts of a proxy") {
			hint := "a master serves the tree already"
			switch held[m.host] {
			case "a canary":
				hint = "canaries are judged while they are pooled, and proxies serve while they are not"
			case "a proxy":
				hint = "keep one of them"
			}
			if !p.take(held, m, "a proxy", hint) {
				continue
			}
			proxy.Host = m.host
			p.fleet.Proxies = append(p.fleet.Proxies, proxy)
		}
	}
}

// take gives a host a role, unless it has one; that is reported once for each element of a list.
func (p *fleetParser) take(held map[string]string, m member, role, hint string) bool {
	other, taken := held[m.host]
	if !taken {
		held[m.host] = role
		return true
	}
	if !p.checked[m.at] {
		p.checked[m.at] = true
		if other == role {
			p.report(m.at, hint, "%s is %s twice", quote(m.host), role)
		} else {
			p.report(m.at, hint, "%s is %s and %s", quote(m.host), other, role)
		}
	}
	return false
}
