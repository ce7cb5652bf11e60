package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/orchestrator/preflight"
)

// Reach prints how many hosts a run could sync, and what is wrong with the others, those with the same reason
// together.
func Reach(w io.Writer, results []preflight.Reached) {
	p := text.NewPrinter(w)
	reasons := map[string][]string{}
	good, slowest := 0, preflight.Reached{}
	versions := map[string]int{}
	least := int64(-1)
	for _, r := range results {
		for _, wrong := range r.Wrong {
			reason := strings.ReplaceAll(wrong, r.Host, "HOST") // or no two would be the same
			reasons[reason] = append(reasons[reason], r.Host)
		}
		if len(r.Wrong) == 0 {
			good++
		}
		if !r.Reached {
			continue
		}
		versions[r.Rsync]++
		if r.Took > slowest.Took {
			slowest = r
		}
		if least < 0 || r.Free < least {
			least = r.Free
		}
	}
	colour := text.Green
	if good < len(results) {
		colour = text.Red
	}
	p.Line(colour, "reach: %s of %s could be synced", text.Count(good), text.Hosts(len(results)))
	order := slices.SortedFunc(maps.Keys(reasons), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(reasons[b]), len(reasons[a])), strings.Compare(a, b))
	})
	each(p, text.Red, "wrong", bounded(order, len(order), maxListed, " reasons", func(reason string) string {
		return text.Fold(reasons[reason], maxFold) + ": " + text.Short(reason, maxWhy)
	}))
	if slowest.Reached {
		field(p, text.Plain, "slowest", fmt.Sprintf("%s answered after %s", text.Short(slowest.Host, 80), text.Time(slowest.Took)))
		field(p, text.Plain, "free", text.Bytes(least)+" on the fullest")
	}
	var rsyncs []string
	for version, n := range versions {
		rsyncs = append(rsyncs, fmt.Sprintf("%s on %s", cmp.Or(text.Short(version, 20), "none"), text.Hosts(n)))
	}
	slices.Sort(rsyncs)
	if len(rsyncs) > 0 {
		field(p, text.Plain, "rsync", listed(rsyncs))
	}
}
