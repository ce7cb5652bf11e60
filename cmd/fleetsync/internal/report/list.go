package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

func dur(d rollout.Duration) time.Duration { return time.Duration(d) }

// RunHosts prints a blank line and a table of all hosts of a run, those in trouble first.
func RunHosts(w io.Writer, r RunReport) {
	v := newView(r)
	p := text.NewPrinter(w)
	hosts := slices.SortedStableFunc(v.Now.Hosts.All(), func(a, b *rollout.HostReport) int {
		return cmp.Or(cmp.Compare(v.severity(a), v.severity(b)), cmp.Compare(len(a.Host), len(b.Host)), strings.Compare(a.Host, b.Host))
	})
	rows := make([]text.Row, 0, len(hosts))
	for _, h := range hosts {
		rows = append(rows, v.hostRow(h))
	}
	p.Line(text.Plain, "")
	p.Table([]string{"HOST", "ROLE", "STANDS", "FROM", "TRIES", "FILES", "BYTES", "REASON"}, rows)
}

// severity sorts hosts: what a person must look at comes first.
func (v *view) severity(h *rollout.HostReport) int {
	switch {
	case h.Held, names(v.outcome.Mixed, h.Host):
		return 0
	case h.Standing == rollout.Failed, h.Standing == rollout.Down:
		return 1
	case h.Standing == rollout.Syncing, h.Standing == rollout.Unknowable, h.Standing == rollout.InHooks, h.Standing == rollout.Waiting:
		return 2
	case h.Standing == rollout.Untouched:
		return 3
	case h.Standing == rollout.RolledBack:
		return 4
	default:
		return 5
	}
}

// names says whether a host is among those that are named: they are few.
func names(all []rollout.Named, host string) bool {
	return slices.ContainsFunc(all, func(n rollout.Named) bool { return n.Host == host })
}

func (v *view) hostRow(h *rollout.HostReport) text.Row {
	stands, colour := strings.ReplaceAll(string(h.Standing), "_", " "), text.Plain
	switch h.Standing {
	case rollout.Failed, rollout.Down, rollout.Unknowable:
		colour = text.Red
	case rollout.InHooks:
		if stands = "in its hooks"; !v.running {
			stands, colour = "not hooked", text.Amber
		}
	case rollout.Untouched:
		colour = text.Dim
	case rollout.RolledBack:
		if v.plan.Undoes == "" {
			colour = text.Amber
		}
	case rollout.Synced, rollout.Partial, rollout.Waiting, rollout.Syncing:
	}
	switch {
	case names(v.outcome.Mixed, h.Host) && h.Standing == rollout.Down:
		stands, colour = stands+", OLD", text.Alarm
	case names(v.outcome.Mixed, h.Host):
		stands, colour = stands+", MIXED", text.Alarm
	case names(v.outcome.Quarantined, h.Host):
		stands, colour = stands+", quarantined", text.Red
	}
	switch {
	case h.Held && v.running:
		stands += ", held"
	case h.Held:
		stands, colour = stands+", OUT", text.Alarm
	}
	files, bytes, tries := "", "", ""
	if h.Stats != nil {
		files, bytes = text.Count(h.Stats.Transferred), text.Bytes(h.Stats.Bytes)
	}
	if h.Attempts > 0 {
		tries = fmt.Sprint(h.Attempts)
	}
	reason := trouble(h.Error, h.FailedHooks() || h.Standing == rollout.InHooks)
	return text.Row{Colour: colour, Cells: []string{h.Host, string(h.Role), stands, h.Source, tries, files, bytes, reason}}
}

// Status prints where the current or last run of the fleet stands; nil is that there was none.
func Status(w io.Writer, r *RunReport) {
	p := text.NewPrinter(w)
	if r == nil {
		p.Line(text.Plain, "no run of this fleet is known on this machine")
		p.Line(text.Plain, "next")
		p.Line(text.Bold, "  fleetsync plan")
		return
	}
	v := newView(*r)
	v.headline(p)
	v.pools(p)
	v.where(p)
	v.inFlight(p)
	v.failures(p)
	v.hooks(p)
	v.next(p)
}

// inFlight names what is being done.
func (v *view) inFlight(p *text.Printer) {
	if len(v.Now.Running) == 0 {
		return
	}
	var syncs, undos, hooked, others []string
	for _, f := range v.Now.Running {
		switch f.Kind {
		case rollout.StepSync:
			syncs = append(syncs, f.Host)
		case rollout.StepRollback:
			undos = append(undos, f.Host)
		case rollout.StepRecheck: // as often as somebody has pulled, and over in a moment
		case rollout.StepPost, rollout.StepOnFailure:
			hooked = append(hooked, f.Host)
		case rollout.StepObserve, rollout.StepDepool, rollout.StepRepool, rollout.StepCheck, rollout.StepQuarantine, rollout.StepRelease,
			rollout.StepHook:
			others = append(others, string(f.Step))
		}
	}
	slices.Sort(others)
	for _, doing := range []struct{ head, said string }{
		{"syncing", text.Fold(syncs, maxFold)}, {"undoing", text.Fold(undos, maxFold)},
		{"hooks", text.Fold(hooked, maxFold)}, {"doing", listed(others)},
	} {
		switch {
		case doing.said == "":
		case doing.head == "hooks":
			field(p, text.Plain, doing.head, "run on "+doing.said)
		default:
			field(p, text.Plain, doing.head, doing.said)
		}
	}
	field(p, text.Dim, "as of", v.Now.At.UTC().Format(time.DateTime)+"Z, when something happened last")
}

// Past is a run of the past as history lists it.
type Past struct {
	Run    string
	Now    *rollout.Snapshot // nil: its journal cannot be read
	Unread string            // why it cannot
}

// History prints a line for each run, in the order given.
func History(w io.Writer, runs []Past) {
	p := text.NewPrinter(w)
	if len(runs) == 0 {
		p.Line(text.Plain, "no run of this fleet is known on this machine")
		return
	}
	rows := make([]text.Row, 0, len(runs))
	for _, r := range runs {
		if r.Now == nil {
			rows = append(rows, text.Row{Colour: text.Red, Cells: []string{r.Run, "", "", "", "not read", "", r.Unread}})
			continue
		}
		rows = append(rows, historyRow(newView(RunReport{Now: r.Now})))
	}
	p.Table([]string{"RUN", "MODE", "BEGAN (UTC)", "TOOK", "RESULT", "HOSTS", "ORIGIN"}, rows)
}

func historyRow(v *view) text.Row {
	colour, result, c := text.Plain, string(v.Now.Standing), v.counts
	switch {
	case v.died:
		colour = text.Red
	case v.running:
		colour = text.Bold
	default:
		result = string(v.outcome.Result)
		switch v.outcome.Result {
		case rollout.ResultDone:
			colour = text.Green
		case rollout.ResultFailed, rollout.ResultAborted:
			colour = text.Amber
		case rollout.ResultHalted:
			colour = text.Red
		}
	}
	for _, what := range []struct {
		n      int
		said   string
		colour text.Colour
	}{
		{len(v.outcome.Quarantined), "quarantined", text.Red}, {len(v.outcome.Out), "OUT", text.Alarm}, {len(v.old), "OLD", text.Alarm},
		{len(v.mixed), "MIXED", text.Alarm},
	} {
		if what.n > 0 && !v.running {
			colour = what.colour
			result += fmt.Sprintf(", %d %s", what.n, what.said)
		}
	}
	origin, back := v.plan.Origin, c.RolledBack
	if v.plan.Undoes != "" {
		origin, back = "undoes "+v.plan.Undoes, 0
	}
	counts := strings.Join(append([]string{text.Count(v.did()) + "/" + text.Count(c.Hosts)},
		counted([]tally{{back, "rolled back"}, {c.Failed, "failed"}, {c.Down, "down"}, {c.Unknown, "unknown"}}, numberFirst)...), ", ")
	return text.Row{Colour: colour, Cells: []string{
		v.plan.Run, string(v.plan.Mode), v.plan.Made.UTC().Format(time.DateTime), text.Time(dur(v.outcome.Took)), result, counts, origin,
	}}
}

// PoolRow is a pool object to be shown.
type PoolRow struct {
	Key    string
	Pooled string
	Weight string
	Marker string // the run that holds it; empty if none does
}

// Pools prints a table of pool objects, in the order given.
func Pools(w io.Writer, rows []PoolRow) {
	p := text.NewPrinter(w)
	if len(rows) == 0 {
		p.Line(text.Plain, "no pool objects")
		return
	}
	table := make([]text.Row, 0, len(rows))
	for _, r := range rows {
		colour, held := text.Plain, ""
		switch {
		case r.Marker != "":
			colour, held = text.Amber, "run "+r.Marker
		case r.Pooled != "yes":
			colour = text.Dim
		}
		table = append(table, text.Row{Colour: colour, Cells: []string{r.Key, r.Pooled, r.Weight, held}})
	}
	p.Table([]string{"OBJECT", "POOLED", "WEIGHT", "HELD BY"}, table)
}
