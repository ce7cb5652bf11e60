package live

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vbauerster/mpb/v8/decor"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// maxTransfers bounds the transfers that are shown one by one.
const maxTransfers = 8

// frame is one picture of a story.
type frame struct {
	*story

	pen   *pen
	width int
	now   time.Time
	lines []string
}

// draw makes the lines, of which the first ones matter most.
func (f *frame) draw(rows int) {
	f.top()
	if f.place < 0 {
		return
	}
	var below frame // what is to be seen however many transfers there are
	below.story, below.pen, below.width, below.now = f.story, f.pen, f.width, f.now
	below.holding()
	below.whole()
	f.doing(rows - 1 - len(below.lines))
	f.lines = append(f.lines, below.lines...)
}

// line adds a line of clean parts, cut to the width of the terminal.
func (f *frame) line(parts ...text.Part) {
	left := f.width
	var line strings.Builder
	for _, part := range parts {
		s := text.Truncate(part.Text, max(0, left))
		left -= text.Width(s)
		line.WriteString(f.pen.paint(part.Colour, s))
	}
	f.lines = append(f.lines, line.String())
}

func indented(c text.Colour, s string) text.Part { return text.Part{Colour: c, Text: "  " + s} }

// Columns of the top line.
const (
	minBar = 10
	maxBar = 44
)

// top is the bar of the current stage.
func (f *frame) top() {
	title, current, refill, total, after := f.stage()
	if f.stopping != "" && f.undoing == 0 && f.hooks.moment == "" {
		title = "stopping"
	}
	title = text.Pad(text.Short(title, 24), 14)
	room := f.width - text.Width(title) - 1 - 2 - text.Width(after)
	bar := min(room, maxBar)
	if bar < minBar || total <= 0 {
		f.line(text.Part{Colour: text.Bold, Text: title}, text.Part{Colour: text.Plain, Text: "  " + after})
		return
	}
	var drawn strings.Builder
	// Nothing that is drawn into a string can fail.
	_ = f.pen.bar.Fill(&drawn, decor.Statistics{
		AvailableWidth: bar, Total: total, Current: min(current, total), Refill: min(refill, total), Completed: current >= total,
	})
	f.lines = append(f.lines, f.pen.paint(text.Bold, title)+" "+drawn.String()+"  "+after)
}

// stage returns what the bar shows and what is written after it.
func (f *frame) stage() (title string, current, refill, total int64, after string) {
	if f.hooks.moment != "" {
		return f.hooks.moment + " hooks", 0, 0, 0, "runs for " + text.Time(f.now.Sub(f.hooks.since).Round(time.Second))
	}
	if f.place < 0 || f.place >= len(f.stages) {
		return "finishing", 0, 0, 0, ""
	}
	stage, c := f.plan.Stages[f.place], f.stages[f.place]
	elapsed := f.now.Sub(c.began)
	if f.undoing > 0 && f.plan.Undoes == "" {
		c := f.canaries()
		settled := len(f.undone) + c.failed
		return "rolling back", int64(settled), int64(c.failed), int64(c.total), fmt.Sprintf("%s/%s", text.Count(settled), text.Count(c.total))
	}
	switch stage.Kind {
	case rollout.StageSync, rollout.StageUndo:
		settled := c.done + c.failed
		after = fmt.Sprintf("%s/%s", text.Count(settled), text.Count(c.total))
		if c.failed > 0 {
			after += fmt.Sprintf("  %s failed", text.Count(c.failed))
		}
		if settled > 0 && elapsed > time.Second {
			rate := float64(settled) / elapsed.Seconds()
			after += fmt.Sprintf("  %.1f/s", rate)
			if left := c.total - settled; left > 0 && f.stopping == "" {
				after += fmt.Sprintf("  %s left", text.Time(time.Duration(float64(left)/rate*float64(time.Second)).Round(time.Second)))
			}
		}
		return stage.Name, int64(settled), int64(c.failed), int64(c.total), after
	case rollout.StageCheck:
		soak := time.Duration(f.plan.Gate.Soak)
		if soak <= 0 {
			return stage.Name, 0, 0, 0, "checking"
		}
		after = "soak over"
		if left := soak - elapsed; left > 0 {
			after = fmt.Sprintf("soak %s left", text.Time(left.Round(time.Second)))
		}
		return stage.Name, int64(elapsed), 0, int64(soak), after
	case rollout.StageDepool:
		return stage.Name, int64(len(f.held)), 0, int64(c.total), fmt.Sprintf("%d/%d out", len(f.held), c.total)
	case rollout.StageRepool:
		back := max(0, c.total-len(f.held))
		return stage.Name, int64(back), 0, int64(c.total), fmt.Sprintf("%d/%d back", back, c.total)
	default:
		return stage.Name, 0, 0, 0, ""
	}
}

// doing shows what is in flight, in at most so many lines.
func (f *frame) doing(rows int) {
	if f.place < len(f.stages) && f.plan.Stages[f.place].Kind == rollout.StageCheck {
		f.checks(rows)
		rows -= len(f.plan.Gate.Checks)
	}
	if len(f.pools) > 0 && rows > 0 {
		f.poolSteps()
		rows--
	}
	if s := f.hooks.said(); s != "" && rows > 0 {
		f.line(indented(text.Plain, s))
		rows--
	}
	if rows > 0 {
		f.transfers(rows)
	}
}

// canaries returns the books of their stage.
func (f *frame) canaries() chapter {
	for i, stage := range f.plan.Stages {
		if stage.Kind == rollout.StageSync {
			return f.stages[i]
		}
	}
	return chapter{}
}

// checks shows the last round of each check.
func (f *frame) checks(rows int) {
	for i, check := range f.plan.Gate.Checks {
		if i >= rows {
			return
		}
		if i == maxTransfers {
			f.line(indented(text.Dim, fmt.Sprintf("and %d more checks", len(f.plan.Gate.Checks)-i)))
			return
		}
		r := f.rounds[checkStep(check)]
		colour, said := text.Dim, "waits"
		switch r.verdict {
		case rollout.Pass:
			colour, said = text.Green, "pass"
		case rollout.Fail:
			colour, said = text.Red, "fail"
		case rollout.Unknown:
			colour, said = text.Amber, "unknown"
		default:
			if r.number > 0 {
				said = "unknown yet"
			}
		}
		state := ""
		if r.running {
			state = fmt.Sprintf(", round %d runs", r.number)
		} else if r.number > 0 {
			state = fmt.Sprintf(" in round %d", r.number)
		}
		f.line(indented(text.Plain, text.Pad(text.Short(check, 30), 16)+"  "), text.Part{Colour: colour, Text: said}, text.Part{Colour: text.Dim, Text: state})
	}
}

// poolSteps shows the pool objects that are being read or changed.
func (f *frame) poolSteps() {
	steps := make([]string, 0, len(f.pools))
	for _, id := range f.pools {
		steps = append(steps, text.Short(string(id), maxName))
	}
	slices.Sort(steps)
	shown := steps[:min(len(steps), maxTransfers)]
	s := strings.Join(shown, "  ")
	if more := len(steps) - len(shown); more > 0 {
		s += fmt.Sprintf("  and %d more", more)
	}
	f.line(indented(text.Plain, s))
}

// transfers shows those that have been running longest, and counts the others.
func (f *frame) transfers(rows int) {
	type entry struct {
		host string
		*flight
	}
	all := make([]entry, 0, len(f.flights))
	for host, flight := range f.flights {
		all = append(all, entry{host, flight})
	}
	slices.SortFunc(all, func(a, b entry) int {
		return cmp.Or(a.since.Compare(b.since), strings.Compare(a.host, b.host))
	})
	n := min(len(all), maxTransfers, rows)
	if n < len(all) && n == rows {
		n-- // for the line that counts the others
	}
	hosts, sources := 0, 0
	for _, t := range all[:n] {
		hosts, sources = max(hosts, text.Width(name(t.host))), max(sources, text.Width(name(t.source)))
	}
	// Names give way to numbers on a narrow terminal.
	names := max(8, (f.width-2-4-26)/2)
	hosts, sources = min(hosts, names), min(sources, names)
	for _, t := range all[:n] {
		moved := strings.Repeat(" ", 13)
		if t.known {
			moved = fmt.Sprintf("%3d%%  %8s", min(max(t.percent, 0), 100), text.Bytes(max(t.bytes, 0)))
		}
		more := ""
		if t.attempt > 1 {
			more = fmt.Sprintf("  attempt %d", t.attempt)
		}
		f.line(
			indented(text.Plain, text.Pad(text.Short(t.host, hosts), hosts)),
			text.Part{Colour: text.Dim, Text: " " + f.pen.arrow + " " + text.Pad(text.Short(t.source, sources), sources)},
			text.Part{Colour: text.Plain, Text: fmt.Sprintf("  %s  %6s", moved, text.Time(f.now.Sub(t.since).Round(time.Second)))},
			text.Part{Colour: text.Amber, Text: more},
		)
	}
	if more := len(all) - n; more > 0 {
		f.line(indented(text.Dim, fmt.Sprintf("and %s more in flight", text.Count(more))))
	}
}

// holding names the proxies that are out of their pools, and the hosts that stay out.
func (f *frame) holding() {
	if len(f.held) > 0 {
		f.line(indented(text.Amber, "out of their pools: "+text.Fold(f.held, maxFold)))
	}
	if len(f.quarantined) > 0 {
		f.line(indented(text.Red, "in quarantine: "+text.Fold(f.quarantined, maxFold)))
	}
}

// whole is where the run as a whole stands.
func (f *frame) whole() {
	failed := 0
	for _, c := range f.stages {
		failed += c.failed
	}
	s := fmt.Sprintf("%s of %s %s%s", text.Count(f.did()), text.Hosts(len(f.stageOf)), f.verb(), f.taken())
	if failed > 0 {
		s += fmt.Sprintf(", %s failed", text.Count(failed))
	}
	if f.bytes > 0 {
		s += ", " + text.Bytes(f.bytes)
	}
	s += ", " + text.Time(f.now.Sub(f.began).Round(time.Second))
	f.line(indented(text.Dim, fmt.Sprintf("stage %d of %d, %s", min(f.place+1, len(f.stages)), len(f.stages), s)))
}
