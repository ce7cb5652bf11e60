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
	groups := groupFailures(v.hosts)
	field := "failed"
	if v.phase == running {
		field = "trouble" // some of them wait for another attempt
	}
	for i, g := range groups {
		if i == maxListed {
			left := 0
			for _, g := range groups[i:] {
				left += len(g.hosts)
			}
			v.field(p, text.Red, field, fmt.Sprintf("and %s for %d more reasons", text.Hosts(left), len(groups)-i))
			break
		}
		v.field(p, text.Red, field, fmt.Sprintf("%s: %s", text.Fold(g.hosts, maxFold), text.Short(g.reason, maxWhy)))
	}
}

// failure is why some hosts failed.
type failure struct {
	reason string
	hosts  []string
}

// groupFailures returns the failed hosts by reason, the most frequent first.
func groupFailures(hosts []rollout.HostReport) []failure {
	byReason := map[string][]string{}
	for _, h := range hosts {
		if h.Standing != rollout.Failed {
			continue
		}
		// The same trouble on two hosts differs in their names only.
		reason := strings.ReplaceAll(text.Clean(orElse(h.Error, "no reason is known")), h.Host, "HOST")
		byReason[reason] = append(byReason[reason], h.Host)
	}
	groups := make([]failure, 0, len(byReason))
	for reason, names := range byReason {
		groups = append(groups, failure{reason, names})
	}
	slices.SortFunc(groups, func(a, b failure) int {
		return cmp.Or(cmp.Compare(len(b.hosts), len(a.hosts)), strings.Compare(a.reason, b.reason))
	})
	for i, g := range groups {
		if len(g.hosts) == 1 {
			groups[i].reason = strings.ReplaceAll(g.reason, "HOST", g.hosts[0])
		}
	}
	return groups
}
