package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// failures names the failed hosts, those with the same reason together.
func (v *view) failures(p *text.Printer) {
	title := "failed"
	if v.phase == running {
		title = "trouble" // some of them wait for another attempt
	}
	var groups, down alikes
	for _, h := range v.hosts {
		if h.Standing == rollout.Down {
			down.add(h.Host, h.Error)
		}
		if h.Standing == rollout.Failed || h.Standing == rollout.Waiting {
			groups.add(h.Host, orElse(h.Error, "no reason is known"))
		}
	}
	groups.print(p, text.Red, title)
	down.print(p, text.Red, "down")
}

// maxReasons bounds the reasons that are shown: each may take some lines of a narrow terminal.
const maxReasons = 6

// alikes is hosts by what is said of them.
type alikes struct {
	width  int // of a reason, in columns; 0 is 200
	groups []alike
	place  map[string]int // of a reason in groups
}

// alike is hosts of which the same is said.
type alike struct {
	reason string
	hosts  []string
}

// add takes note of what is said of a host. The same trouble on two hosts differs in their names only.
func (a *alikes) add(host, said string) {
	width := a.width
	if width == 0 {
		width = 200
	}
	reason := text.Short(said, width)
	key := strings.ReplaceAll(reason, host, "HOST")
	i, known := a.place[key]
	if !known {
		if a.place == nil {
			a.place = map[string]int{}
		}
		a.place[key] = len(a.groups)
		a.groups = append(a.groups, alike{reason, []string{host}})
		return
	}
	a.groups[i].reason = key
	a.groups[i].hosts = append(a.groups[i].hosts, host)
}

// print prints a line for each reason, the most frequent first.
func (a *alikes) print(p *text.Printer, c text.Colour, title string) {
	slices.SortFunc(a.groups, func(a, b alike) int {
		return cmp.Or(cmp.Compare(len(b.hosts), len(a.hosts)), strings.Compare(a.reason, b.reason))
	})
	for i, g := range a.groups {
		if i == maxReasons {
			left := 0
			for _, g := range a.groups[i:] {
				left += len(g.hosts)
			}
			field(p, c, title, fmt.Sprintf("and %s for %d more reasons", text.Hosts(left), len(a.groups)-i))
			return
		}
		field(p, c, title, fmt.Sprintf("%s: %s", text.Fold(g.hosts, 100), g.reason))
	}
}
