package report

import (
	"fmt"
	"slices"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// pools names the hosts without a good tree: first those that users may meet it on, then those that are out of their pools for it.
func (v *view) pools(p *text.Printer) {
	mixed, old := v.mixed()
	colour, heads := text.Alarm, []string{"MIXED", "OLD"}
	if v.phase == running {
		colour, heads = text.Red, []string{"mixed", "old"} // what can be done about it is being done
	}
	together(p, colour, heads[0], mixed, "", "")
	together(p, colour, heads[1], old, "", "")
	v.held(p)
	together(p, text.Red, "kept out", v.outcome.Quarantined, " is in quarantine", " are in quarantine")
}

// mixed parts the hosts that should be in quarantine and are in their pools: what a host has that was down is old, and whole.
func (v *view) mixed() (mixed, old []rollout.Named) {
	for _, n := range v.outcome.Mixed {
		if v.standing[n.Host] == rollout.Down {
			old = append(old, n)
		} else {
			mixed = append(mixed, n)
		}
	}
	return mixed, old
}

// maxAlike is how many columns the names of those take of whom the same is said: whoever must be seen to is named.
const maxAlike = 1000

// together prints a line for those of whom the same is said.
func together(p *text.Printer, c text.Colour, head string, all []rollout.Named, one, many string) {
	a := alikes{width: maxWhy}
	for _, n := range all {
		a.add(n.Host, n.Detail)
	}
	for i, g := range a.groups {
		is, said := one, g.reason
		if i == maxReasons && len(a.groups) > i+1 {
			for _, other := range a.groups[i+1:] {
				g.hosts = append(g.hosts, other.hosts...)
			}
			slices.Sort(g.hosts)
			said = fmt.Sprintf("for %d more reasons", len(a.groups)-i)
		}
		if len(g.hosts) > 1 {
			is = many
		}
		field(p, c, head, text.Fold(g.hosts, maxAlike)+is+": "+said)
		if i == maxReasons {
			return
		}
	}
}
