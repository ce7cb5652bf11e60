package live

import (
	"fmt"
	"slices"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// lacks says why a host is to be out of its pools.
func (s *story) lacks(host string) string {
	if s.down[host] {
		return "was down"
	}
	return "has no good tree"
}

// cast tells of a host that is taken out of its pools or put back because of its tree, as long as there are not too many.
func (s *story) cast(k kind, host, said, about string) {
	if suffix, show := s.casts.admit(host, said+about); show {
		s.tell(k, "%s: %s%s%s", name(host), said, about, suffix)
	}
}

// again is what is said of a step that failed and will be tried again.
func again(e rollout.Event) string {
	return fmt.Sprintf(" (attempt %d, will be tried again)", e.Attempt)
}

// quarantine folds that a host without a good tree is taken out of its pools.
func (s *story) quarantine(e rollout.Event) {
	lacks := s.lacks(e.Host)
	switch {
	case e.Kind == rollout.StepStarted:
		s.pools[e.Host] = e.Step
		return
	case e.Kind == rollout.StepDone && len(e.Objects) == 0:
		s.cast(note, e.Host, lacks+"; nothing of it is in a pool", detail(e))
	case e.Kind == rollout.StepDone:
		if !slices.Contains(s.quarantined, e.Host) {
			s.quarantined = append(s.quarantined, e.Host)
		}
		s.cast(bad, e.Host, "in quarantine: it "+lacks+", and is out of its pools until it has a good tree", detail(e))
	case e.Class == rollout.Stopped:
	case s.tried(e.Step).again(e, s.plan.Limits):
		s.cast(bad, e.Host, lacks+", and cannot be taken out of its pools: "+because(e), again(e))
	case e.Class == rollout.Capacity && slices.ContainsFunc(s.held, func(host string) bool { return host != e.Host }):
		s.cast(bad, e.Host, lacks+", and its pools cannot spare it: "+because(e), " (will be tried again once proxies are back)")
	case s.down[e.Host]:
		s.cast(bad, e.Host, "USERS MAY MEET AN OLD TREE THERE: it was down, and cannot be taken out of its pools: "+because(e), "")
	default:
		s.cast(bad, e.Host, "USERS MAY MEET A HALF TREE THERE: it cannot be taken out of its pools: "+because(e), "")
	}
	delete(s.pools, e.Host)
}

// release folds that a host is put back that was in quarantine, and has a good tree again.
func (s *story) release(e rollout.Event) {
	switch {
	case e.Kind == rollout.StepStarted:
		s.pools[e.Host] = e.Step
		return
	case e.Kind == rollout.StepDone:
		s.quarantined = slices.DeleteFunc(s.quarantined, func(host string) bool { return host == e.Host })
		s.cast(good, e.Host, "has a good tree again, and is back in its pools", detail(e))
	case e.Class == rollout.Stopped:
	case s.tried(e.Step).again(e, s.plan.Limits):
		s.cast(bad, e.Host, "has a good tree again, and cannot be put back into its pools: "+because(e), again(e))
	default:
		s.cast(bad, e.Host, "has a good tree again, and STAYS OUT of its pools: "+because(e), "")
	}
	delete(s.pools, e.Host)
}

// silent tells of a source that does not answer. From the last one nobody is taken away.
func (s *story) silent(e rollout.Event) {
	served := 0
	for _, f := range s.flights {
		if f.source == e.Host {
			served++
		}
	}
	then := ""
	if served > 0 {
		then = "; what it serves, " + text.Plural(served, "sync") + ", goes on from another source if there is one"
	}
	s.tell(bad, "%s does not answer any more%s%s", s.master(e.Host), detail(e), then)
}
