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
	if v.running {
		title = "trouble" // some of them wait for another attempt
	}
	var groups, down alikes
	for h := range v.Now.Hosts.All() {
		switch h.Standing {
		case rollout.Down:
			down.add(h.Host, h.Error)
		case rollout.Failed, rollout.Waiting:
			groups.add(h.Host, cmp.Or(trouble(h.Error, h.FailedHooks()), "no reason is known"))
		case rollout.Untouched, rollout.Synced, rollout.Partial, rollout.RolledBack, rollout.Syncing, rollout.InHooks, rollout.Unknowable:
		}
	}
	groups.print(p, text.Red, title)
	down.print(p, text.Red, "down")
}

// trouble says what is wrong with a host: it may have the tree, and not what its hooks do.
func trouble(err string, hooks bool) string {
	const said = "it has the tree, but not what follows"
	switch {
	case !hooks:
		return err
	case err == "":
		return said
	default:
		return said + ": " + err
	}
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
