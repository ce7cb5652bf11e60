package inventory

import (
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// A shorter lock would end whenever a store elects a leader; a longer one keeps everybody out for too
// long after a crash.
const (
	minTTL = 5 * time.Second
	maxTTL = 10 * time.Minute
)

func (p *policyParser) readLock(n *yaml.Node) {
	l := &p.policy.Lock
	p.mapping(n, "lock", keys{
		"ttl": func(n *yaml.Node) {
			p.durationWithin(&l.TTL, minTTL, maxTTL)(n)
			p.wholeSeconds(n, l.TTL, "etcd") // measured with 3.4.23: it answers 400 to ttl=5.5
		},
		"prefix":    p.prefixInto(&l.Prefix, &p.lockPrefix),
		"endpoints": p.textsInto(&l.Endpoints, "endpoints", checkPoolEndpoint),
	})
}

// prefixInto returns a reader of a prefix for keys, which leaves it empty if it is bad.
func (p *policyParser) prefixInto(into *string, at **yaml.Node) func(*yaml.Node) {
	return func(n *yaml.Node) {
		*at = n
		*into, _ = p.text(n, checkPrefix)
	}
}

// checkPrefixes reports a lock whose keys lie among those of the pools, or the other way round: what
// reads the one would find the other.
func (p *policyParser) checkPrefixes() {
	if p.policy.Pooling == nil {
		return
	}
	pools, lock := p.policy.Pooling.Prefix, p.policy.Lock.Prefix
	if pools == "" || lock == "" || !strings.HasPrefix(pools+"/", lock+"/") && !strings.HasPrefix(lock+"/", pools+"/") {
		return // apart, or bad, which was reported
	}
	const hint = "keep the prefixes of lock and pooling apart, such as /fleetsync/v1 and /conftool/v1/pools"
	at := p.lockPrefix
	if at == nil {
		at = p.poolPrefix // the defaults are apart
	}
	p.report(at, hint, "the lock's prefix %s overlaps with the pools' %s", quote(lock), quote(pools))
}
