package rollout

import (
	"slices"
	"time"
)

// tier orders sources: masters serve the fleet only when no proxy is left.
type tier int

const (
	proxyTier tier = iota
	masterTier
	tiers
)

// suspicion is how many transfers in succession must fail, with the source a possible culprit,
// before the source is left for another. One would leave a good proxy because of one bad host; many
// would cost every host an attempt.
const suspicion = 3

// source is a host's part as a source.
type source struct {
	tier  tier
	slots int
	load  int // transfers in flight from it
	fails int // in succession that it may be the culprit of

	serving bool      // may be given hosts; kept by State.reconsider
	from    time.Time // not before: a proxy drains first
	dropped bool      // left, because transfers from it failed
	lost    bool      // must not serve any more: what it serves is ended
	silent  bool      // does not answer: what it serves is ended; forgotten when the run is resumed
}

// sourceSet is the sources of one tier that serve, and those of them with a free slot.
type sourceSet struct {
	serving []int
	free    []int
}

func (r *sourceSet) update(host int, src *source) {
	r.serving = member(r.serving, host, src.serving)
	r.free = member(r.free, host, src.serving && src.load < src.slots)
}

// member puts host in or takes it out of a short list that is kept in order, so that what is
// decided over it does not depend on how it came about.
func member(hosts []int, host int, in bool) []int {
	at := 0
	for at < len(hosts) && hosts[at] < host {
		at++
	}
	present := at < len(hosts) && hosts[at] == host
	switch {
	case in && !present:
		hosts = append(hosts, 0)
		copy(hosts[at+1:], hosts[at:])
		hosts[at] = host
	case !in && present:
		hosts = append(hosts[:at], hosts[at+1:]...)
	}
	return hosts
}

// reconsider keeps whether a host serves, after anything that bears on it has changed: the one place
// that says when a source is good.
func (s *State) reconsider(i int) {
	h := &s.hosts[i]
	if h.source == nil {
		return
	}
	h.source.serving = !h.source.lost && !h.source.dropped && !h.source.silent &&
		h.sync == synced && (h.pool == nil || h.pool.status == poolOut)
	s.byTier[h.source.tier].update(i, h.source)
}

// stageSources returns the sources that the current stage may use: the origin alone where the stage says
// so and it still has the tree; else the proxies; else the masters. No proxy is still to come when a
// stage asks: the stages that make them sources are complete before those that they serve.
func (s *State) stageSources() *sourceSet {
	if s.Plan.Stages[s.stage].Origin && s.hosts[s.origin].source.serving {
		return &s.originOnly
	}
	if r := &s.byTier[proxyTier]; len(r.serving) > 0 {
		return r
	}
	return &s.byTier[masterTier]
}

// sourceless says whether the current stage has hosts left and nothing to take the tree from.
func (s *State) sourceless() bool {
	if s.stage == len(s.Plan.Stages) || s.Plan.Stages[s.stage].Kind != StageSync || s.stageLeft == 0 {
		return false
	}
	return len(s.stageSources().serving) == 0
}

// blame counts a failed transfer against its source and leaves the source when too many failed in
// succession, or when it refuses for good; never the last one that serves.
func (s *State) blame(i int, class Class) {
	src := s.hosts[i].source
	if src.fails++; class == Permanent {
		src.fails = suspicion
	}
	if src.fails >= suspicion && src.serving && !s.lastSource() && i != s.origin {
		src.dropped = true
		s.reconsider(i)
	}
}

// lastSource says whether no more than one source serves: it is never left, because another try may go well.
func (s *State) lastSource() bool {
	return len(s.byTier[proxyTier].serving)+len(s.byTier[masterTier].serving) <= 1
}

// fellSilent leaves a source that does not answer, and has what it serves ended: its hosts would wait for their time
// to be over. From the last one they may as well wait.
func (s *State) fellSilent(i int) {
	src := s.hosts[i].source
	if !src.serving || s.lastSource() {
		return
	}
	src.silent, s.anyLost = true, true
	s.reconsider(i)
	s.updateOrigin()
}

// untried says whether a source serves the current stage that has not failed a host.
func (s *State) untried(h *host) bool {
	return slices.ContainsFunc(s.stageSources().serving, func(i int) bool { return !slices.Contains(h.tried, i) })
}
