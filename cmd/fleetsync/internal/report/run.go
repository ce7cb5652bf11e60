package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// RunReport is a run to be shown.
type RunReport struct {
	Now     *rollout.Snapshot // of a run on which nobody works any more: what Snapshot.Died returns
	Journal string            // paths; empty ones are not shown
	Log     string
	Command string // how fleetsync is called in what is suggested; empty is "fleetsync"
}

// Run prints one screen about a run: how it ended, what is out of its pools, where the hosts stand
// and what to type next.
func Run(w io.Writer, r RunReport) {
	v := newView(r)
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

// view is a run that is shown, with what is asked of it most.
type view struct {
	RunReport

	plan    *rollout.Plan
	outcome rollout.Outcome
	counts  rollout.Counts
	running bool
	died    bool

	mixed, old  []rollout.Named // in their pools, and should be in quarantine: with a half tree; with the one before, as they were down
	stuck, kept []string        // in quarantine: with a good tree; without one
}

func newView(r RunReport) *view {
	r.Command = cmp.Or(r.Command, "fleetsync")
	v := &view{
		RunReport: r, plan: r.Now.Plan, outcome: r.Now.Outcome, counts: r.Now.Counts,
		running: r.Now.Standing == rollout.RunOngoing, died: r.Now.Standing == rollout.RunDied,
	}
	for _, n := range v.outcome.Mixed {
		if v.standing(n.Host) == rollout.Down {
			v.old = append(v.old, n)
		} else {
			v.mixed = append(v.mixed, n)
		}
	}
	for _, n := range v.outcome.Quarantined {
		if s := v.standing(n.Host); s == rollout.Synced || s == rollout.Partial {
			v.stuck = append(v.stuck, n.Host)
		} else {
			v.kept = append(v.kept, n.Host)
		}
	}
	return v
}

// standing returns where a host stands; empty of one that the run is not about.
func (v *view) standing(host string) rollout.Standing {
	h, _ := v.Now.Hosts.Get(host)
	return h.Standing
}

// hosts returns the names of the hosts that stand as one of these, or of all, in the fleet's order.
func (v *view) hosts(standings ...rollout.Standing) []string {
	var names []string
	for h := range v.Now.Hosts.All() {
		if len(standings) == 0 || slices.Contains(standings, h.Standing) {
			names = append(names, h.Host)
		}
	}
	return names
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
		return v.counts.RolledBack
	}
	return v.counts.Synced + v.counts.Partial
}

// headline says in one line how the run ended.
func (v *view) headline(p *text.Printer) {
	o, c := v.outcome, v.counts
	var colour text.Colour
	var said string
	switch {
	case v.running:
		colour, said = text.Bold, "RUNNING, "+v.place()
	case v.died:
		colour, said = text.Alarm, "DIED, "+v.place()
	case o.Result == rollout.ResultDone && v.plan.Undoes != "":
		colour, said = text.Green, "done: "+text.Count(v.did())+" of "+text.Hosts(c.Hosts)+" "+v.verb()
	case o.Result == rollout.ResultDone:
		colour, said = text.Green, "done: "+text.Hosts(v.did())+" of "+text.Count(c.Hosts)+" "+v.verb()
	case o.Result == rollout.ResultFailed:
		colour, said = text.Amber, "done, but "+v.short()
	case o.Result == rollout.ResultHalted:
		colour, said = text.Red, "HALTED: "+text.Short(o.Why, maxWhy)
		if c.Untouched+c.Down == c.Hosts {
			said += "; no tree was touched"
		}
	case o.Result == rollout.ResultAborted:
		colour, said = text.Amber, "ABORTED: "+text.Short(cmp.Or(o.Why, "somebody asked for it"), maxWhy)
	default:
		colour, said = text.Red, "ended: "+text.Short(string(o.Result), maxWhy)
	}
	for _, bad := range []struct {
		n         int
		one, many string
	}{
		{len(v.mixed), "IN THE POOLS WITH A MIXED TREE", "IN THE POOLS WITH A MIXED TREE"},
		{len(v.old), "IN THE POOLS WITH AN OLD TREE", "IN THE POOLS WITH AN OLD TREE"},
		{len(o.Out), "LEFT OUT OF ITS POOLS", "LEFT OUT OF THEIR POOLS"},
	} {
		switch {
		case bad.n == 0 || v.running:
			continue
		case bad.n == 1:
			said += "; 1 host " + bad.one
		default:
			said += "; " + text.Hosts(bad.n) + " " + bad.many
		}
		colour = text.Alarm
	}
	p.Parts(text.Part{Colour: text.Plain, Text: v.title() + ": "}, text.Part{Colour: colour, Text: said})
}

// short says what a run lacks that went to its end.
func (v *view) short() string {
	c := v.counts
	var said []string
	if c.Failed > 0 {
		said = append(said, text.Hosts(c.Failed)+" FAILED")
	}
	if c.Down > 0 {
		who, was := text.Hosts(c.Down), " were DOWN"
		if c.Down == 1 {
			was = " was DOWN"
		}
		if len(said) > 0 {
			who = text.Count(c.Down)
		}
		said = append(said, who+was)
	}
	if n := len(said); n > 0 {
		said[n-1] += fmt.Sprintf(" (at most %s may)", text.Count(v.plan.Limits.MaxFailures))
	}
	if n := len(v.stuck); n > 0 {
		said = append(said, text.Hosts(n)+" STILL IN QUARANTINE")
	}
	if len(said) == 0 { // nothing else makes such an end
		said = append(said, "its post hooks FAILED")
	}
	return and(said)
}

// place says how far a run has come that has not finished.
func (v *view) place() string {
	switch now := v.Now; {
	case now.Stopping != "":
		return "stopping: " + text.Short(now.Stopping, maxWhy)
	case now.Place == len(now.Stages):
		return "every stage complete"
	default:
		return fmt.Sprintf("stage %d of %d: %s", now.Place+1, len(now.Stages), text.Short(now.Stage, 40))
	}
}

// held names what is out of its pools because it serves or did.
func (v *view) held(p *text.Printer) {
	begun := slices.DeleteFunc(slices.Clone(v.Now.Held), func(host string) bool { return slices.Contains(v.Now.Out, host) })
	if v.running {
		if len(v.Now.Out) > 0 {
			field(p, text.Plain, "held", text.Fold(v.Now.Out, maxFold)+" (out of their pools; put back at the end)")
		}
		if len(begun) > 0 {
			field(p, text.Plain, "held", text.Fold(begun, maxFold)+" (may be out of their pools; put back at the end)")
		}
		return
	}
	for _, o := range v.outcome.Out {
		reason := "nothing was tried to put it back"
		switch {
		case o.Error != "":
			reason = o.Error
		case v.died && slices.Contains(begun, o.Host):
			reason = "the run ended while it was taken out: it may be out"
		case v.died:
			reason = "the run ended before it was put back"
		}
		field(p, text.Alarm, "OUT", fmt.Sprintf("%s: %s", text.Short(o.Host, 80), text.Short(reason, maxWhy)))
	}
}

// named tells which proxies did not serve, and what others did to pool objects that the run held.
func (v *view) named(p *text.Printer) {
	if len(v.Now.Lost) > 0 {
		field(p, text.Red, "lost", text.Fold(v.Now.Lost, maxFold)+" (no source any more: its tree changed, or users are on it)")
	}
	each(p, text.Plain, "refused", bounded(v.outcome.Refused, len(v.outcome.Refused), maxListed, " proxies", func(n rollout.Named) string {
		return fmt.Sprintf("%s did not serve: %s", text.Short(n.Host, 80), text.Short(n.Detail, maxWhy))
	}))
	each(p, text.Bold, "foreign", bounded(v.outcome.Named, len(v.outcome.Named), maxListed, " edits by others", func(n rollout.Named) string {
		return fmt.Sprintf("%s: %s", text.Short(n.Host, 80), text.Short(n.Detail, maxWhy))
	}))
}

// where counts the hosts by where they stand, and what the run cost.
func (v *view) where(p *text.Printer) {
	c := v.counts
	back, has := "rolled back (they have the tree that they had before)", "what they had"
	if v.plan.Undoes != "" {
		back, has = "rolled back", "what was to be taken back"
	}
	inHooks, untouched := "without their post hooks (they have the tree)", "untouched"
	if v.running {
		inHooks = "in their post hooks"
		if v.Now.Stopping == "" {
			untouched = "still to come"
		}
	}
	parts := counted([]tally{
		{c.Synced, "synced"}, {c.Partial, "synced of the paths only"}, {c.RolledBack, back},
		{c.Failed - c.FailedHooks, "failed (their trees may be mixed)"}, {c.FailedHooks, "failed after their sync (they have the tree)"},
		{c.Down, "down when the run was planned (not tried; they have " + has + ")"}, {c.Waiting, "to be tried again"},
		{c.Syncing, "in flight"}, {c.Unknown, "unknown"}, {c.InHooks, inHooks}, {c.Untouched, untouched},
	}, numberFirst)
	field(p, text.Plain, "hosts", text.Count(c.Hosts)+": "+strings.Join(parts, ", "))
	if names := v.hosts(rollout.Unknowable); len(names) > 0 {
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
	if took := dur(v.outcome.Took); took > 0 {
		began += ", " + text.Time(took)
	}
	field(p, text.Plain, "began", began)
}

// tree names what the origin held when the run was planned.
func tree(p *text.Printer, plan *rollout.Plan) {
	if t := plan.Tree; t != nil {
		field(p, text.Plain, "tree", fmt.Sprintf("%s, %s, %s", cmp.Or(text.Fingerprint(t.Fingerprint), "of no known fingerprint"),
			text.Plural(t.Files, "file"), text.Bytes(t.Bytes)))
	}
}

// gate says how the canaries were judged.
func (v *view) gate(p *text.Printer) {
	g := v.Now.Gate
	if g.Verdict == "" {
		if slices.ContainsFunc(v.plan.Stages, func(s rollout.Stage) bool { return s.Kind == rollout.StageCheck }) {
			field(p, text.Plain, "gate", "not decided")
		}
		return
	}
	colour, said := text.Red, string(g.Verdict)
	switch {
	case g.Verdict == rollout.Pass:
		colour = text.Green
	case v.plan.Force != "":
		colour = text.Amber
		said += ", overridden: " + text.Short(v.plan.Force, maxWhy)
	}
	if g.Why != "" {
		said += ": " + text.Short(g.Why, maxWhy)
	}
	field(p, colour, "gate", said)
}

// left names what a rollback leaves as it is.
func (v *view) left(p *text.Printer) {
	if v.plan.Undoes != "" {
		each(p, text.Amber, "left", bounded(v.plan.Left, len(v.plan.Left), maxListed, "", leftAs))
	}
}

func leftAs(l rollout.Left) string {
	return fmt.Sprintf("%s: %s", text.Short(l.Host, 80), text.Short(l.Reason, maxWhy))
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
