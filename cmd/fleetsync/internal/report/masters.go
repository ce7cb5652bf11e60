package report

import (
	"io"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/orchestrator/preflight"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// Masters prints what each master holds, whether it may be synced from, and how it differs from the origin; and what
// to type where they differ.
func Masters(w io.Writer, masters []preflight.Master, command string) {
	p := text.NewPrinter(w)
	origin := ""
	rows := make([]text.Row, 0, len(masters))
	for _, m := range masters {
		row := text.Row{Cells: []string{m.Host, "never from", "unknown", "", "", ""}}
		if m.Serve {
			row.Cells[1] = "from"
		}
		if m.Origin {
			origin, row.Cells[1] = m.Host, "from: origin"
		}
		if m.Tree != nil {
			row.Cells[2], row.Cells[3], row.Cells[4] = text.Fingerprint(m.Tree.Fingerprint), text.Count(m.Tree.Files), text.Bytes(m.Tree.Bytes)
			row.Cells[5] = "as the origin"
		}
		switch {
		case m.Error != "":
			row.Colour, row.Cells[5] = text.Red, m.Error
		case m.Origin:
			row.Cells[5] = ""
		case m.Drift != nil:
			row.Colour, row.Cells[5] = text.Amber, text.Plural(m.Drift.Count, "path")+" not as on the origin"
		}
		rows = append(rows, row)
	}
	p.Table([]string{"MASTER", "SYNCED", "FINGERPRINT", "FILES", "SIZE", "STANDS"}, rows)
	if origin == "" {
		p.Line(text.Red, "no master may be synced from: one must have serve: true")
	}
	for _, m := range masters {
		if m.Drift == nil {
			continue
		}
		p.Line(text.Plain, "%s", text.Short(m.Host, 80))
		for _, said := range bounded(m.Drift.Paths, m.Drift.Count, maxListed, "", func(d preflight.Drift) string {
			what := d.Kind
			if d.What != "" {
				what += " (" + d.What + ")"
			}
			return text.Pad(text.Short(what, 40), 18) + "  " + text.Short(d.Path, maxWhy)
		}) {
			p.Line(text.Dim, "  %s", said)
		}
		p.Line(text.Bold, "  %s masters sync --from %s --to %s", command, origin, m.Host)
	}
}

// Delta prints what a sync would do to the hosts that were asked.
func Delta(w io.Writer, plan *rollout.Plan) { delta(text.NewPrinter(w), plan) }
