package inventory

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

var checkForeignEdit = oneOf("answer to a foreign edit", "write stop or depool-again", ForeignEditStop, ForeignEditDepoolAgain)

// maxConfirm bounds the wait for balancers: all the while a proxy is out without serving.
const maxConfirm = 10 * time.Minute

// readBalancers returns the balancers by datacenter, and leaves in nodes where each is written.
func (p *policyParser) readBalancers(n *yaml.Node, nodes map[string]*yaml.Node) map[string]Balancers {
	all := map[string]Balancers{}
	p.named(n, "balancers", func(datacenter string, n *yaml.Node) {
		b := defaultBalancers()
		p.mapping(n, "a datacenter of balancers", keys{
			"urls":    func(n *yaml.Node) { b.URLs = p.readBalancerURLs(n) },
			"pools":   func(n *yaml.Node) { b.Pools = p.readBalancerPools(n) },
			"timeout": p.durationWithin(&b.Timeout, 100*time.Millisecond, maxConfirm),
		}, "urls", "pools")
		all[datacenter], nodes[datacenter] = b, n
	})
	return all
}

// readBalancerURLs reads a list of URLs, none of them twice: a copy that nobody changed would leave a
// balancer unasked.
func (p *policyParser) readBalancerURLs(n *yaml.Node) []string {
	var urls []string
	first := map[string]int{} // URL → line
	for _, item := range p.items(n, "urls") {
		s, ok := p.text(item, checkBalancerURL)
		if !ok {
			continue
		}
		if line, again := first[s]; again {
			p.report(item, fmt.Sprintf("the first is on line %d; name every balancer once", line), "duplicate URL %s", quote(s))
			continue
		}
		first[s] = item.Line
		urls = append(urls, s)
	}
	return urls
}

func checkBalancerURL(s string) *fault {
	if strings.Contains(s, "@") {
		// Not quoted: what is before it may be a password.
		return faultf("status pages are asked for without a user", "the URL holds a user")
	}
	return checkBaseURL(s, "URL", "write http://HOST:PORT of the balancer's status pages, without a path")
}

func (p *policyParser) readBalancerPools(n *yaml.Node) map[string]string {
	pools := map[string]string{}
	p.named(n, "pools", func(service string, n *yaml.Node) {
		pools[service], _ = p.text(n, checkBalancerPool) // a bad one is reported, and is no missing one
	})
	return pools
}

// checkBalancerPool says what is wrong with a balancer's name of a pool. The empty one is written for a
// service that the balancer does not serve.
func checkBalancerPool(s string) *fault {
	if s == "" {
		return nil
	}
	return checkWord(s)
}

// checkMapped reports each selected service that the balancers of a selected datacenter have no pool for:
// its depool would be refused in the middle of a run.
func (p *policyParser) checkMapped(pool *Pooling, nodes map[string]*yaml.Node) {
	datacenters := pool.Select["datacenter"]
	for _, datacenter := range slices.Sorted(maps.Keys(pool.Balancers)) {
		if len(datacenters) > 0 && !slices.Contains(datacenters, datacenter) {
			continue
		}
		pools := pool.Balancers[datacenter].Pools
		if len(pools) == 0 {
			continue // reported already
		}
		for _, service := range pool.Select["service"] {
			if _, ok := pools[service]; !ok {
				p.report(nodes[datacenter], fmt.Sprintf("add %s: POOL to its pools, or %s: \"\" if they do not serve it", service, service),
					"the balancers of %s have no pool for the selected service %s", quote(datacenter), quote(service))
			}
		}
	}
}

// named reads a mapping that must not be empty and whose keys are names that the file chooses.
func (p *policyParser) named(n *yaml.Node, what string, read func(name string, value *yaml.Node)) {
	if !p.isMapping(n, what) {
		return
	}
	if len(n.Content) == 0 {
		p.report(n, "fill it, or leave the key out", "%s is empty", what)
	}
	for key, value := range p.pairs(n) {
		if f := checkWord(key.Value); f != nil {
			p.reportFault(key, f)
		}
		read(key.Value, value)
	}
}
