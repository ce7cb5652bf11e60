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
	what := string(plan.Mode)
	if plan.Mode == inventory.ModeCanary {
		what = "canaries only"
	}
	p.Parts(text.Part{Colour: text.Bold, Text: fmt.Sprintf("plan: %s of %s, from %s", what, text.Short(plan.Fleet, 60), text.Short(plan.Origin, 80))})
	field(p, text.Plain, "hosts", cast(plan))
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
	field(p, text.Plain, "gate", gateOf(plan))
	if plan.Force != "" {
		field(p, text.Amber, "forced", "a gate that does not pass is overridden: "+text.Short(plan.Force, maxWhy))
	}
	for i, s := range spans(plan.Stages) {
		if i == 0 {
			p.Line(text.Plain, "")
		}
		planStage(p, plan, s)
	}
	if len(plan.Left) > 0 {
		p.Line(text.Plain, "")
	}
	for i, left := range plan.Left {
		if i == maxListed {
			field(p, text.Amber, "", fmt.Sprintf("and %d more", len(plan.Left)-i))
			break
		}
		name := "no proxy"
		if i > 0 {
			name = ""
		}
		field(p, text.Amber, name, fmt.Sprintf("%s: %s", text.Short(left.Host, 80), text.Short(left.Reason, maxWhy)))
	}
}

// cast counts the hosts by their parts, without the origin.
func cast(plan *rollout.Plan) string {
	count := map[rollout.Role]int{}
	total := 0
	for _, h := range plan.Hosts {
		if h.Name != plan.Origin {
			count[h.Role]++
			total++
		}
	}
	var parts []string
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
	return text.Count(total) + ": " + strings.Join(parts, ", ")
}

// slots says how many hosts the sources may serve at once.
func slots(plan *rollout.Plan) string {
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
	if s.to-s.from > 1 {
		place, name = "…", fmt.Sprintf("%s more batches", text.Count(s.to-s.from))
		count += fmt.Sprintf(" (%s each)", text.Count(largest))
		if smallest < largest {
			count = fmt.Sprintf("%s (%s to %s each)", text.Hosts(len(hosts)), text.Count(smallest), text.Count(largest))
		}
	}
	p.Parts(
		text.Part{Colour: text.Dim, Text: fmt.Sprintf("%4s  ", place)},
		text.Part{Colour: text.Bold, Text: text.Pad(name, stageWidth)},
		text.Part{Colour: text.Plain, Text: "  " + text.Pad(count, 12) + "  " + text.Fold(hosts, maxFold/2)},
	)
	why := text.Short(first.Why, maxWhy)
	switch first.Kind {
	case rollout.StageDepool:
		if plan.Limits.Drain > 0 {
			why += "; drained for " + text.Time(dur(plan.Limits.Drain))
		}
	case rollout.StageRepool:
		why += "; also after a failure or an abort"
	case rollout.StageSync, rollout.StageCheck:
	}
	p.Line(text.Dim, "      %s", why)
}
