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
	title := "failed"
	if v.phase == running {
		title = "trouble" // some of them wait for another attempt
	}
	for i, g := range groups {
		if i == maxReasons {
			left := 0
			for _, g := range groups[i:] {
				left += len(g.hosts)
			}
			field(p, text.Red, title, fmt.Sprintf("and %s for %d more reasons", text.Hosts(left), len(groups)-i))
			break
		}
		field(p, text.Red, title, fmt.Sprintf("%s: %s", text.Fold(g.hosts, 100), g.reason))
	}
}

// maxReasons bounds the reasons that are shown: each may take some lines of a narrow terminal.
const maxReasons = 6

// failure is why some hosts failed.
type failure struct {
	reason string
	hosts  []string
}

// groupFailures returns the hosts that failed, for good or not, by reason, the most frequent first.
func groupFailures(hosts []rollout.HostReport) []failure {
	var groups []failure
	place := map[string]int{} // of a reason in groups
	for _, h := range hosts {
		if h.Standing != rollout.Failed && h.Standing != rollout.Waiting {
			continue
		}
		// The same trouble on two hosts differs in their names only.
		reason := text.Short(orElse(h.Error, "no reason is known"), 200)
		alike := strings.ReplaceAll(reason, h.Host, "HOST")
		i, known := place[alike]
		if !known {
			place[alike] = len(groups)
			groups = append(groups, failure{reason, []string{h.Host}})
			continue
		}
		groups[i].reason = alike
		groups[i].hosts = append(groups[i].hosts, h.Host)
	}
	slices.SortFunc(groups, func(a, b failure) int {
		return cmp.Or(cmp.Compare(len(b.hosts), len(a.hosts)), strings.Compare(a.reason, b.reason))
	})
	return groups
}
