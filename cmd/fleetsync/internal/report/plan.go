package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// Plan prints what a run will do, in order and with the reasons.
func Plan(w io.Writer, plan *rollout.Plan) {
	p := text.NewPrinter(w)
	headline := "plan: " + what(plan)
	if plan.Mode == inventory.ModeCanary {
		headline = "plan: canaries only of " + text.Short(plan.Fleet, 60)
	}
	if plan.Origin != "" {
		headline += ", from " + text.Short(plan.Origin, 80)
	}
	p.Line(text.Bold, "%s", headline)
	tree(p, plan)
	delta(p, plan)
	deletable(p, plan)
	field(p, text.Plain, "hosts", roles(plan))
	if len(plan.Paths) > 0 {
		field(p, text.Plain, "paths", listed(plan.Paths)+" (the rest of the tree is left as it is)")
	}
	l := plan.Limits
	budget := text.Hosts(l.MaxFailures) + " may fail, one more halts the run"
	if l.MaxFailures == 0 {
		budget = "the first host that fails halts the run"
	}
	field(p, text.Plain, "limits", fmt.Sprintf("%s at once; %s each, of at most %s; %s",
		text.Hosts(l.Parallel), text.Plural(l.Attempts, "attempt"), text.Time(dur(l.Timeout)), budget))
	if s := slots(plan); s != "" {
		field(p, text.Plain, "slots", s)
	}
	cares(p, plan)
	absent(p, plan)
	field(p, text.Plain, "gate", gateOf(plan))
	if s := hooked(plan); s != "" {
		field(p, text.Plain, "hooks", s)
	}
	if plan.Override != "" {
		field(p, text.Amber, "override", "what the guard refuses: "+text.Short(plan.Override, maxWhy))
	}
	if plan.Force != "" {
		field(p, text.Amber, "forced", "a gate that does not pass is overridden: "+text.Short(plan.Force, maxWhy))
	}
	for i, s := range spans(len(plan.Stages), plan.Batch) {
		if i == 0 {
			p.Line(text.Plain, "")
		}
		planStage(p, plan, s)
	}
	name := "no proxy"
	if plan.Undoes != "" {
		name = "left"
	}
	if len(plan.Left) > 0 {
		p.Line(text.Plain, "")
	}
	column(p, text.Amber, name, bounded(plan.Left, len(plan.Left), maxLeft, "", leftAs))
}

const maxLeft = 8 // lines

// roles counts the hosts by their roles, without the origin.
func roles(plan *rollout.Plan) string {
	total, parts := parts(plan, func(rollout.Host) bool { return true })
	return text.Count(total) + ": " + strings.Join(parts, ", ")
}

// absent names the hosts that are not there, and those that are out of their pools because they had no good tree.
func absent(p *text.Printer, plan *rollout.Plan) {
	var down, quarantined alikes
	n := 0
	for _, h := range plan.Hosts {
		if h.Down != "" {
			n++
			down.add(h.Name, h.Down)
		}
		switch since := "in quarantine since run " + text.Short(h.Quarantined, 60); {
		case h.Quarantined == "":
		case h.Down != "":
			quarantined.add(h.Name, since+", and stays there")
		default:
			quarantined.add(h.Name, since+"; back in its pools after a good sync")
		}
	}
	down.print(p, text.Red, "down")
	if n > 0 {
		verb := " is not tried, and counts as failed"
		if n > 1 {
			verb = " are not tried, and count as failed"
		}
		field(p, text.Red, "", text.Hosts(n)+verb)
	}
	quarantined.print(p, text.Amber, "kept out")
	if plan.QuarantineAll {
		field(p, text.Plain, "bad trees", "whoever fails or is down is taken out of its pools until it has a good tree")
	}
}

// cares says which hosts can be rolled back, and which are compared with the tree.
func cares(p *text.Printer, plan *rollout.Plan) {
	if plan.Tree == nil {
		return
	}
	for _, care := range []struct {
		name, none, some string
		of               func(rollout.Host) bool
	}{
		{"keep", "no host keeps what its sync replaces", " keep what their sync replaces, and can be rolled back",
			func(h rollout.Host) bool { return h.Keep }},
		{"verify", "no host is compared with the tree", " are compared with the tree after their sync",
			func(h rollout.Host) bool { return h.Verify }},
	} {
		all, _ := parts(plan, func(h rollout.Host) bool { return h.Down == "" })
		switch n, names := parts(plan, care.of); n {
		case 0:
			field(p, text.Amber, care.name, care.none)
		case all:
			field(p, text.Plain, care.name, "all"+care.some)
		default:
			field(p, text.Plain, care.name, and(names)+care.some)
		}
	}
}

// and joins what is not many.
func and(parts []string) string {
	if n := len(parts) - 1; n > 0 {
		return strings.Join(parts[:n], ", ") + " and " + parts[n]
	}
	return strings.Join(parts, "")
}

// parts counts some hosts of a plan by their parts, without the origin.
func parts(plan *rollout.Plan, of func(rollout.Host) bool) (total int, parts []string) {
	count := map[rollout.Role]int{}
	for _, h := range plan.Hosts {
		if h.Name != plan.Origin && of(h) {
			count[h.Role]++
			total++
		}
	}
	for _, part := range []struct {
		role       rollout.Role
		one, other string
	}{
		{rollout.RoleCanary, "canary", "canaries"}, {rollout.RoleMaster, "master", "masters"},
		{rollout.RoleProxy, "proxy", "proxies"}, {rollout.RoleHost, "other", "others"},
	} {
		switch n := count[part.role]; n {
		case 0:
		case 1:
			parts = append(parts, "1 "+part.one)
		default:
			parts = append(parts, text.Count(n)+" "+part.other)
		}
	}
	return total, parts
}

// slots says how many hosts the sources may serve at once.
func slots(plan *rollout.Plan) string {
	if plan.Origin == "" {
		return ""
	}
	origin, proxies, serving := 0, 0, 0
	for _, h := range plan.Hosts {
		switch {
		case h.Name == plan.Origin:
			origin = h.Slots
		case h.Role == rollout.RoleProxy && h.Slots > 0:
			proxies++
			serving += h.Slots
		}
	}
	s := fmt.Sprintf("the origin serves %s at once", text.Hosts(origin))
	switch {
	case proxies == 1:
		s += fmt.Sprintf("; the proxy serves %s at once", text.Hosts(serving))
	case proxies > 1:
		s += fmt.Sprintf("; %d proxies serve %s at once together", proxies, text.Hosts(serving))
	}
	return s
}

func gateOf(plan *rollout.Plan) string {
	g := plan.Gate
	if len(g.Checks) == 0 {
		return "none"
	}
	if len(g.Checks) == 1 && g.Checks[0] == rollout.SoakCheck {
		if g.Soak == 0 {
			return "no checks are configured: it passes once the canaries are synced"
		}
		return fmt.Sprintf("no checks are configured: it passes after %s", text.Time(dur(g.Soak)))
	}
	s := text.Plural(len(g.Checks), "check")
	var names []string
	for _, name := range g.Checks[:min(len(g.Checks), maxListed)] {
		names = append(names, text.Short(name, 40))
	}
	s += ": " + strings.Join(names, ", ")
	if more := len(g.Checks) - len(names); more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	if g.Soak > 0 {
		s += fmt.Sprintf("; repeated every %s, and each must pass after a soak of %s", text.Time(dur(g.Interval)), text.Time(dur(g.Soak)))
	}
	return s
}

// planStage prints one line of stages and, below it, why it is at this place.
func planStage(p *text.Printer, plan *rollout.Plan, s span) {
	first := plan.Stages[s.from]
	place, name := fmt.Sprint(s.from+1), text.Short(first.Name, 24)
	var hosts []string
	smallest, largest := len(first.Hosts), 0
	for _, stage := range plan.Stages[s.from:s.to] {
		hosts = append(hosts, stage.Hosts...)
		smallest, largest = min(smallest, len(stage.Hosts)), max(largest, len(stage.Hosts))
	}
	count := text.Hosts(len(hosts))
	if first.Kind == rollout.StageHook {
		count = "hooks"
	}
	if s.to-s.from > 1 {
		place, name = "…", fmt.Sprintf("%s more batches", text.Count(s.to-s.from))
		count += fmt.Sprintf(" (%s each)", text.Count(largest))
		if smallest < largest {
			count = fmt.Sprintf("%s (%s to %s each)", text.Hosts(len(hosts)), text.Count(smallest), text.Count(largest))
		}
	}
	if len(hosts) > 0 {
		count = text.Pad(count, 12) + "  " + text.Fold(hosts, maxFold/2)
	}
	p.Parts(
		text.Part{Colour: text.Dim, Text: fmt.Sprintf("%4s  ", place)},
		text.Part{Colour: text.Bold, Text: text.Pad(name, stageWidth)},
		text.Part{Colour: text.Plain, Text: "  " + count},
	)
	why := text.Short(first.Why, maxWhy)
	switch first.Kind {
	case rollout.StageDepool:
		if plan.Limits.Drain > 0 {
			why += "; drained for " + text.Time(dur(plan.Limits.Drain))
		}
	case rollout.StageRepool:
		why += "; also after a failure or an abort"
	case rollout.StageSync, rollout.StageUndo, rollout.StageCheck, rollout.StageHook:
	}
	p.Line(text.Dim, "      %s", why)
}
