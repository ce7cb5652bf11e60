package report

import (
	"fmt"
	"strings"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// span is stages that are shown as one line: a single one, or many batches alike.
type span struct{ from, to int }

// Of a long row of batches, the first ones and the last are shown each.
const shownBatches = 3

const stageWidth = 18 // columns: batch 1001 of 1001

// spans returns the stages as they are shown: a fleet in a thousand batches still fits a screen.
func spans(stages []rollout.Stage) []span {
	var spans []span
	for i := 0; i < len(stages); {
		n := i
		for n < len(stages) && batch(stages[n]) {
			n++
		}
		if n == i {
			n = i + 1
		}
		for j := i; j < n; {
			to := j + 1
			if j == i+shownBatches && n-j > 2 {
				to = n - 1
			}
			spans = append(spans, span{j, to})
			j = to
		}
		i = n
	}
	return spans
}

// batch says whether a stage is one of the fleet's.
func batch(s rollout.Stage) bool {
	return !s.Origin && (s.Kind == rollout.StageSync || s.Kind == rollout.StageUndo && !strings.HasPrefix(s.Name, "canar"))
}

// stages says for each stage how many of its hosts stand where.
func (v *view) stages(p *text.Printer) {
	head := "stages"
	for _, s := range spans(v.plan.Stages) {
		first := v.plan.Stages[s.from]
		switch first.Kind {
		case rollout.StageSync, rollout.StageUndo:
		case rollout.StageCheck, rollout.StageDepool, rollout.StageRepool, rollout.StageHook:
			continue // the gate and the pools have lines of their own
		}
		name := text.Short(first.Name, 30)
		if s.to-s.from > 1 {
			name = fmt.Sprintf("%s more batches", text.Count(s.to-s.from))
		}
		hosts, tally, moving := 0, map[rollout.Standing]int{}, 0
		for _, stage := range v.plan.Stages[s.from:s.to] {
			for _, host := range stage.Hosts {
				hosts++
				if v.unhooked[host] && v.standing[host] == rollout.Syncing {
					moving++
					continue
				}
				tally[v.standing[host]]++
			}
		}
		did, failed := tally[rollout.Synced]+tally[rollout.Partial], tally[rollout.Failed]
		if first.Kind == rollout.StageUndo {
			did = tally[rollout.RolledBack]
		}
		colour, said := text.Plain, fmt.Sprintf("%s of %s %s", text.Count(did), text.Count(hosts), v.verb())
		if n := tally[rollout.RolledBack]; n > 0 && first.Kind == rollout.StageSync {
			said += fmt.Sprintf(", %s rolled back", text.Count(n))
		}
		if failed > 0 {
			colour = text.Red
			said += fmt.Sprintf(", %s failed", text.Count(failed))
		}
		if n := tally[rollout.Syncing]; n > 0 && v.phase == running {
			said += fmt.Sprintf(", %s in flight", text.Count(n))
		} else if n > 0 {
			said += fmt.Sprintf(", %s unknown", text.Count(n))
		}
		if moving > 0 && v.phase == running {
			said += fmt.Sprintf(", %s in their hooks", text.Count(moving))
		} else if moving > 0 {
			said += fmt.Sprintf(", %s without their hooks", text.Count(moving))
		}
		field(p, colour, head, text.Pad(name, stageWidth)+"  "+said)
		head = ""
	}
}
