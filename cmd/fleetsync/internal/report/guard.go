package report

import (
	"fmt"
	"io"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
)

// Finding is what the guard found wrong with a master's tree.
type Finding struct {
	Rule string // that it breaks
	Path string // in the tree; empty is the tree as a whole
	Text string // what is wrong, to be read after the path
	Hint string // what to do; may be empty
}

// Guard prints what the guard found in the tree of a master: what it refuses first, then what it only warns of. The
// override is the reason to go on past a refusal; empty: there is none. Where nothing was found, nothing is printed.
func Guard(w io.Writer, master string, refusals, warnings []Finding, override string) {
	if len(refusals)+len(warnings) == 0 {
		return
	}
	p := text.NewPrinter(w)
	name := text.Short(master, 80)
	title, colour := "REFUSED", text.Alarm
	switch {
	case len(refusals) == 0:
		p.Line(text.Amber, "guard: %s may be synced from, with %s", name, text.Plural(len(warnings), "warning"))
	case override != "":
		title, colour = "override", text.Amber
		p.Line(text.Amber, "guard: %s may not be synced from, for %s: OVERRIDDEN, because %s",
			name, text.Plural(len(refusals), "reason"), text.Short(override, maxWhy))
	default:
		p.Line(text.Alarm, "guard: %s MAY NOT BE SYNCED FROM, for %s", name, text.Plural(len(refusals), "reason"))
	}
	findings(p, refusals, colour, title, "refusals")
	findings(p, warnings, text.Amber, "warning", "warnings")
}

func findings(p *text.Printer, all []Finding, c text.Colour, title, plural string) {
	for i, f := range all {
		if i == maxListed {
			field(p, c, title, fmt.Sprintf("and %s more %s", text.Count(len(all)-i), plural))
			return
		}
		said := text.Short(f.Rule, 40) + ": "
		if f.Path != "" {
			said += text.Short(f.Path, 100) + " "
		}
		said += text.Short(f.Text, maxWhy)
		hint := ""
		if f.Hint != "" {
			hint = " (" + text.Short(f.Hint, maxWhy) + ")"
		}
		p.Parts(text.Part{Colour: text.Plain, Text: "  "}, text.Part{Colour: c, Text: text.Pad(title, nameWidth) + said},
			text.Part{Colour: text.Dim, Text: hint})
	}
}
