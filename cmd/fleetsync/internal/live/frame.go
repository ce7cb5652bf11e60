package live

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// maxTransfers bounds the transfers that are shown one by one.
const maxTransfers = 8

// frame returns the lines that show where a run stands now, at most so many, each at most so many columns wide; none before its first
// event.
func frame(s *rollout.Snapshot, now time.Time, width, rows int, p *pen) []string {
	if s == nil {
		return nil
	}
	below := picture{Snapshot: s, now: now, width: width, pen: p} // what is to be seen however many transfers there are
	below.out()
	below.whole()
	f := picture{Snapshot: s, now: now, width: width, pen: p}
	f.top()
	f.doing(rows - 1 - len(below.lines))
	f.lines = append(f.lines, below.lines...)
	return f.lines[:min(len(f.lines), rows)]
}

// picture is a frame being made.
type picture struct {
	*rollout.Snapshot

	now   time.Time
	width int
	pen   *pen
	lines []string
}

// line adds a line of clean parts, cut to the width of the terminal.
func (f *picture) line(parts ...text.Part) {
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

// since is how long ago a moment was, in whole seconds.
func (f *picture) since(t time.Time) string { return text.Time(f.now.Sub(t).Round(time.Second)) }

// gauge is what the top line shows: a bar, where there is a total, and what is written around it.
type gauge struct {
	title               string
	over, failed, total int64
	after               string
}

// part is the gauge of so many of a total.
func part(title string, n, total int, what string) gauge {
	return gauge{title: title, over: int64(n), total: int64(total), after: text.Count(n) + "/" + text.Count(total) + what}
}

// top draws the gauge of what the run is about just now.
func (f *picture) top() {
	const minBar, maxBar = 10, 44
	g := f.gauge()
	if f.Stopping != "" && f.Hook == nil && !f.RollingBack {
		g.title = "stopping"
	}
	title := text.Pad(text.Short(g.title, 24), 14)
	columns := min(f.width-text.Width(title)-1-2-text.Width(g.after), maxBar)
	if columns < minBar || g.total <= 0 {
		f.line(text.Part{Colour: text.Bold, Text: title}, text.Part{Text: "  " + g.after})
		return
	}
	f.lines = append(f.lines, f.pen.paint(text.Bold, title)+" "+f.pen.bar(columns, g.over, g.failed, g.total)+"  "+g.after)
}

func (f *picture) gauge() gauge {
	switch {
	case f.Hook != nil:
		return gauge{title: string(f.Hook.Moment) + " hooks", after: "runs for " + f.since(f.Hook.Since)}
	case f.RollingBack:
		return part("rolling back", f.Canaries().RolledBack, f.Canaries().Hosts, "")
	case f.Place == len(f.Stages):
		return gauge{title: "finishing"}
	}
	switch stage := f.Stages[f.Place]; stage.Kind {
	case rollout.StageSync, rollout.StageUndo:
		return f.hosts(stage)
	case rollout.StageCheck:
		g := gauge{title: stage.Name, over: int64(f.now.Sub(f.Gate.Opened)), total: int64(f.Gate.SoakEnd.Sub(f.Gate.Opened)), after: "soak over"}
		if left := f.Gate.SoakEnd.Sub(f.now); g.total == 0 {
			g.after = "checking"
		} else if left > 0 {
			g.after = "soak " + text.Time(left.Round(time.Second)) + " left"
		}
		return g
	case rollout.StageDepool:
		return part(stage.Name, len(f.Out), stage.Hosts, " out")
	case rollout.StageRepool:
		back := f.PoolsIn(rollout.PoolBack)
		return part(stage.Name, back, back+len(f.Held), " back")
	case rollout.StageHook:
		return gauge{title: stage.Name}
	default:
		return gauge{title: stage.Name}
	}
}

// hosts is the gauge of a stage that changes hosts: how many are at their end, how fast, and how long the others will take at that.
func (f *picture) hosts(stage *rollout.StageReport) gauge {
	c := stage.Counts
	over := f.Done(c) + c.Failed
	g := part(stage.Name, over, c.Hosts, "")
	if g.failed = int64(c.Failed); c.Failed > 0 {
		g.after += fmt.Sprintf("  %s failed", text.Count(c.Failed))
	}
	left, elapsed := c.Hosts-over, f.now.Sub(stage.Began)
	if n := stage.Left - left; n > 0 && elapsed > time.Second { // what was done before it began says nothing of how fast it is
		rate := float64(n) / elapsed.Seconds()
		g.after += fmt.Sprintf("  %.1f/s", rate)
		if left > 0 && f.Stopping == "" {
			g.after += fmt.Sprintf("  %s left", text.Time(time.Duration(float64(left)/rate*float64(time.Second)).Round(time.Second)))
		}
	}
	return g
}

// doing shows what is in flight, in at most so many lines.
func (f *picture) doing(rows int) {
	if f.Place < len(f.Stages) && f.Stages[f.Place].Kind == rollout.StageCheck {
		for _, c := range f.Gate.Checks[:min(len(f.Gate.Checks), max(0, rows))] {
			f.check(c)
		}
	}
	var steps []string
	for _, r := range f.Flights(rollout.StepObserve, rollout.StepDepool, rollout.StepRepool, rollout.StepQuarantine, rollout.StepRelease) {
		steps = append(steps, text.Short(string(r.Step), maxName))
	}
	slices.Sort(steps)
	for _, s := range []string{strings.Join(steps, "  "), f.hooksOfHosts()} {
		if s != "" && len(f.lines) <= rows {
			f.line(indented(text.Plain, s))
		}
	}
	if left := rows + 1 - len(f.lines); left > 0 {
		f.transfers(left)
	}
}

var verdictColours = map[rollout.Verdict]text.Colour{rollout.Pass: text.Green, rollout.Fail: text.Red, rollout.Unknown: text.Amber}

// check shows the last round of a check.
func (f *picture) check(c rollout.CheckReport) {
	said, round := string(c.Verdict), fmt.Sprintf(" in round %d", c.Round)
	switch {
	case c.Round == 0:
		said, round = "waits", ""
	case c.Verdict == "":
		said = "unknown yet"
	}
	if c.Running {
		round = fmt.Sprintf(", round %d runs", c.Round)
	}
	colour, known := verdictColours[c.Verdict]
	if !known {
		colour = text.Dim
	}
	title := indented(text.Plain, text.Pad(text.Short(c.Check, 30), 16)+"  ")
	f.line(title, text.Part{Colour: colour, Text: said}, text.Part{Colour: text.Dim, Text: round})
}

// hooksOfHosts says how many hooks of hosts run and wait; empty if none do.
func (f *picture) hooksOfHosts() string {
	var parts []string
	post, onFailure := len(f.Flights(rollout.StepPost)), len(f.Flights(rollout.StepOnFailure))
	if wait := f.Counts.InHooks - post; wait > 0 {
		parts = append(parts, fmt.Sprintf("post hooks: %s run, %s wait", text.Count(post), text.Count(wait)))
	} else if post > 0 {
		parts = append(parts, fmt.Sprintf("post hooks: %s run", text.Count(post)))
	}
	if onFailure > 0 {
		parts = append(parts, fmt.Sprintf("on_failure hooks: %s run", text.Count(onFailure)))
	}
	return strings.Join(parts, "; ")
}

// sourceOf is where a transfer takes the tree from: a host that is rolled back takes it from itself.
func sourceOf(r *rollout.Flight) string {
	if r.Kind == rollout.StepRollback {
		return "what it kept"
	}
	return r.Source
}

// transfers shows those that have been running longest, and counts the others.
func (f *picture) transfers(rows int) {
	all := f.Flights(rollout.StepSync, rollout.StepRollback)
	n := min(len(all), maxTransfers, rows)
	if n < len(all) && n == rows {
		n-- // for the line that counts the others
	}
	hosts, sources := 0, 0
	for _, r := range all[:n] {
		hosts, sources = max(hosts, text.Width(name(r.Host))), max(sources, text.Width(name(sourceOf(r))))
	}
	names := max(8, (f.width-2-4-26)/2) // which give way to numbers on a narrow terminal
	hosts, sources = min(hosts, names), min(sources, names)
	for _, r := range all[:n] {
		moved, more := strings.Repeat(" ", 13), ""
		if t := r.Transfer; t != nil {
			moved = fmt.Sprintf("%3d%%  %8s", min(max(t.Percent, 0), 100), text.Bytes(max(t.Bytes, 0)))
		}
		if r.Attempt > 1 {
			more = fmt.Sprintf("  attempt %d", r.Attempt)
		}
		f.line(
			indented(text.Plain, text.Pad(text.Short(r.Host, hosts), hosts)),
			text.Part{Colour: text.Dim, Text: " " + f.pen.arrow + " " + text.Pad(text.Short(sourceOf(r), sources), sources)},
			text.Part{Text: fmt.Sprintf("  %s  %6s", moved, f.since(r.Since))},
			text.Part{Colour: text.Amber, Text: more},
		)
	}
	if more := len(all) - n; more > 0 {
		f.line(indented(text.Dim, fmt.Sprintf("and %s more in flight", text.Count(more))))
	}
}

// out names the proxies that are out of their pools, and the hosts that stay out.
func (f *picture) out() {
	if len(f.Out) > 0 {
		f.line(indented(text.Amber, "out of their pools: "+text.Fold(f.Out, maxFold)))
	}
	var quarantined []string
	for _, n := range f.Outcome.Quarantined {
		quarantined = append(quarantined, n.Host)
	}
	if len(quarantined) > 0 {
		f.line(indented(text.Red, "in quarantine: "+text.Fold(quarantined, maxFold)))
	}
}

// whole is where the run as a whole stands.
func (f *picture) whole() {
	s := fmt.Sprintf("stage %d of %d, %s", min(f.Place+1, len(f.Stages)), len(f.Stages),
		did(f.Snapshot, f.Counts, f.Counts.Hosts-f.Counts.Down))
	if f.Counts.Failed > 0 {
		s += fmt.Sprintf(", %s failed", text.Count(f.Counts.Failed))
	}
	if f.Outcome.Bytes > 0 {
		s += ", " + text.Bytes(f.Outcome.Bytes)
	}
	f.line(indented(text.Dim, s+", "+f.since(f.Began)))
}
