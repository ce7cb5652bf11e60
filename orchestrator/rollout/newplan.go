package rollout

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fleetsync/fleetsync/inventory"
)

// ErrDown says that more hosts are not there than may fail.
var ErrDown = errors.New("too many hosts are not there")

// errNobody is ErrDown where nobody is left to be a canary.
var errNobody = fmt.Errorf("%w: not one of all that are selected is", ErrDown)

// ErrNoProxyFits says that a fleet has proxies, and none of them can be taken out of its pools.
var ErrNoProxyFits = errors.New("no proxy can be taken out of its pools")

// Request is what one run is asked for, and what was found out before it is planned.
type Request struct {
	Run       string
	Mode      inventory.Mode
	Made      time.Time
	Origin    string   // empty: the first master that may be synced from
	Selection []string // hosts that the run is limited to; nil is all
	Limit     string   // the expression that selected them, for people
	From      string   // the origin, if it was asked for by name, for people
	Paths     []string // subset of the tree; nil is all of it
	Force     string   // reason to go on past a gate that does not pass; empty: never
	Override  string   // reason to go on past what the guard refuses; empty: it refused nothing

	Undoes    string           // the run that is rolled back
	Tree      *Tree            // what the origin holds; nil: it is not known, and nothing is compared with it
	Delta     *Delta           // what a sync would do to some hosts
	MaxDelete int              // deletions that one rsync may make; negative is any number
	Verify    inventory.Verify // which of the fleet's hosts are compared with the tree after their sync; canaries and proxies always are
	Keep      bool             // every host keeps what its sync replaces; canaries and masters always do

	// It is about the hosts that earlier runs have left behind: those that are down are no reason to leave the others so
	Behind bool
	Down   map[string]string // hosts that are not there, and why: they are not tried, and count as failed

	Pools bool          // the fleet has pools; false: proxies serve without being taken out of any
	Left  []Left        // proxies that the pools cannot spare, and why
	Drain time.Duration // between a depool and the proxy's first use

	OnForeignEdit inventory.ForeignEdit
	Quarantine    inventory.Quarantine // whom to take out of their pools because they have no good tree; empty: canaries
	Quarantined   map[string]string    // hosts that are out of their pools for that, and the runs that took them out

	Hooks           []Moment        // of the run, for which there is something to do
	Post, OnFailure map[string]bool // hosts for which there is something to do when they have the tree, or will not get it
}

// Values that a plan has and a policy does not set.
const (
	defaultRetryDelay = 2 * time.Second
	defaultRestore    = 2 * time.Minute
	defaultUnknowns   = 2
)

// NewPlan makes the plan of a run. The order of its stages is why the tool is safe, so each stage
// carries its reason.
//
// The error is ErrNoProxyFits or ErrDown, or says what in the request does not fit the fleet.
func NewPlan(f *inventory.Fleet, settings inventory.Settings, r Request) (*Plan, error) {
	b := builder{fleet: f, request: r, roles: map[string]Role{}, left: map[string]bool{}}
	if err := b.assignRoles(); err != nil {
		return nil, err
	}
	fleet := b.there(RoleHost)
	p := &Plan{
		Run: r.Run, Fleet: f.Name, Mode: r.Mode, Made: r.Made, Inventory: f.Digest,
		Origin: b.origin, Limit: r.Limit, From: r.From, Paths: r.Paths, Force: r.Force, Left: b.leftOut, OnForeignEdit: r.OnForeignEdit,
		Tree: r.Tree, Delta: r.Delta, Override: r.Override, Quarantine: r.Tree != nil && r.Pools && r.Quarantine != inventory.QuarantineNone,
		QuarantineAll: r.Pools && r.Quarantine == inventory.QuarantineAll,
		Limits:        limits(settings, r), Gate: gateOf(settings), Hooks: r.Hooks,
	}
	b.hosts(p)
	if len(r.Paths) == 0 {
		p.Paths = nil // no paths are the whole tree, however they are written
	}
	if err := p.allow(settings.Batches.MaxFailures, r.Behind, len(p.Hosts)-1); err != nil { // the origin is not synced
		return nil, err
	}

	p.hook(MomentPre, "before anything is touched")
	canaries := b.there(RoleCanary)
	p.stage(Stage{Name: "canaries", Kind: StageSync, Hosts: canaries, Origin: true,
		Why: "straight from the origin, before any proxy: no bad tree reaches a host that will be pooled again"})
	p.stage(Stage{Name: "gate", Kind: StageCheck, Hosts: canaries,
		Why: "no other host gets the tree before it passes"})
	if r.Mode == inventory.ModeCanary {
		p.hook(MomentPost, "the run is over")
		return p, nil
	}
	p.stage(Stage{Name: "masters", Kind: StageSync, Hosts: b.up(b.comasters()), Origin: true,
		Why: "every master holds what the fleet is about to get"})
	proxies := b.names(RoleProxy)
	pooled := slices.DeleteFunc(slices.Clone(proxies), func(name string) bool { return !b.pooled(name) })
	p.stage(Stage{Name: "depool", Kind: StageDepool, Hosts: pooled,
		Why: "a host that serves the fleet serves no users meanwhile"})
	p.stage(Stage{Name: "proxies", Kind: StageSync, Hosts: proxies, Origin: true,
		Why: "from the origin; only a proxy whose own sync is verified serves"})
	p.batches(StageSync, fleet, settings.Batches.Ramp)
	p.stage(Stage{Name: "repool", Kind: StageRepool, Hosts: pooled,
		Why: "every object back as it was"})
	p.hook(MomentPost, "the run is over, and nothing is out of its pools")
	return p, nil
}

// allow sets how many of the hosts that the run is about may fail. Those that are not there have failed; the error is ErrDown if
// these are too many, as the run would halt before it has begun.
func (p *Plan) allow(most inventory.Amount, behind bool, hosts int) error {
	down := slices.DeleteFunc(slices.Clone(p.Hosts), func(h Host) bool { return h.Down == "" })
	p.Limits.MaxFailures = most.Of(hosts)
	if behind {
		p.Limits.MaxFailures += len(down)
	}
	if len(down) > p.Limits.MaxFailures {
		return fmt.Errorf("%w: %d of %d, and %d may fail: %s: %s", ErrDown, len(down), hosts, p.Limits.MaxFailures, down[0].Name, down[0].Down)
	}
	return nil
}

func limits(settings inventory.Settings, r Request) Limits {
	return Limits{
		Parallel:   settings.Batches.Parallel,
		Attempts:   settings.Batches.Attempts,
		Timeout:    Duration(settings.Batches.Timeout),
		RetryDelay: Duration(defaultRetryDelay),
		Drain:      Duration(r.Drain),
		Restore:    Duration(defaultRestore),
		MaxDelete:  r.MaxDelete,
	}
}

func gateOf(settings inventory.Settings) Gate {
	g := Gate{
		Soak:     Duration(settings.Gate.Soak),
		Interval: Duration(settings.Gate.Interval),
		Unknowns: defaultUnknowns,
	}
	for _, c := range settings.Gate.Checks {
		g.Checks = append(g.Checks, c.Name)
	}
	if len(g.Checks) == 0 {
		g.Checks = []string{SoakCheck}
	}
	return g
}

// stage adds a stage, unless it would be empty.
func (p *Plan) stage(s Stage) {
	if len(s.Hosts) > 0 {
		p.Stages = append(p.Stages, s)
	}
}

// batches adds the stages of the fleet: the sizes of the ramp in turn, the last one repeated.
func (p *Plan) batches(kind StageKind, hosts []string, ramp []inventory.Amount) {
	var sizes []int
	for left := len(hosts); left > 0; {
		size := left
		if len(ramp) > 0 {
			a := ramp[min(len(sizes), len(ramp)-1)]
			size = min(left, max(1, a.Of(len(hosts))))
		}
		sizes = append(sizes, size)
		left -= size
	}
	for i, size := range sizes {
		why := "the rest, now that smaller batches went well"
		if i < len(sizes)-1 {
			why = "small first: a bad tree that passed the gate is seen here"
		}
		p.stage(Stage{Name: fmt.Sprintf("batch %d of %d", i+1, len(sizes)), Kind: kind, Hosts: hosts[:size:size], Why: why})
		hosts = hosts[size:]
	}
}

// builder gives each host of the fleet its part in one plan.
type builder struct {
	fleet   *inventory.Fleet
	request Request
	origin  string
	roles   map[string]Role
	slots   map[string]int
	left    map[string]bool
	leftOut []Left
	proxies map[string]inventory.Proxy
}

// assignRoles decides who plays which part.
func (b *builder) assignRoles() error {
	if err := b.assignMasters(); err != nil {
		return err
	}
	for _, name := range b.selected() {
		if b.roles[name] == "" {
			b.roles[name] = RoleHost
		}
	}
	if len(b.names(RoleHost)) == 0 {
		return errors.New("there is no host to sync: all that are selected are masters")
	}
	b.assignCanaries()
	if len(b.there(RoleCanary)) == 0 {
		return errNobody
	}
	return b.assignProxies()
}

// selected returns the hosts that the run is about, in the fleet's order.
func (b *builder) selected() []string {
	in := map[string]bool{}
	for _, name := range b.request.Selection {
		in[name] = true
	}
	var names []string
	for _, h := range b.fleet.Hosts {
		if b.request.Selection == nil || in[h.Name] {
			names = append(names, h.Name)
		}
	}
	return names
}

func (b *builder) assignMasters() error {
	b.slots = map[string]int{}
	for _, m := range b.fleet.Masters {
		if b.origin == "" && m.Serve && (b.request.Origin == "" || b.request.Origin == m.Host) {
			b.origin = m.Host
		}
		b.roles[m.Host] = RoleMaster
		if m.Serve {
			b.slots[m.Host] = m.Slots
		}
	}
	switch {
	case b.origin != "":
		return nil
	case b.request.Origin == "":
		return errors.New("no master may be synced from: one must have serve: true")
	case b.roles[b.request.Origin] == RoleMaster:
		return fmt.Errorf("master %s may not be synced from: it has serve: false", b.request.Origin)
	default:
		return fmt.Errorf("%s is not a master", b.request.Origin)
	}
}

// assignCanaries takes the fleet's canaries that are there or, where the selection has none of them, as many of its
// first hosts: there is no run without a gate.
func (b *builder) assignCanaries() {
	found := false
	for _, name := range b.fleet.Canaries {
		if b.roles[name] == RoleHost {
			b.roles[name] = RoleCanary
			found = found || b.request.Down[name] == ""
		}
	}
	if found {
		return
	}
	proxy := map[string]bool{}
	for _, p := range b.fleet.Proxies {
		proxy[p.Host] = true
	}
	hosts := b.there(RoleHost)
	stand := slices.DeleteFunc(slices.Clone(hosts), func(name string) bool { return proxy[name] })
	if len(stand) == 0 {
		stand = hosts // a proxy stands in only where there is nobody else
	}
	for _, name := range stand[:min(len(stand), max(1, len(b.fleet.Canaries)))] {
		b.roles[name] = RoleCanary
	}
}

// assignProxies decides which proxies serve. The others are ordinary hosts.
func (b *builder) assignProxies() error {
	b.proxies = map[string]inventory.Proxy{}
	if b.request.Mode == inventory.ModeCanary {
		return nil
	}
	spared := map[string]string{}
	for _, l := range b.request.Left {
		spared[l.Host] = l.Reason
	}
	fleet := len(b.there(RoleHost))
	var serving, candidates int
	var full Left // the first that the pools cannot spare
	for _, p := range b.fleet.Proxies {
		reason, spare := spared[p.Host]
		switch {
		case b.roles[p.Host] == "":
			b.leaveOut(p.Host, "outside the selection, and not known to hold the tree")
			continue
		case b.roles[p.Host] == RoleCanary:
			b.leaveOut(p.Host, "stands in for a canary")
			continue
		case b.request.Down[p.Host] != "":
			b.leaveOut(p.Host, "is down: "+b.request.Down[p.Host])
			continue
		case b.request.Quarantined[p.Host] != "":
			b.leaveOut(p.Host, "is out of its pools since run "+b.request.Quarantined[p.Host]+", because it had no good tree")
			continue
		case spare:
			b.leaveOut(p.Host, reason)
			if candidates++; full.Host == "" {
				full = Left{Host: p.Host, Reason: reason}
			}
			continue
		}
		candidates++
		serving++
		b.roles[p.Host] = RoleProxy
		b.proxies[p.Host] = p
		b.slots[p.Host] = p.Slots
	}
	switch {
	case fleet == candidates:
		// Nobody is left whom they would serve: to take them out would be for nothing.
		for name := range b.proxies {
			b.roles[name] = RoleHost
			delete(b.slots, name)
		}
	case candidates > 0 && serving == 0:
		return fmt.Errorf("%w: %s: %s", ErrNoProxyFits, full.Host, full.Reason)
	}
	return nil
}

func (b *builder) leaveOut(host, reason string) {
	b.leftOut = append(b.leftOut, Left{Host: host, Reason: reason})
}

func (b *builder) pooled(name string) bool { return b.request.Pools && b.proxies[name].Pooled }

// names returns the hosts of a role, in the fleet's order.
func (b *builder) names(r Role) []string {
	var names []string
	for _, h := range b.fleet.Hosts {
		if b.roles[h.Name] == r {
			names = append(names, h.Name)
		}
	}
	return names
}

// there returns those of a role that are, in the fleet's order.
func (b *builder) there(r Role) []string { return b.up(b.names(r)) }

// up leaves out the hosts that are not there.
func (b *builder) up(names []string) []string {
	return slices.DeleteFunc(names, func(name string) bool { return b.request.Down[name] != "" })
}

// comasters returns the masters to be synced: all but the origin, and only selected ones.
func (b *builder) comasters() []string {
	var names []string
	for _, name := range b.names(RoleMaster) {
		if name != b.origin && (b.request.Selection == nil || slices.Contains(b.request.Selection, name)) {
			names = append(names, name)
		}
	}
	return names
}

// hosts lists those that the plan is about: the origin and all that a stage syncs.
func (b *builder) hosts(p *Plan) {
	comasters := b.comasters()
	fleet := 0 // hosts that play no part, so far
	for _, h := range b.fleet.Hosts {
		role := b.roles[h.Name]
		switch {
		case role == "":
			continue
		case role == RoleMaster && h.Name != b.origin:
			if b.request.Mode == inventory.ModeCanary || !slices.Contains(comasters, h.Name) {
				continue
			}
		case role != RoleCanary && role != RoleMaster && b.request.Mode == inventory.ModeCanary:
			continue
		}
		host := Host{
			Name: h.Name, Role: role, Datacenter: h.Datacenter, Rack: h.Rack,
			Slots: b.slots[h.Name], Pooled: role == RoleProxy && b.pooled(h.Name),
			Keep: b.keeps(h.Name), Verify: b.verifies(h.Name, fleet),
		}
		if run := b.request.Quarantined[h.Name]; run != "" && role != RoleMaster {
			// It comes back by its tree, so that is looked at.
			host.Quarantined, host.Verify = run, b.request.Tree != nil
		}
		if role != RoleMaster {
			host.Post, host.OnFailure = b.request.Post[h.Name], b.request.OnFailure[h.Name]
		}
		if why := b.request.Down[h.Name]; why != "" && h.Name != b.origin {
			host.Down, host.Slots, host.Keep, host.Verify, host.Post, host.OnFailure = why, 0, false, false, false, false
		}
		p.Hosts = append(p.Hosts, host)
		if role == RoleHost && host.Down == "" {
			fleet++
		}
	}
}

// keeps says whether a host keeps what its sync replaces: without it a bad tree on a canary could not be taken
// back, and one on a master would be all that is left.
func (b *builder) keeps(name string) bool {
	switch b.roles[name] {
	case RoleCanary, RoleMaster:
		return b.request.Tree != nil && name != b.origin
	case RoleProxy, RoleHost:
		return b.request.Tree != nil && b.request.Keep
	default:
		return false
	}
}

// sampled is one in how many of the fleet's hosts is verified where the policy asks for a sample: the first,
// and each so many after it.
const sampled = 10

// verifies says whether a host's tree is compared with the run's: always where others depend on it.
func (b *builder) verifies(name string, place int) bool {
	switch b.roles[name] {
	case RoleCanary, RoleMaster, RoleProxy:
		return b.request.Tree != nil && name != b.origin
	case RoleHost:
		return b.request.Tree != nil && (b.request.Verify == inventory.VerifyAll || b.request.Verify == inventory.VerifySample &&
			place%sampled == 0)
	default:
		return false
	}
}
