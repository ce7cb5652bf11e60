package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/orchestrator/preflight"
)

// Verify prints one screen about what became known of hosts: how many are as their last run left them, and which
// are not, those with the same drift together.
func Verify(w io.Writer, results []preflight.Verified, command string) {
	p := text.NewPrinter(w)
	same := 0
	var drifted, unknown []preflight.Verified
	for _, r := range results {
		switch r.Verdict {
		case preflight.IsSame:
			same++
		case preflight.Drifted:
			drifted = append(drifted, r)
		case preflight.NotKnown:
			unknown = append(unknown, r)
		default:
			r.Error = cmp.Or(r.Error, "verdict "+string(r.Verdict))
			unknown = append(unknown, r)
		}
	}
	said, colour := fmt.Sprintf("verify: %s of %s hold what their last run left there", text.Count(same), text.Hosts(len(results))), text.Green
	if len(drifted) > 0 {
		colour = text.Red
		said += fmt.Sprintf("; %s DRIFTED", text.Count(len(drifted)))
	}
	if len(unknown) > 0 {
		if len(drifted) == 0 {
			colour = text.Amber
		}
		said += fmt.Sprintf("; %s unknown", text.Count(len(unknown)))
	}
	p.Line(colour, "%s", said)
	driftGroups(p, drifted, command)
	unknownGroups(p, unknown)
}

// Bounds of what is shown of drift.
const (
	maxDrifts     = 5 // kinds of drift
	maxDriftPaths = 5 // paths of each
)

// driftGroups names hosts that drifted, and what of each.
func driftGroups(p *text.Printer, drifted []preflight.Verified, command string) {
	type group struct {
		preflight.Verified
		hosts []string
	}
	var groups []group
	place := map[string]int{}
	for _, r := range drifted {
		var what strings.Builder
		what.WriteString(text.Count(r.Count) + "\n" + r.Run + "\n" + r.Error)
		for _, d := range r.Paths {
			what.WriteString("\n" + d.Kind + "\n" + d.What + "\n" + d.Path)
		}
		key := what.String()
		i, known := place[key]
		if !known {
			i = len(groups)
			place[key] = i
			groups = append(groups, group{Verified: r})
		}
		groups[i].hosts = append(groups[i].hosts, r.Host)
	}
	slices.SortStableFunc(groups, func(a, b group) int { return cmp.Compare(len(b.hosts), len(a.hosts)) })
	left := 0
	for i, g := range groups {
		if i >= maxDrifts {
			left += len(g.hosts)
			continue
		}
		what := text.Plural(g.Count, "path") + " not as run " + text.Short(g.Run, 60) + " left them"
		switch g.Count {
		case 0:
			what = "not as run " + text.Short(g.Run, 60) + " left it; its paths cannot be named"
			if g.Error != "" {
				what += ": " + text.Short(g.Error, maxWhy)
			}
		case 1:
			what = strings.TrimSuffix(what, "them") + "it"
		}
		field(p, text.Red, "drifted", text.Fold(g.hosts, 100)+": "+what)
		each(p, text.Plain, "", bounded(g.Paths, g.Count, maxDriftPaths, "", func(d preflight.Drift) string {
			line := text.Pad(text.Short(d.Kind, 20), len("created")) + "  " + text.Short(d.Path, maxFold)
			if d.What != "" {
				line += " (" + text.Short(d.What, 20) + ")"
			}
			return line
		}))
	}
	if left > 0 {
		field(p, text.Red, "drifted", fmt.Sprintf("and %s in %d other ways", text.Hosts(left), len(groups)-maxDrifts))
	}
	if len(drifted) > 0 {
		names := make([]string, len(drifted))
		for i, r := range drifted {
			names[i] = r.Host
		}
		if folded, ok := limit(names); ok {
			field(p, text.Dim, "to mend", command+" sync --limit "+quoted(folded)+"   # brings them what the origin holds now")
		}
	}
}

// unknownGroups names hosts of which it is not known what they hold, those with the same reason together.
func unknownGroups(p *text.Printer, unknown []preflight.Verified) {
	var groups alikes
	for _, r := range unknown {
		groups.add(r.Host, cmp.Or(r.Error, "no reason is known"))
	}
	groups.print(p, text.Amber, "unknown")
}
