package live

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// hooks is what is known of what the policy has done around a run and its hosts. That of hosts is counted: nobody is named for
// whom all goes well.
type hooks struct {
	moment string // of the run, whose hooks go on; empty: none do
	since  time.Time
	begun  bool // in this turn

	post    map[string]bool          // hosts on which something is done once they have the tree
	ending  map[string]bool          // of which those that have it, and on which that is not done
	flights map[rollout.StepKind]int // on hosts
	done    map[rollout.StepKind]int // hosts on which it was done
	stopped int                      // in this turn

	trouble limiter
}

func newHooks(p *rollout.Plan) hooks {
	h := hooks{
		post: map[string]bool{}, ending: map[string]bool{}, flights: map[rollout.StepKind]int{}, done: map[rollout.StepKind]int{},
		trouble: newLimiter(5, 60),
	}
	for _, host := range p.Hosts {
		if host.Post {
			h.post[host.Name] = true
		}
	}
	return h
}

// resumed forgets what went on when the run died.
func (h *hooks) resumed() {
	h.moment = ""
	clear(h.ending)
	clear(h.flights)
	clear(h.done)
}

// said is what a line shows of them; empty if nothing goes on.
func (h *hooks) said() string {
	var parts []string
	run := h.flights[rollout.StepPost]
	if wait := len(h.ending) - run; run+wait > 0 {
		part := "post hooks: " + text.Count(run) + " run"
		if wait > 0 {
			part += ", " + text.Count(wait) + " wait"
		}
		parts = append(parts, part)
	}
	if run := h.flights[rollout.StepOnFailure]; run > 0 {
		parts = append(parts, "on_failure hooks: "+text.Count(run)+" run")
	}
	return strings.Join(parts, "; ")
}

// hook folds what is done for a moment of the run.
func (s *story) hook(e rollout.Event, moment string) {
	if e.Kind == rollout.StepStarted {
		s.hooks.moment, s.hooks.since, s.hooks.begun = moment, e.At, true
		return
	}
	s.hooks.moment = ""
	took := text.Time(e.At.Sub(s.hooks.since))
	switch {
	case e.Kind == rollout.StepDone && e.Detail != "":
		s.tell(warn, "the run's %s hooks are done in %s, but: %s", name(moment), took, reason(e.Detail))
	case e.Kind == rollout.StepDone:
		s.tell(good, "the run's %s hooks are done in %s", name(moment), took)
	case e.Class == rollout.Stopped:
		s.tell(bad, "the run's %s hooks were stopped after %s", name(moment), took)
	default:
		then := ""
		if rollout.Moment(moment) == rollout.MomentPre {
			if then = "; nothing new starts"; s.untouched() {
				then = "; nothing was touched, and nothing is"
			}
			s.stopTold = true
		}
		s.tell(bad, "the run's %s hooks FAILED after %s: %s%s", name(moment), took, because(e), then)
	}
}

// untouched says whether the run has changed no host and no pool.
func (s *story) untouched() bool {
	return s.synced+len(s.failed)+len(s.undone)+len(s.hooks.ending)+len(s.pools)+len(s.quarantined) == 0
}

// post folds what is done on a host that has the tree: it counts as synced after that.
func (s *story) post(e rollout.Event, state view) {
	if !s.hosted(e, rollout.StepPost, e.Kind == rollout.StepFailed && givenUp(e.Host, state)) {
		return
	}
	delete(s.hooks.ending, e.Host)
	stage := &s.stages[s.stageOf[e.Host]]
	if e.Kind == rollout.StepDone {
		s.got(e.Host, stage)
		return
	}
	s.failed[e.Host] = true
	stage.failed++
}

// givenUp says whether a host has failed for good whose post hooks have failed: of what failed before the run was resumed only the
// state knows. The state may be ahead, and a canary in flight again because it is rolled back.
func givenUp(host string, state view) bool {
	h, _ := state.Host(host)
	return h.Standing == rollout.Failed || slices.ContainsFunc(state.Running, func(r *rollout.Flight) bool {
		return r.Step == rollout.StepID(string(rollout.StepRollback)+"/"+host)
	})
}

// hosted folds the beginning or the end of what is done on a host, and says whether that was the last of it, as it is if the host
// has failed by that.
func (s *story) hosted(e rollout.Event, of rollout.StepKind, failed bool) (over bool) {
	h := &s.hooks
	if e.Kind == rollout.StepStarted {
		h.flights[of]++
		return false
	}
	h.flights[of]--
	switch {
	case e.Kind == rollout.StepDone:
		h.done[of]++
		if e.Detail == "" {
			return true
		}
		if suffix, show := h.trouble.admit(e.Host, e.Detail); show {
			s.tell(warn, "%s: its %s hooks: %s%s", name(e.Host), of, reason(e.Detail), suffix)
		}
		return true
	case e.Class == rollout.Stopped:
		h.stopped++
		return false
	}
	over = !s.tried(e.Step).again(e, s.plan.Limits) || e.Class != rollout.Transient || failed
	k, then := warn, "will be tried again"
	if over {
		k, then = bad, "not tried again"
	}
	has := ""
	if of == rollout.StepPost {
		has = "has the tree, but "
	}
	if suffix, show := h.trouble.admit(e.Host, string(k)+e.Error); show {
		s.tell(k, "%s: %sits %s hooks failed: %s (attempt %d, %s)%s", name(e.Host), has, of, because(e), e.Attempt, then, suffix)
	}
	return over
}

// turnOfHooks tells what a turn changed in them.
func (s *story) turnOfHooks() {
	if s.hooks.begun {
		s.tellPlain("the run's %s hooks begin", name(s.hooks.moment))
		s.hooks.begun = false
	}
	if s.hooks.stopped > 0 {
		s.tell(bad, "running hooks stopped on %s", text.Hosts(s.hooks.stopped))
		s.hooks.stopped = 0
	}
}

// hooksDone tells on how many hosts something was done, at the end of a run.
func (s *story) hooksDone() {
	var parts []string
	for _, of := range []rollout.StepKind{rollout.StepPost, rollout.StepOnFailure} {
		if n := s.hooks.done[of]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s on %s", of, text.Hosts(n)))
		}
	}
	if len(parts) > 0 {
		s.tellPlain("hooks of hosts are done: %s", strings.Join(parts, ", "))
	}
}
