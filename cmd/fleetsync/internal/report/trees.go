package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// Trees prints one screen about what is last known of the tree of every host: those that do not hold the newest
// one first. Newest is the tree that newestRun was to bring to the whole fleet; nil: none is known. Command is how
// fleetsync is called in what is suggested; empty is "fleetsync". One line is enough where all hold the newest.
func Trees(w io.Writer, trees []rollout.LastTree, newest *rollout.Tree, newestRun string, command string) {
	if len(trees) == 0 {
		return
	}
	p := text.NewPrinter(w)
	c := census{groups: map[string]*holders{}}
	for _, l := range trees {
		c.add(l, newest)
	}
	groups := c.sorted()
	hold := 0
	for _, g := range groups {
		if g.kind == upToDate {
			hold = len(g.hosts)
		}
	}
	all := text.Hosts(len(trees))
	switch {
	case newest == nil:
		p.Line(text.Plain, "trees: what %s hold, as far as this machine knows", all)
	case hold == len(trees):
		p.Line(text.Green, "trees: all %s hold the newest, %s of run %s", all, text.Fingerprint(newest.Fingerprint), text.Short(newestRun, 60))
		return
	default:
		p.Line(text.Amber, "trees: %s of %s hold the newest, %s of run %s", text.Count(hold), all,
			text.Fingerprint(newest.Fingerprint), text.Short(newestRun, 60))
	}
	c.print(p, groups)
	if hold < len(trees) && (newest != nil || !c.settled()) {
		p.Parts(text.Part{Colour: text.Bold, Text: "  " + cmp.Or(command, "fleetsync") + " sync --behind"},
			text.Part{Colour: text.Dim, Text: "  # brings those that are not known to hold what the origin holds now up to date"})
	}
}

// holding is what is known of a host's tree; in the order in which it is shown.
type holding string

const (
	broken   holding = "failed"
	adrift   holding = "unknown"
	partly   holding = "partial"
	outdated holding = "behind"
	unseen   holding = "unseen"
	some     holding = "tree" // and which one is the newest is not known
	upToDate holding = "newest"
)

// rank is the order in which people must look at them.
func (h holding) rank() int {
	return slices.Index([]holding{broken, adrift, partly, outdated, unseen, some, upToDate}, h)
}

func (h holding) colour() text.Colour {
	switch h {
	case broken, adrift:
		return text.Red
	case partly, outdated, unseen:
		return text.Amber
	case some, upToDate:
		return text.Plain
	default:
		return text.Plain
	}
}

// census is what the hosts of a fleet hold.
type census struct{ groups map[string]*holders }

// holders is hosts of whose trees the same is known.
type holders struct {
	kind  holding
	said  string
	hosts []string
	run   string // the newest of those that left it there
	at    time.Time
	runs  map[string]bool
}

// add puts a host among those of whose trees the same is known.
func (c *census) add(l rollout.LastTree, newest *rollout.Tree) {
	kind, said := holdingOf(l, newest)
	if l.RolledBack != "" {
		said += ", since run " + text.Short(l.RolledBack, 60) + " was taken back"
	}
	alike := said
	if kind == broken {
		alike = strings.ReplaceAll(said, l.Host, "HOST")
	}
	key := string(kind) + " " + alike
	g := c.groups[key]
	if g == nil {
		g = &holders{kind: kind, said: said, runs: map[string]bool{}}
		c.groups[key] = g
	} else {
		g.said = alike
	}
	g.hosts = append(g.hosts, l.Host)
	if l.Run != "" {
		g.runs[l.Run] = true
	}
	if g.run == "" || l.At.After(g.at) {
		g.run, g.at = l.Run, l.At
	}
}

// holdingOf says what is known of a host's tree.
func holdingOf(l rollout.LastTree, newest *rollout.Tree) (kind holding, said string) {
	tree := "a tree that nobody looked at"
	if l.Tree != nil && l.Tree.Fingerprint != "" {
		tree = text.Fingerprint(l.Tree.Fingerprint)
	}
	switch l.Standing {
	case rollout.Synced:
		switch {
		case newest == nil:
			return some, tree
		case l.Has(newest.Fingerprint):
			return upToDate, tree
		default:
			return outdated, tree
		}
	case rollout.Partial:
		return partly, fmt.Sprintf("%s of %s, the rest is older", listed(l.Paths), tree)
	case rollout.Failed, rollout.Waiting:
		if l.Hooks != "" {
			return broken, text.Short(trouble(l.Error, true), 200)
		}
		return broken, text.Short(cmp.Or(l.Error, "it was not finished"), 200) + "; its tree may be mixed"
	case rollout.InHooks:
		return adrift, trouble("", true) + ": its run died"
	case rollout.Syncing, rollout.Unknowable:
		return adrift, "in flight when its run died; its tree may be mixed"
	case rollout.Untouched, rollout.RolledBack, rollout.Down, "":
		return unseen, "no run is known that synced it"
	default:
		return adrift, "standing " + text.Short(string(l.Standing), 40)
	}
}

// settled says whether all hold a tree that is known.
func (c *census) settled() bool {
	for _, g := range c.groups {
		if g.kind != some && g.kind != upToDate {
			return false
		}
	}
	return true
}

func (c *census) sorted() []*holders {
	return slices.SortedFunc(maps.Values(c.groups), func(a, b *holders) int {
		return cmp.Or(cmp.Compare(a.kind.rank(), b.kind.rank()), b.at.Compare(a.at), cmp.Compare(len(b.hosts), len(a.hosts)),
			strings.Compare(a.said, b.said), strings.Compare(a.hosts[0], b.hosts[0]))
	})
}

func (c *census) print(p *text.Printer, groups []*holders) {
	for len(groups) > 0 {
		kind, n, left := groups[0].kind, 0, 0
		for ; n < len(groups) && groups[n].kind == kind; n++ {
			if n < maxReasons {
				field(p, kind.colour(), string(kind), groups[n].text())
			} else {
				left += len(groups[n].hosts)
			}
		}
		if left > 0 {
			field(p, kind.colour(), string(kind), fmt.Sprintf("and %s of %d more kinds", text.Hosts(left), n-maxReasons))
		}
		groups = groups[n:]
	}
}

// text says who the hosts are, and what is known of their trees.
func (g *holders) text() string {
	said := g.said
	if len(g.hosts) > 1 {
		said = text.Hosts(len(g.hosts)) + ", " + said
	}
	if g.run != "" {
		said += ", run " + text.Short(g.run, 60)
		if more := len(g.runs) - 1; more > 0 {
			said += fmt.Sprintf(" and %s more", text.Count(more))
		}
		said += ", " + g.at.UTC().Format("2006-01-02 15:04Z")
	}
	return text.Fold(g.hosts, 100) + ": " + said
}
