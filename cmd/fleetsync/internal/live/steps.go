package live

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// step tells how a step ended.
func (t *teller) step(e *rollout.Event) {
	switch {
	case e.StepKind == rollout.StepHook:
		t.hook(e)
	case e.Class == rollout.Stopped: // these are counted
	case e.StepKind == rollout.StepCheck:
		t.check(e)
	case e.StepKind == rollout.StepQuarantine || e.StepKind == rollout.StepRelease:
		t.quarantine(e)
	case e.Kind == rollout.StepFailed:
		t.failure(e)
	default:
		t.done(e)
	}
}

// words is what is said of a kind of step: once it is done, and with what else a person should know of it, and when it failed.
type words struct{ done, but, failed string }

var wordsFor = map[rollout.StepKind]words{
	rollout.StepSync:      {but: "synced, with a warning", failed: "cannot sync"},
	rollout.StepRollback:  {but: "rolled back", failed: "cannot be rolled back"},
	rollout.StepRecheck:   {failed: "cannot be looked at"},
	rollout.StepObserve:   {failed: "cannot observe"},
	rollout.StepDepool:    {done: "depooled", but: "depooled", failed: "cannot depool"},
	rollout.StepRepool:    {done: "repooled", but: "repooled", failed: "cannot repool"},
	rollout.StepPost:      {but: "its post hooks", failed: "has the tree, but its post hooks failed"},
	rollout.StepOnFailure: {but: "its on_failure hooks", failed: "its on_failure hooks failed"},
}

// limiter bounds the messages of an event: about few hosts all is told.
func (t *teller) limiter(e *rollout.Event) *limiter {
	switch e.StepKind {
	case rollout.StepPost, rollout.StepOnFailure:
		return t.hooked
	case rollout.StepQuarantine, rollout.StepRelease:
		return t.quarantined
	case rollout.StepSync, rollout.StepRollback:
		if e.Fate == rollout.FateGivenUp {
			return t.failed
		}
		return t.retried
	default:
		return nil
	}
}

// done tells of a step that went well what a person should know.
func (t *teller) done(e *rollout.Event) {
	t.rolledBack = t.rolledBack || e.StepKind == rollout.StepRollback && t.Plan.Undoes == ""
	if said := wordsFor[e.StepKind]; e.Detail != "" && said.but != "" {
		t.limited(e, warn, e.Detail, said.but+": "+reason(e.Detail))
	} else if said.done != "" {
		t.limited(e, note, "", said.done)
	}
}

// failure tells of a step that failed, and what becomes of it.
func (t *teller) failure(e *rollout.Event) {
	k, how, then, most := warn, fmt.Sprintf("attempt %d", e.Attempt), "will be tried again", t.Plan.Limits
	given := e.Fate == rollout.FateGivenUp
	if given {
		k, then = bad, "not tried again"
	}
	switch e.StepKind {
	case rollout.StepRecheck:
		if given && e.GiveUp != rollout.GiveUpStopping {
			t.sourceLost(e)
			return
		}
	case rollout.StepSync:
		switch e.Class {
		case rollout.Busy:
			how = "busy"
		case rollout.Transient:
			how = fmt.Sprintf("attempt %d of %d", e.Failures, most.Attempts)
		default:
		}
		how += " from " + name(e.Source)
	case rollout.StepObserve, rollout.StepDepool:
		if k = warn; given {
			how, then = gaveUp(e), "it will not serve"
		}
	case rollout.StepRepool:
		if k = bad; given {
			how, then = gaveUp(e), "it STAYS OUT"
		} else if e.Class == rollout.Transient {
			then = "tried again for at most " + text.Time(time.Duration(most.Restore))
		}
	default:
	}
	said := strings.TrimPrefix(how+", "+then, ", ")
	t.limited(e, k, string(k)+string(e.Class)+e.Error, fmt.Sprintf("%s: %s (%s)", wordsFor[e.StepKind].failed, because(e), said))
}

// gaveUp says why a step is not tried again; empty where its error does.
func gaveUp(e *rollout.Event) string {
	switch e.GiveUp {
	case rollout.GiveUpAttempts, rollout.GiveUpTime:
		return "given up after " + text.Plural(e.Failures, "attempt")
	case rollout.GiveUpStopping:
		return "the run stops"
	default:
		return ""
	}
}

// quarantine tells of a host that is taken out of its pools because it has no good tree, or put back because it has one again.
func (t *teller) quarantine(e *rollout.Event) {
	k, is, cannot, so := bad, "has no good tree", "taken out of", "USERS MAY MEET A HALF TREE THERE: it cannot be taken out of its pools"
	if h, _ := t.Hosts.Get(e.Host); h.Standing == rollout.Down {
		is, so = "was down", "USERS MAY MEET AN OLD TREE THERE: it was down, and cannot be taken out of its pools"
	}
	if e.StepKind == rollout.StepRelease {
		is, cannot, so = "has a good tree again", "put back into", "has a good tree again, and STAYS OUT of its pools"
	}
	said := so + ": " + because(e)
	switch {
	case e.Kind == rollout.StepDone && e.StepKind == rollout.StepRelease:
		k, said = good, is+", and is back in its pools"+detail(e)
	case e.Kind == rollout.StepDone && len(e.Objects) == 0:
		k, said = note, is+"; nothing of it is in a pool"+detail(e)
	case e.Kind == rollout.StepDone:
		said = "in quarantine: it " + is + ", and is out of its pools until it has a good tree" + detail(e)
	case e.Fate == rollout.FateDeferred:
		said = fmt.Sprintf("%s, and its pools cannot spare it: %s (will be tried again once proxies are back)", is, because(e))
	case e.Fate == rollout.FateRetry:
		said = fmt.Sprintf("%s, and cannot be %s its pools: %s (attempt %d, will be tried again)", is, cannot, because(e), e.Attempt)
	}
	t.limited(e, k, said, said)
}

// check tells of a round that did not pass.
func (t *teller) check(e *rollout.Event) {
	k, verdict := warn, e.Verdict
	if e.Kind == rollout.StepFailed {
		verdict = rollout.Unknown
	} else if verdict == rollout.Fail {
		k = bad
	}
	if verdict != rollout.Pass {
		t.tell(k, "gate: %s, round %d: %s: %s", name(e.Check), e.Attempt, name(string(verdict)), because(e))
	}
}

// hook tells how the run's hooks of a moment ended.
func (t *teller) hook(e *rollout.Event) {
	hooks, took := "the run's "+name(string(e.Moment))+" hooks", text.Time(e.At.Sub(t.hookBegan.Since))
	switch {
	case e.Kind == rollout.StepDone && e.Detail != "":
		t.tell(warn, "%s are done in %s, but: %s", hooks, took, reason(e.Detail))
	case e.Kind == rollout.StepDone:
		t.tell(good, "%s are done in %s", hooks, took)
	case e.Class == rollout.Stopped:
		t.tell(bad, "%s were stopped after %s", hooks, took)
	case e.Moment != rollout.MomentPre:
		t.tell(bad, "%s FAILED after %s: %s", hooks, took, because(e))
	default:
		then := "nothing new starts"
		if t.Untouched() {
			then = "nothing was touched, and nothing is"
		}
		t.stopping = true
		t.tell(bad, "%s FAILED after %s: %s; %s", hooks, took, because(e), then)
	}
}

// source names a source, and the origin as such.
func (t *teller) source(host string) string {
	if host == t.Plan.Origin {
		return "the origin " + name(host)
	}
	return name(host)
}

// sourceLost tells once that a source may not serve any more: the recheck that found it and the event that follows say the same.
func (t *teller) sourceLost(e *rollout.Event) {
	switch {
	case e.Kind == rollout.StepFailed && e.Class != rollout.Changed:
		t.tell(bad, "%s cannot be looked at: no source any more: %s", t.source(e.Host), because(e))
	case !slices.Contains(t.changed, e.Host):
		t.changed = append(t.changed, e.Host)
		t.tell(bad, "%s HAS CHANGED: no source any more%s", t.source(e.Host), detail(e))
	}
}

// sourceSilent tells of a source that does not answer. From the last one nobody is taken away.
func (t *teller) sourceSilent(e *rollout.Event) {
	then := ""
	served := slices.DeleteFunc(t.Flights(rollout.StepSync), func(f *rollout.Flight) bool { return f.Source != e.Host })
	if len(served) > 0 {
		then = "; what it serves, " + text.Plural(len(served), "sync") + ", goes on from another source if there is one"
	}
	t.tell(bad, "%s does not answer any more%s%s", t.source(e.Host), detail(e), then)
}
