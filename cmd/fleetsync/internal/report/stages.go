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

// spans returns so many stages as they are shown: a fleet in a thousand batches still fits a screen.
func spans(stages int, batch func(place int) bool) []span {
	var spans []span
	for i := 0; i < stages; {
		n := i
		for n < stages && batch(n) {
			n++
		}
		n = max(n, i+1)
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

// stages says for each stage how many of its hosts stand where.
func (v *view) stages(p *text.Printer) {
	head, inHooks := "stages", "without their hooks"
	if v.running {
		inHooks = "in their hooks"
	}
	for _, s := range spans(len(v.Now.Stages), func(place int) bool { return v.Now.Stages[place].Batch }) {
		first := v.Now.Stages[s.from]
		switch first.Kind {
		case rollout.StageSync, rollout.StageUndo:
		case rollout.StageCheck, rollout.StageDepool, rollout.StageRepool, rollout.StageHook:
			continue // the gate and the pools have lines of their own
		}
		name := text.Short(first.Name, 30)
		if s.to-s.from > 1 {
			name = fmt.Sprintf("%s more batches", text.Count(s.to-s.from))
		}
		var c rollout.Counts
		for _, stage := range v.Now.Stages[s.from:s.to] {
			c = c.Plus(stage.Counts)
		}
		did, back := c.Synced+c.Partial, c.RolledBack
		if first.Kind == rollout.StageUndo {
			did, back = back, 0
		}
		colour, said := text.Plain, fmt.Sprintf("%s of %s %s", text.Count(did), text.Count(c.Hosts), v.verb())
		if c.Failed > 0 {
			colour = text.Red
		}
		more := counted([]tally{
			{back, "rolled back"}, {c.Failed, "failed"}, {c.Syncing, "in flight"}, {c.Unknown, "unknown"}, {c.InHooks, inHooks},
		}, numberFirst)
		field(p, colour, head, text.Pad(name, stageWidth)+"  "+strings.Join(append([]string{said}, more...), ", "))
		head = ""
	}
}
