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
	v := examine(r)
	p := text.NewPrinter(w)
	slices.SortStableFunc(v.hosts, func(a, b rollout.HostReport) int {
		return cmp.Or(cmp.Compare(v.severity(a), v.severity(b)), cmp.Compare(len(a.Host), len(b.Host)), strings.Compare(a.Host, b.Host))
	})
	rows := make([]text.Row, 0, len(v.hosts))
	for _, h := range v.hosts {
		rows = append(rows, v.hostRow(h))
	}
	p.Line(text.Plain, "")
	p.Table([]string{"HOST", "ROLE", "STANDS", "FROM", "TRIES", "FILES", "BYTES", "REASON"}, rows)
}

// severity sorts hosts: what a person must look at comes first.
func (v *view) severity(h rollout.HostReport) int {
	switch {
	case h.Held, names(v.outcome.Mixed, h.Host):
		return 0
	case h.Standing == rollout.Failed, h.Standing == rollout.Down:
		return 1
	case h.Standing == rollout.Syncing, h.Standing == rollout.Waiting:
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

func (v *view) hostRow(h rollout.HostReport) text.Row {
	stands, colour := strings.ReplaceAll(string(h.Standing), "_", " "), text.Plain
	switch h.Standing {
	case rollout.Failed, rollout.Down:
		colour = text.Red
	case rollout.Syncing:
		switch {
		case v.unhooked[h.Host]:
			stands = "in its hooks"
			if v.phase != running {
				stands, colour = "not hooked", text.Amber
			}
		case v.phase != running:
			stands, colour = "unknown", text.Red
		}
	case rollout.Untouched:
		colour = text.Dim
	case rollout.RolledBack:
		if v.plan.Undoes == "" {
			colour = text.Amber
		}
	case rollout.Synced, rollout.Partial, rollout.Waiting:
	}
	switch {
	case names(v.outcome.Mixed, h.Host) && h.Standing == rollout.Down:
		stands, colour = stands+", OLD", text.Alarm
	case names(v.outcome.Mixed, h.Host):
		stands, colour = stands+", MIXED", text.Alarm
	case names(v.outcome.Quarantined, h.Host):
		stands, colour = stands+", quarantined", text.Red
	}
	if h.Held {
		stands += ", OUT"
		if v.phase == running {
			stands = strings.TrimSuffix(stands, ", OUT") + ", held"
		} else {
			colour = text.Alarm
		}
	}
	files, bytes := "", ""
	if h.Stats != nil {
		files, bytes = text.Count(h.Stats.Transferred), text.Bytes(h.Stats.Bytes)
	}
	tries := ""
	if h.Attempts > 0 {
		tries = fmt.Sprint(h.Attempts)
	}
	return text.Row{Colour: colour, Cells: []string{h.Host, string(h.Role), stands, h.Source, tries, files, bytes, h.Error}}
}

// Status prints where the current or last run of the fleet stands; nil is that there was none.
func Status(w io.Writer, r *RunReport) {
	if r == nil {
		p := text.NewPrinter(w)
		p.Line(text.Plain, "no run of this fleet is known on this machine")
		p.Line(text.Plain, "next")
		p.Line(text.Bold, "  fleetsync plan")
		return
	}
	v := examine(*r)
	p := text.NewPrinter(w)
	v.headline(p)
	v.pools(p)
	v.where(p)
	if v.phase == running {
		v.inFlight(p)
	}
	v.failures(p)
	v.hooks(p)
	v.next(p)
}

// inFlight names what is being done.
func (v *view) inFlight(p *text.Printer) {
	steps := v.State.Running()
	if len(steps) == 0 {
		return
	}
	var syncs, undos, hooked, others []string
	for _, s := range steps {
		switch kind, _, _ := strings.Cut(string(s.Step), "/"); rollout.StepKind(kind) {
		case rollout.StepSync:
			syncs = append(syncs, s.Host)
		case rollout.StepRollback:
			undos = append(undos, s.Host)
		case rollout.StepRecheck: // as often as somebody has pulled, and over in a moment
		case rollout.StepPost, rollout.StepOnFailure:
			hooked = append(hooked, s.Host)
		case rollout.StepObserve, rollout.StepDepool, rollout.StepRepool, rollout.StepCheck, rollout.StepQuarantine, rollout.StepRelease,
			rollout.StepHook:
			others = append(others, string(s.Step))
		}
	}
	if len(syncs) > 0 {
		field(p, text.Plain, "syncing", text.Fold(syncs, maxFold))
	}
	if len(undos) > 0 {
		field(p, text.Plain, "undoing", text.Fold(undos, maxFold))
	}
	if len(hooked) > 0 {
		field(p, text.Plain, "hooks", "run on "+text.Fold(hooked, maxFold))
	}
	if len(others) > 0 {
		field(p, text.Plain, "doing", listed(others))
	}
	field(p, text.Dim, "as of", v.State.At.UTC().Format(time.DateTime)+"Z, when something happened last")
}

// History prints a line for each run, in the order given.
func History(w io.Writer, runs []RunReport) {
	p := text.NewPrinter(w)
	if len(runs) == 0 {
		p.Line(text.Plain, "no run of this fleet is known on this machine")
		return
	}
	rows := make([]text.Row, 0, len(runs))
	for _, r := range runs {
		rows = append(rows, historyRow(examine(r)))
	}
	p.Table([]string{"RUN", "MODE", "BEGAN (UTC)", "TOOK", "RESULT", "HOSTS", "ORIGIN"}, rows)
}

func historyRow(v *view) text.Row {
	colour, result := text.Plain, string(v.phase)
	switch v.phase {
	case finished:
		result = string(v.outcome.Result)
		switch v.outcome.Result {
		case rollout.ResultDone:
			colour = text.Green
		case rollout.ResultFailed, rollout.ResultAborted:
			colour = text.Amber
		case rollout.ResultHalted:
			colour = text.Red
		}
	case died:
		colour = text.Red
	case running:
		colour = text.Bold
	}
	if v.phase != running {
		mixed, old := v.mixed()
		for _, what := range []struct {
			n      int
			said   string
			colour text.Colour
		}{{len(v.outcome.Quarantined), "quarantined", text.Red}, {len(v.names()), "OUT", text.Alarm}, {len(old), "OLD", text.Alarm}, {len(mixed), "MIXED", text.Alarm}} {
			if what.n > 0 {
				colour = what.colour
				result += fmt.Sprintf(", %d %s", what.n, what.said)
			}
		}
	}
	c := v.outcome.Counts
	counts := fmt.Sprintf("%s/%s", text.Count(v.did()), text.Count(c.Hosts))
	if c.RolledBack > 0 && v.plan.Undoes == "" {
		counts += fmt.Sprintf(", %s rolled back", text.Count(c.RolledBack))
	}
	if c.Failed > 0 {
		counts += fmt.Sprintf(", %s failed", text.Count(c.Failed))
	}
	if c.Down > 0 {
		counts += fmt.Sprintf(", %s down", text.Count(c.Down))
	}
	if c.Unknown > 0 && v.phase != running {
		counts += fmt.Sprintf(", %s unknown", text.Count(c.Unknown))
	}
	origin := v.plan.Origin
	if v.plan.Undoes != "" {
		origin = "undoes " + v.plan.Undoes
	}
	return text.Row{Colour: colour, Cells: []string{
		v.plan.Run, string(v.plan.Mode), v.plan.Made.UTC().Format(time.DateTime),
		text.Time(dur(v.outcome.Took)), result, counts, origin,
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
