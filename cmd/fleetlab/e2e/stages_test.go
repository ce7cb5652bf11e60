//go:build linux

package e2e

import (
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// stage is a part of a run at which a fault strikes.
type stage struct {
	name   string
	policy []string              // pairs: what it has instead of the others' policy, so that the stage lasts
	victim func(*fleet) string   // the host that the stage is about
	from   func(*fleet) []string // who serves in it or, where nobody does, in the next that somebody does
	hold   func(s *stand)        // before the run: has the stage last until it is released
	under  func(s *stand)        // waits until it is under way
	let    func(s *stand)        // releases it
	slow   bool                  // the link of its host is slow until it is released: a transfer to it is met half-way
}

func (f *fleet) canary() string    { return f.canaries[0] }
func (f *fleet) proxy() string     { return f.proxies[0] }
func (f *fleet) host() string      { return f.ordinary[0] }
func (f *fleet) master() string    { return f.comaster }
func (f *fleet) origins() []string { return []string{f.origin} }
func (f *fleet) relays() []string  { return f.proxies }
func midway(s *stand)              { s.inTransfer(s.T, s.run, s.victim) }

// downFile has all answers of a host's HTTP server be 503: a proxy is asked before it is put back, and again later.
const downFile = "/srv/down"

// stages are those of a full run, in their order.
var stages = []stage{
	{name: "Before", victim: (*fleet).host, from: (*fleet).origins},
	{name: "BeforeCanary", victim: (*fleet).canary, from: (*fleet).origins},
	{name: "BeforeMaster", victim: (*fleet).master, from: (*fleet).origins},
	{name: "BeforeProxy", victim: (*fleet).proxy, from: (*fleet).origins},
	{name: "Canaries", victim: (*fleet).canary, from: (*fleet).origins, slow: true, under: midway},
	{
		name: "Gate", victim: (*fleet).canary, from: (*fleet).origins,
		policy: []string{"soak: 100ms", "soak: 2s"},
		under:  func(s *stand) { s.run.await(s.T, rollout.StepStarted, "check/*") },
	},
	{name: "Comaster", victim: (*fleet).master, from: (*fleet).origins, slow: true, under: midway},
	{
		name: "Depool", victim: (*fleet).proxy, from: (*fleet).origins,
		policy: []string{"drain: 100ms", "drain: 2s"},
		under:  func(s *stand) { s.run.await(s.T, rollout.StepStarted, "depool/"+s.victim) },
	},
	{name: "Proxies", victim: (*fleet).proxy, from: (*fleet).origins, slow: true, under: midway},
	{name: "Batches", victim: (*fleet).host, from: (*fleet).relays, slow: true, under: midway},
	{
		name: "Repool", victim: (*fleet).proxy, from: (*fleet).relays,
		policy: []string{"attempts: 2", "attempts: 3"}, // one of them is the hold's
		hold:   func(s *stand) { s.must(s.T, s.victim, "touch "+downFile) },
		under:  func(s *stand) { s.run.await(s.T, rollout.StepStarted, "repool/"+s.victim) },
		let:    func(s *stand) { s.must(s.T, s.victim, "rm "+downFile) },
	},
}
