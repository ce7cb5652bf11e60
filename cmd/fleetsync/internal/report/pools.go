package report

import (
	"fmt"
	"slices"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// pools names the hosts without a good tree: first those that users may meet it on, then those that are out of their pools for it.
func (v *view) pools(p *text.Printer) {
	colour, heads := text.Alarm, []string{"MIXED", "OLD"}
	if v.running {
		colour, heads = text.Red, []string{"mixed", "old"} // what can be done about it is being done
	}
	together(p, colour, heads[0], v.mixed, "", "")
	together(p, colour, heads[1], v.old, "", "")
	v.held(p)
	together(p, text.Red, "kept out", v.outcome.Quarantined, " is in quarantine", " are in quarantine")
}

// maxAlike is how many columns the names of those take of whom the same is said: whoever must be seen to is named.
const maxAlike = 1000

// together prints a line for those of whom the same is said.
func together(p *text.Printer, c text.Colour, head string, all []rollout.Named, one, many string) {
	a := alikes{width: maxWhy}
	for _, n := range all {
		a.add(n.Host, n.Detail)
	}
	if n := len(a.groups); n > maxReasons+1 {
		rest := alike{reason: fmt.Sprintf("for %d more reasons", n-maxReasons)}
		for _, g := range a.groups[maxReasons:] {
			rest.hosts = append(rest.hosts, g.hosts...)
		}
		slices.Sort(rest.hosts)
		a.groups = append(a.groups[:maxReasons], rest)
	}
	for _, g := range a.groups {
		is := one
		if len(g.hosts) > 1 {
			is = many
		}
		field(p, c, head, text.Fold(g.hosts, maxAlike)+is+": "+g.reason)
	}
}
