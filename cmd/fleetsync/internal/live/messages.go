package live

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/transport"
)

// kind is how much a message matters.
type kind string

const (
	note kind = "note"
	good kind = "good"
	warn kind = "warn"
	bad  kind = "bad"
)

// message is one line for a person, neutral and bounded.
type message struct {
	at    time.Time
	kind  kind
	text  string
	plain bool // a frame shows the same anyway
}

// teller says in messages what happened in a turn. All that it keeps is what it has told.
type teller struct {
	*rollout.Snapshot // after the turn that is told

	at   time.Time // of the event that is told
	said []message // of this turn

	stage      int                // whose beginning was told; -1: none
	progress   time.Time          // when it was last told how far that has come
	verdict    bool               // the gate's was told
	stopping   bool               // why nothing new starts was told
	hookBegan  rollout.HookReport // the hooks of the run whose beginning was last told
	changed    []string           // sources of which it was told that they have changed
	rolledBack bool               // canaries were, which was not told yet

	retried     *limiter // failures that are tried again
	failed      *limiter // failures for good
	quarantined *limiter // hosts that are taken out of their pools because of their trees, or put back
	hooked      *limiter // hooks of hosts
}

func newTeller() teller {
	return teller{stage: -1, retried: newLimiter(5, 100), failed: newLimiter(10, 200), quarantined: newLimiter(10, 60),
		hooked: newLimiter(5, 60)}
}

func (t *teller) tell(k kind, format string, args ...any) {
	t.said = append(t.said, message{at: t.at, kind: k, text: transport.Neutral(fmt.Sprintf(format, args...))})
}

// tellPlain tells what a frame shows anyway.
func (t *teller) tellPlain(format string, args ...any) {
	t.tell(note, format, args...)
	t.said[len(t.said)-1].plain = true
}

// limited tells of the host of an event, as long as there is not too much that is alike.
func (t *teller) limited(e *rollout.Event, k kind, alike, said string) {
	if suffix, show := t.limiter(e).admit(e.Host, alike); show {
		t.tell(k, "%s: %s%s", name(e.Host), said, suffix)
	}
}

// because is the reason of a step that failed, or of a check that did not pass.
func because(e *rollout.Event) string {
	return cmp.Or(reason(e.Error), reason(e.Detail), "no reason is known")
}

// detail is what an event tells a person, to be put at the end of a line.
func detail(e *rollout.Event) string {
	if said := cmp.Or(reason(e.Detail), reason(e.Error)); said != "" {
		return ": " + said
	}
	return ""
}

// turn returns what is to be told of a turn, after which the run stands as now says: first of its events, then of the run as a whole.
func (t *teller) turn(turn []rollout.Event, now *rollout.Snapshot) []message {
	t.Snapshot, t.said = now, nil
	stopped := map[rollout.StepKind]int{}
	for i := range turn {
		e := &turn[i]
		t.at = e.At
		t.event(e)
		if e.Class == rollout.Stopped {
			stopped[e.StepKind]++
		}
	}
	t.gate()
	t.stages()
	t.halted()
	t.stopped(stopped)
	if t.Hook != nil && *t.Hook != t.hookBegan {
		t.hookBegan = *t.Hook
		t.tellPlain("the run's %s hooks begin", name(string(t.Hook.Moment)))
	}
	if t.rolledBack && len(t.Flights(rollout.StepRollback)) == 0 {
		t.rolledBack = false
		t.tell(good, "canaries: %s rolled back, with the tree that was there before", text.Hosts(t.Canaries().RolledBack))
	}
	t.howFar()
	if t.Standing == rollout.RunEnded {
		t.finished()
	}
	return t.said
}

func (t *teller) event(e *rollout.Event) {
	tried := t.Counts.Hosts - t.Counts.Down
	switch e.Kind {
	case rollout.RunStarted:
		what, from, down := string(t.Mode)+" of "+name(t.Fleet), " from "+name(t.Plan.Origin), ""
		if t.Plan.Undoes != "" {
			what, from = "rollback of "+name(t.Plan.Undoes)+", "+name(t.Fleet), ""
		}
		if t.Counts.Down > 0 {
			down = "; " + text.Hosts(t.Counts.Down) + " down, and not tried"
		}
		t.tellPlain("run %s (%s) begins: %s%s%s", name(t.Run), what, text.Hosts(tried), from, down)
	case rollout.RunResumed:
		t.stage, t.stopping, t.rolledBack = -1, false, false
		t.verdict = t.Gate.Verdict != "" && t.Gate.Decided.Before(e.At)
		t.tell(note, "run %s goes on: %s", name(t.Run), did(t.Snapshot, t.Counts, tried))
	case rollout.StepDone, rollout.StepFailed:
		t.step(e)
	case rollout.PoolChanged:
		then := ""
		if slices.Contains(t.Lost, e.Host) {
			then = "; nothing more is taken from it"
		}
		t.tell(bad, "%s: somebody changed its pool objects%s%s", name(e.Host), detail(e), then)
	case rollout.SourceChanged:
		t.sourceLost(e)
	case rollout.SourceSilent:
		t.sourceSilent(e)
	case rollout.LockLost:
		t.stopping = true
		t.tell(bad, "the lock was lost%s; nothing new starts, and running transfers are stopped%s", detail(e), t.andPools())
	case rollout.AbortAsked:
		t.abort(e)
	case rollout.StepStarted, rollout.RunFinished: // which the run as a whole tells
	}
}

// abort tells who stops the run, and what may be asked for next.
func (t *teller) abort(e *rollout.Event) {
	t.stopping = true
	who, again := cmp.Or(reason(e.Detail), "somebody"), "^C"
	if e.Cause == rollout.AbortInterrupt {
		who, again = "^C", "Again"
	}
	if e.Level >= rollout.AbortNow {
		t.tell(bad, "%s: running transfers are stopped%s. ^C again to leave at once, with everything as it is", who, t.andPools())
		return
	}
	t.tell(bad, "%s: nothing new starts; running syncs end%s. %s to stop running transfers", who, t.andPools(), again)
}

// andPools promises what a run with pools does when it stops.
func (t *teller) andPools() string {
	if len(t.Pools) > 0 {
		return "; pools will be put back"
	}
	return ""
}

// gate tells its verdict, once.
func (t *teller) gate() {
	if t.verdict || t.Gate.Verdict == "" {
		return
	}
	t.verdict = true
	said, why, back := "gate: "+name(string(t.Gate.Verdict)), reason(t.Gate.Why), ""
	if !t.Gate.Opened.IsZero() {
		said += " after " + text.Time(t.Gate.Decided.Sub(t.Gate.Opened))
	}
	if t.RollingBack {
		back = ", and the canaries get back what they had"
	}
	switch {
	case t.Gate.Verdict == rollout.Pass:
		t.tell(good, "%s", said)
	case t.Plan.Force != "":
		t.tell(warn, "%s, overridden (%s): %s", said, reason(t.Plan.Force), why)
	default:
		t.stopping = true
		t.tell(bad, "%s: %s; nothing new starts%s", said, why, back)
	}
}

// halted tells why nothing new starts, unless something has told that before.
func (t *teller) halted() {
	if t.stopping || t.Stopping == "" {
		return
	}
	t.stopping = true
	ending := ""
	for _, what := range []rollout.StepKind{rollout.StepSync, rollout.StepRollback} {
		if n := len(t.Flights(what)); n > 0 {
			ending += "; " + text.Plural(n, string(what)) + " in flight may end"
		}
	}
	t.tell(bad, "halted: %s; nothing new starts%s", reason(t.Stopping), ending)
}

// stopped tells how many steps the run itself has ended in a turn.
func (t *teller) stopped(n map[rollout.StepKind]int) {
	then := ""
	if t.Stopping == "" {
		then = ", and will be tried again from another source"
	}
	if syncs := n[rollout.StepSync]; syncs > 0 {
		t.tell(note, "%s stopped%s", text.Plural(syncs, "running sync"), then)
	}
	if rollbacks := n[rollout.StepRollback]; rollbacks > 0 {
		t.tell(bad, "%s stopped: the tree there may be mixed", text.Plural(rollbacks, "running rollback"))
	}
	if hooks := n[rollout.StepPost] + n[rollout.StepOnFailure]; hooks > 0 {
		t.tell(bad, "running hooks stopped on %s", text.Hosts(hooks))
	}
}

// finished tells what the run came to.
func (t *teller) finished() {
	const maxNamed = 20 // hosts one by one
	o, c := t.Outcome, t.Outcome.Counts
	for _, out := range o.Out[:min(len(o.Out), maxNamed)] {
		t.tell(bad, "%s: STILL OUT of its pools: %s", name(out.Host), cmp.Or(reason(out.Error), "nothing was tried"))
	}
	if more := len(o.Out) - maxNamed; more > 0 {
		t.tell(bad, "and %d more are STILL OUT of their pools", more)
	}
	for _, n := range o.Mixed[:min(len(o.Mixed), maxNamed)] {
		t.tell(bad, "%s: IN ITS POOLS WITHOUT A GOOD TREE: %s", name(n.Host), reason(n.Detail))
	}
	if more := len(o.Mixed) - maxNamed; more > 0 {
		t.tell(bad, "and %d more without a good tree are IN THEIR POOLS", more)
	}
	var hooks []string
	if c.HooksDone > 0 {
		hooks = append(hooks, "post on "+text.Hosts(c.HooksDone))
	}
	if c.OnFailureDone > 0 {
		hooks = append(hooks, "on_failure on "+text.Hosts(c.OnFailureDone))
	}
	if len(hooks) > 0 {
		t.tellPlain("hooks of hosts are done: %s", strings.Join(hooks, ", "))
	}
	said := fmt.Sprintf("run %s ends: %s", name(t.Run), o.Result)
	if o.Why != "" {
		said += ": " + reason(o.Why)
	}
	said += "; " + did(t.Snapshot, c, c.Hosts)
	if c.Down > 0 {
		said += fmt.Sprintf(", %s down", text.Count(c.Down))
	}
	if n := len(o.Hooks); n > 0 {
		said += fmt.Sprintf(", %s went wrong", text.Plural(n, "hook"))
	}
	said += fmt.Sprintf(", %s failed, %s untouched, ", text.Count(c.Failed), text.Count(c.Untouched))
	if t.Plan.Undoes == "" {
		said += text.Bytes(o.Bytes) + " "
	}
	t.tellPlain("%sin %s", said, text.Time(time.Duration(o.Took)))
}
