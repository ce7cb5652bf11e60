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
	k := &p.policy.Keep
	p.mapping(n, "keep", keys{
		"hosts": func(n *yaml.Node) {
			if s, ok := p.text(n, checkKeepHosts); ok {
				k.Hosts = KeepHosts(s)
			}
		},
		"runs":      p.numberInto(&k.Runs, 1, maxKept),
		"age":       p.durationWithin(&k.Age, minAge, maxAge),
		"manifests": p.numberInto(&k.Manifests, 1, maxKept),
	})
}

func checkKeepHosts(s string) *fault {
	switch KeepHosts(s) {
	case KeepCanaries, KeepAll:
		return nil
	default:
		known := []string{string(KeepCanaries), string(KeepAll)}
		return faultf(didYouMean(s, known)+"write canaries or all; masters keep in any case", "unknown choice of hosts %s", quote(s))
	}
}
