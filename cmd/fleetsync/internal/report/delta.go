package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// Deletions prints what a run would delete, on which hosts, and what must be typed if that is meant. It is for a run
// that would delete more than the budget allows; of a plan that would delete nothing it prints nothing.
func Deletions(w io.Writer, plan *rollout.Plan) {
	worst := mostDeletions(plan.Delta)
	if worst == nil || worst.Delete == 0 {
		return
	}
	p := text.NewPrinter(w)
	d := plan.Delta
	colour, than := text.Amber, "within the budget of "+text.Count(d.Allowed)
	over := worst.Delete > d.Allowed
	switch {
	case over && d.Confirmed:
		than = "confirmed, though the budget is " + text.Count(d.Allowed)
	case over:
		colour, than = text.Alarm, "and the budget is "+text.Count(d.Allowed)
	}
	p.Line(colour, "DELETIONS: %s would go from %s, %s", entries(worst.Delete), text.Short(worst.Host, 80), than)
	deltaHosts(p, plan)
	top := slices.DeleteFunc(slices.Clone(worst.Top), func(t rollout.TopDelta) bool { return t.Delete == 0 })
	slices.SortStableFunc(top, func(a, b rollout.TopDelta) int {
		return cmp.Or(cmp.Compare(b.Delete, a.Delete), strings.Compare(a.Name, b.Name))
	})
	column(p, text.Plain, "below", bounded(top, len(top), maxListed, "", func(t rollout.TopDelta) string {
		return fmt.Sprintf("%s: %s", text.Short(t.Name, 80), changes(t.Create, t.Change, t.Delete))
	}))
	column(p, text.Red, "gone", bounded(worst.Gone, worst.Delete, maxListed, "",
		func(path string) string { return text.Short(path, maxFold) }))
	if over && !d.Confirmed {
		p.Parts(text.Part{Colour: text.Bold, Text: fmt.Sprintf("  --confirm-deletions %d", worst.Delete)},
			text.Part{Colour: text.Dim, Text: "  # if that is what you want; no other number will do"})
	}
}

func entries(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return text.Count(n) + " entries"
}

// mostDeletions returns the host that would lose the most; nil if none was asked.
func mostDeletions(d *rollout.Delta) *rollout.HostDelta {
	if d == nil || len(d.Hosts) == 0 {
		return nil
	}
	worst := slices.MaxFunc(d.Hosts, func(a, b rollout.HostDelta) int { return cmp.Compare(a.Delete, b.Delete) })
	return &worst
}

// changes says what a sync would do to a host.
func changes(create, change, remove int) string {
	s := fmt.Sprintf("create %s, change %s, ", text.Count(create), text.Count(change))
	if remove > 0 {
		return s + "DELETE " + text.Count(remove)
	}
	return s + "delete 0"
}

// deltaHosts says what a sync would do to the hosts that were asked, those alike together.
func deltaHosts(p *text.Printer, plan *rollout.Plan) {
	type alike struct {
		create, change, remove int
		bytes                  int64
	}
	groups := map[alike][]string{}
	for _, h := range plan.Delta.Hosts {
		key := alike{h.Create, h.Change, h.Delete, h.Bytes}
		groups[key] = append(groups[key], h.Host)
	}
	order := slices.SortedFunc(maps.Keys(groups), func(a, b alike) int {
		return cmp.Or(cmp.Compare(b.remove, a.remove), cmp.Compare(b.change, a.change), cmp.Compare(b.create, a.create),
			cmp.Compare(b.bytes, a.bytes), strings.Compare(groups[a][0], groups[b][0]))
	})
	head := "delta"
	if len(order) == 0 {
		field(p, text.Amber, head, "not known: no host could be asked")
	}
	for i, key := range order {
		if i == maxReasons {
			left := 0
			for _, key := range order[i:] {
				left += len(groups[key])
			}
			field(p, text.Plain, "", fmt.Sprintf("and %s with less to delete", text.Hosts(left)))
			return
		}
		colour := text.Plain
		if key.remove > plan.Delta.Allowed {
			colour = text.Red
		}
		does := changes(key.create, key.change, key.remove)
		field(p, colour, head, fmt.Sprintf("%s: %s, %s to send", askedHosts(plan, groups[key]), does, text.Bytes(key.bytes)))
		head = ""
	}
}

// askedHosts names hosts; all canaries in one word.
func askedHosts(plan *rollout.Plan, names []string) string {
	var canaries []string
	for _, h := range plan.Hosts {
		if h.Role == rollout.RoleCanary {
			canaries = append(canaries, h.Name)
		}
	}
	if len(names) > 1 && slices.Equal(names, canaries) {
		return "canaries"
	}
	return text.Fold(names, 100)
}

// delta says what the dry runs of a plan found, and how much may be deleted.
func delta(p *text.Printer, plan *rollout.Plan) {
	if plan.Delta == nil {
		return
	}
	deltaHosts(p, plan)
	if len(plan.Delta.Hosts) == 0 {
		return
	}
	busiest := slices.MaxFunc(plan.Delta.Hosts, func(a, b rollout.HostDelta) int {
		return cmp.Compare(a.Create+a.Change+a.Delete, b.Create+b.Change+b.Delete)
	})
	top := slices.SortedStableFunc(slices.Values(busiest.Top), func(a, b rollout.TopDelta) int {
		return cmp.Or(cmp.Compare(b.Delete, a.Delete), cmp.Compare(b.Create+b.Change, a.Create+a.Change), strings.Compare(a.Name, b.Name))
	})
	const most = 5
	if parts := bounded(top, len(top), most, "", topChanges); len(parts) > 0 {
		field(p, text.Plain, "below", strings.Join(parts, ", "))
	}
}

// topChanges says what a sync would do below one top-level entry of the tree.
func topChanges(t rollout.TopDelta) string {
	does := counted([]tally{{t.Create, "create"}, {t.Change, "change"}, {t.Delete, "DELETE"}},
		func(n, what string) string { return what + " " + n })
	return fmt.Sprintf("%s (%s)", text.Short(t.Name, 60), strings.Join(does, ", "))
}

// deletable says how many deletions one rsync of a run may make.
func deletable(p *text.Printer, plan *rollout.Plan) {
	n, worst := plan.Limits.MaxDelete, mostDeletions(plan.Delta)
	switch {
	case plan.Tree == nil || n < 0:
		return
	case plan.Delta != nil && plan.Delta.Confirmed:
		field(p, text.Amber, "deletes", fmt.Sprintf("at most %s on a host, which is confirmed; the budget is %s",
			text.Count(n), text.Count(plan.Delta.Allowed)))
	case worst != nil && worst.Delete > n:
		field(p, text.Alarm, "deletes", fmt.Sprintf("at most %s may be deleted on a host, and %s would be on %s",
			text.Count(n), text.Count(worst.Delete), text.Short(worst.Host, 80)))
	default:
		field(p, text.Plain, "deletes", fmt.Sprintf("at most %s on a host; one that would delete more fails", text.Count(n)))
	}
}
