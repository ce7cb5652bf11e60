package inventory

import (
	"time"

	"gopkg.in/yaml.v3"
)

// Limits of what is kept; a number beyond them is a mistake.
const (
	maxKept = 1000
	minAge  = time.Hour // a run and its rollback last longer than a shorter one
	maxAge  = 3650 * day
)

func (p *policyParser) readKeep(n *yaml.Node) {
	k := &p.policy.Retention
	p.mapping(n, "keep", keys{
		"hosts":     p.textInto((*string)(&k.Hosts), checkKeepHosts),
		"runs":      p.numberInto(&k.Runs, 1, maxKept),
		"age":       p.durationWithin(&k.Age, minAge, maxAge),
		"manifests": p.numberInto(&k.Manifests, 1, maxKept),
	})
}

var checkKeepHosts = oneOf("choice of hosts", "write canaries or all; masters keep in any case", KeepCanaries, KeepAll)
