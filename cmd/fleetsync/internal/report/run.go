package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// RunReport is a run to be shown, as its journal tells it.
type RunReport struct {
	State   *rollout.State
	Alive   bool   // its process still runs
	Journal string // paths; empty ones are not shown
	Log     string
	Command string // how fleetsync is called in what is suggested; empty is "fleetsync"
}

// Run prints one screen about a run: how it ended, what is out of its pools, where the hosts stand
// and what to type next.
func Run(w io.Writer, r RunReport) {
	v := examine(r)
	p := text.NewPrinter(w)
	v.headline(p)
	v.pools(p)
	v.named(p)
	v.where(p)
	v.left(p)
	v.failures(p)
	v.hooks(p)
	v.stages(p)
	v.files(p)
	v.next(p)
}

// phase is what became of a run.
type phase string

const (
	running  phase = "running"
	finished phase = "finished"
	died     phase = "died" // it has not finished, and nobody works on it
)

// view is a run after one look at its whole fleet.
type view struct {
	RunReport

	plan    *rollout.Plan
	outcome rollout.Outcome
	phase   phase
	hosts   []rollout.HostReport
	keeps   map[string]bool // hosts that keep what their sync replaces

	standing map[string]rollout.Standing
	unhooked map[string]bool // hosts that have the tree, and whose post hooks are not done
}

func examine(r RunReport) *view {
	v := &view{
		RunReport: r, plan: r.State.Plan, outcome: r.State.Outcome(), hosts: r.State.Report(), phase: died,
		keeps: map[string]bool{}, standing: map[string]rollout.Standing{},
	}
	for _, h := range v.plan.Hosts {
		if h.Keep {
			v.keeps[h.Name] = true
		}
	}
	if done := r.State.Finished(); done != nil {
		v.outcome, v.phase = *done, finished
	} else if r.Alive {
		v.phase = running
	}
	if v.Command == "" {
		v.Command = "fleetsync"
	}
	if v.phase == died {
		v.giveUpWaiting()
	}
	for _, h := range v.hosts {
		v.standing[h.Host] = h.Standing
	}
	v.unhooked = v.without()
	return v
}

// giveUpWaiting counts what a run that died was to try again as failed: nobody will.
func (v *view) giveUpWaiting() {
	for i := range v.hosts {
		if v.hosts[i].Standing == rollout.Waiting {
			v.hosts[i].Standing = rollout.Failed
		}
	}
	v.outcome.Counts.Failed += v.outcome.Counts.Waiting
	v.outcome.Counts.Waiting = 0
}

// title names the run and what it is.
func (v *view) title() string { return "run " + text.Short(v.plan.Run, 60) + " (" + what(v.plan) + ")" }

// what says what kind of run a plan is, and of which fleet.
func what(plan *rollout.Plan) string {
	mode, fleet := text.Short(string(plan.Mode), 20), text.Short(plan.Fleet, 60)
	switch plan.Mode {
	case inventory.ModeCanary:
		mode = "canaries"
	case rollout.ModeMasters:
		mode, fleet = "sync", "masters of "+fleet
	case inventory.ModeSync, inventory.ModeResync, rollout.ModeRollback:
	}
	if plan.Undoes != "" {
		return "rollback of " + text.Short(plan.Undoes, 60) + ", " + fleet
	}
	return mode + " of " + fleet
}

// verb is what a run does to its hosts.
func (v *view) verb() string {
	if v.plan.Undoes != "" {
		return "rolled back"
	}
	return "synced"
}

// did returns how many hosts have what the run was to bring them.
func (v *view) did() int {
	if v.plan.Undoes != "" {
		return v.outcome.Counts.RolledBack
	}
	return v.outcome.Counts.Synced + v.outcome.Counts.Partial
}

// headline says in one line how the run ended.
func (v *view) headline(p *text.Printer) {
	o := v.outcome
	var colour text.Colour
	var said string
	switch v.phase {
	case running:
		colour, said = text.Bold, "RUNNING, "+v.place()
	case died:
		colour, said = text.Alarm, "DIED, "+v.place()
	case finished:
		switch o.Result {
		case rollout.ResultDone:
			colour = text.Green
			said = "done: " + text.Hosts(v.did()) + " of " + text.Count(o.Counts.Hosts) + " " + v.verb()
			if v.plan.Undoes != "" {
				said = "done: " + text.Count(v.did()) + " of " + text.Hosts(o.Counts.Hosts) + " " + v.verb()
			}
		case rollout.ResultFailed:
			colour = text.Amber
			said = "done, but " + v.short()
		case rollout.ResultHalted:
			colour, said = text.Red, "HALTED: "+text.Short(o.Why, maxWhy)
			if o.Counts.Untouched+o.Counts.Down == o.Counts.Hosts {
				said += "; no tree was touched"
			}
		case rollout.ResultAborted:
			colour, said = text.Amber, "ABORTED: "+text.Short(orElse(o.Why, "somebody asked for it"), maxWhy)
		default:
			colour, said = text.Red, "ended: "+text.Short(string(o.Result), maxWhy)
		}
	}
	mixed, old := v.mixed()
	if n := len(mixed); n > 0 && v.phase != running {
		colour = text.Alarm
		said += fmt.Sprintf("; %s IN THE POOLS WITH A MIXED TREE", text.Hosts(n))
	}
	if n := len(old); n > 0 && v.phase != running {
		colour = text.Alarm
		said += fmt.Sprintf("; %s IN THE POOLS WITH AN OLD TREE", text.Hosts(n))
	}
	if n := len(v.names()); n > 0 && v.phase != running {
		colour = text.Alarm
		said += fmt.Sprintf("; %s LEFT OUT OF ITS POOLS", text.Hosts(n))
		if n > 1 {
			said = strings.TrimSuffix(said, "ITS POOLS") + "THEIR POOLS"
		}
	}
	p.Parts(text.Part{Colour: text.Plain, Text: v.title() + ": "}, text.Part{Colour: colour, Text: said})
}

// short says what a run lacks that went to its end.
func (v *view) short() string {
	c := v.outcome.Counts
	var said []string
	if c.Failed > 0 {
		said = append(said, text.Hosts(c.Failed)+" FAILED")
	}
	switch {
	case c.Down == 0:
	case len(said) > 0 && c.Down == 1:
		said = append(said, "1 was DOWN")
	case len(said) > 0:
		said = append(said, text.Count(c.Down)+" were DOWN")
	case c.Down == 1:
		said = append(said, "1 host was DOWN")
	default:
		said = append(said, text.Hosts(c.Down)+" were DOWN")
	}
	if n := len(said); n > 0 {
		said[n-1] += fmt.Sprintf(" (at most %s may)", text.Count(v.plan.Limits.MaxFailures))
	}
	if n := len(v.stuck()); n > 0 {
		said = append(said, text.Hosts(n)+" STILL IN QUARANTINE")
	}
	if len(said) == 0 { // nothing else makes such an end
		said = append(said, "its post hooks FAILED")
	}
	return and(said)
}

// stuck returns the hosts that have a good tree, and are in quarantine all the same.
func (v *view) stuck() []string {
	var names []string
	for _, n := range v.outcome.Quarantined {
		if s := v.standing[n.Host]; s == rollout.Synced || s == rollout.Partial {
			names = append(names, n.Host)
		}
	}
	return names
}

// Bounds of what is shown, in columns and in lines.
const (
	maxWhy    = 300
	maxFold   = 160
	maxListed = 10
)

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// place says how far a run has come that has not finished.
func (v *view) place() string {
	stage, k, ok := v.State.Stage()
	switch why := v.State.Stopping(); {
	case why != "":
		return "stopping: " + text.Short(why, maxWhy)
	case !ok:
		return "every stage complete"
	default:
		return fmt.Sprintf("stage %d of %d: %s", k+1, len(v.plan.Stages), text.Short(stage.Name, 40))
	}
}

// names returns the hosts that are out of their pools because of the run.
func (v *view) names() []string {
	if v.phase != finished {
		return v.State.Held()
	}
	names := make([]string, len(v.outcome.Out))
	for i, o := range v.outcome.Out {
		names[i] = o.Host
	}
	return names
}

// held names what is out of its pools because it serves or did.
func (v *view) held(p *text.Printer) {
	names := v.names()
	if len(names) == 0 {
		return
	}
	if v.phase == running {
		field(p, text.Plain, "held", text.Fold(names, maxFold)+" (out of their pools; put back at the end)")
		return
	}
	why := map[string]string{}
	for _, o := range v.outcome.Out {
		why[o.Host] = o.Error
	}
	for _, name := range names {
		reason := why[name]
		if reason == "" {
			reason = "nothing was tried to put it back"
			if v.phase == died {
				reason = "the run ended before it was put back"
			}
		}
		field(p, text.Alarm, "OUT", fmt.Sprintf("%s: %s", text.Short(name, 80), text.Short(reason, maxWhy)))
	}
}

// field prints a line of the screen's body.
func field(p *text.Printer, c text.Colour, name, value string) {
	p.Parts(text.Part{Colour: text.Plain, Text: "  "}, text.Part{Colour: text.Dim, Text: text.Pad(name, nameWidth)},
		text.Part{Colour: c, Text: value})
}

const nameWidth = 10

// named tells which proxies did not serve, and what others did to pool objects that the run held.
func (v *view) named(p *text.Printer) {
	if lost := v.State.Lost(); len(lost) > 0 {
		field(p, text.Red, "lost", text.Fold(lost, maxFold)+" (no source any more: its tree changed, or users are on it)")
	}
	for i, n := range v.outcome.Refused {
		if i == maxListed {
			field(p, text.Plain, "refused", fmt.Sprintf("and %d more proxies", len(v.outcome.Refused)-i))
			break
		}
		field(p, text.Plain, "refused", fmt.Sprintf("%s did not serve: %s", text.Short(n.Host, 80), text.Short(n.Detail, maxWhy)))
	}
	for i, n := range v.outcome.Named {
		if i == maxListed {
			field(p, text.Bold, "foreign", fmt.Sprintf("and %d more edits by others", len(v.outcome.Named)-i))
			return
		}
		field(p, text.Bold, "foreign", fmt.Sprintf("%s: %s", text.Short(n.Host, 80), text.Short(n.Detail, maxWhy)))
	}
}

// where counts the hosts by where they stand, and what the run cost.
func (v *view) where(p *text.Printer) {
	c := v.outcome.Counts
	parts := []string{}
	add := func(n int, what string) {
		if n > 0 {
			parts = append(parts, text.Count(n)+" "+what)
		}
	}
	add(c.Synced, "synced")
	add(c.Partial, "synced of the paths only")
	if v.plan.Undoes != "" {
		add(c.RolledBack, "rolled back")
	} else {
		add(c.RolledBack, "rolled back (they have the tree that they had before)")
	}
	failed, moving := 0, 0 // of those that have the tree
	for host := range v.unhooked {
		if v.standing[host] == rollout.Failed {
			failed++
		} else {
			moving++
		}
	}
	add(c.Failed-failed, "failed (their trees may be mixed)")
	add(failed, "failed after their sync (they have the tree)")
	has := "what they had"
	if v.plan.Undoes != "" {
		has = "what was to be taken back"
	}
	add(c.Down, "down when the run was planned (not tried; they have "+has+")")
	add(c.Waiting, "to be tried again")
	if v.phase == running {
		add(c.Unknown-moving, "in flight")
		add(moving, "in their post hooks")
	} else {
		add(c.Unknown-moving, "unknown")
		add(moving, "without their post hooks (they have the tree)")
	}
	if v.phase == running && v.State.Stopping() == "" {
		add(c.Untouched, "still to come")
	} else {
		add(c.Untouched, "untouched")
	}
	field(p, text.Plain, "hosts", text.Count(c.Hosts)+": "+strings.Join(parts, ", "))
	if c.Unknown > moving && v.phase != running {
		var names []string
		for _, h := range v.hosts {
			if h.Standing == rollout.Syncing && !v.unhooked[h.Host] {
				names = append(names, h.Host)
			}
		}
		field(p, text.Red, "unknown", text.Fold(names, maxFold)+" (in flight when the run died; the tree there may be mixed)")
	}
	v.gate(p)
	if v.plan.Origin != "" {
		field(p, text.Plain, "origin", text.Short(v.plan.Origin, 80))
	}
	tree(p, v.plan)
	if len(v.plan.Paths) > 0 {
		field(p, text.Plain, "paths", listed(v.plan.Paths))
	}
	if v.plan.Override != "" {
		field(p, text.Amber, "override", "what the guard refused: "+text.Short(v.plan.Override, maxWhy))
	}
	began := v.plan.Made.UTC().Format(time.DateTime) + "Z"
	if v.plan.Undoes == "" {
		began += ", " + text.Bytes(v.outcome.Bytes) + " on the wire"
	}
	if took := time.Duration(v.outcome.Took); took > 0 {
		began += ", " + text.Time(took)
	}
	field(p, text.Plain, "began", began)
}

// tree names what the origin held when the run was planned.
func tree(p *text.Printer, plan *rollout.Plan) {
	if t := plan.Tree; t != nil {
		field(p, text.Plain, "tree", fmt.Sprintf("%s, %s, %s", orElse(text.Fingerprint(t.Fingerprint), "of no known fingerprint"),
			text.Plural(t.Files, "file"), text.Bytes(t.Bytes)))
	}
}

// gate says how the canaries were judged.
func (v *view) gate(p *text.Printer) {
	verdict, why := v.outcome.Gate, v.outcome.GateWhy
	if verdict == "" {
		for _, s := range v.plan.Stages {
			if s.Kind == rollout.StageCheck {
				field(p, text.Plain, "gate", "not decided")
			}
		}
		return
	}
	colour, said := text.Red, string(verdict)
	switch {
	case verdict == rollout.Pass:
		colour = text.Green
	case v.plan.Force != "":
		colour = text.Amber
		said += ", overridden: " + text.Short(v.plan.Force, maxWhy)
	}
	if why != "" {
		said += ": " + text.Short(why, maxWhy)
	}
	field(p, colour, "gate", said)
}

// left names what a rollback leaves as it is.
func (v *view) left(p *text.Printer) {
	if v.plan.Undoes == "" {
		return
	}
	for i, l := range v.plan.Left {
		if i == maxListed {
			field(p, text.Amber, "left", fmt.Sprintf("and %d more", len(v.plan.Left)-i))
			return
		}
		field(p, text.Amber, "left", fmt.Sprintf("%s: %s", text.Short(l.Host, 80), text.Short(l.Reason, maxWhy)))
	}
}

// listed shows the first of a list that is in an order of its own.
func listed(all []string) string {
	short := make([]string, 0, maxListed)
	for _, s := range all[:min(len(all), maxListed)] {
		short = append(short, text.Short(s, 60))
	}
	s := strings.Join(short, " ")
	if more := len(all) - len(short); more > 0 {
		s += fmt.Sprintf(" and %s more", text.Count(more))
	}
	return s
}

// files says where more can be read.
func (v *view) files(p *text.Printer) {
	if v.Journal != "" {
		field(p, text.Dim, "journal", text.Short(v.Journal, maxWhy))
	}
	if v.Log != "" {
		field(p, text.Dim, "log", text.Short(v.Log, maxWhy))
	}
}
