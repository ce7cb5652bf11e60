package report

import (
	"fmt"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/transport"
)

// next says what to type now, the most urgent first.
func (v *view) next(p *text.Printer) {
	var lines []step
	say := func(command, why string) { lines = append(lines, step{command: command, why: why}) }

	out := v.outcome.Out
	if v.running {
		say(v.command("status"), "look again")
	} else {
		for _, bad := range []struct {
			hosts []rollout.Named
			tree  string
		}{{v.mixed, "a half tree"}, {v.old, "an old tree"}} {
			if len(bad.hosts) > 0 {
				say(v.selecting("pool depool", hostsOf(bad.hosts), "users may meet "+bad.tree+" there: take it out by hand, if its pools can spare it"))
			}
		}
		if v.died && len(out) > 0 {
			say(v.command("recover"), "put back what it left out of the pools; any master can")
			out = nil
		}
		for i, o := range out {
			if i == maxListed {
				say(v.command("show", v.plan.Run), fmt.Sprintf("names the other %s that are out", text.Hosts(len(out)-i)))
				break
			}
			say(v.command("pool repool", o.Host), "put it back as it was, once it is fit to serve users")
		}
		if len(v.stuck) > 0 {
			say(v.selecting("pool repool", v.stuck, "in quarantine, with a good tree: put it back, once it is fit to serve users"))
		}
		v.nextRun(say)
	}
	say(v.command("show", v.plan.Run), "every host of this run")
	if len(v.kept) > 0 && !v.running {
		command, why := v.selecting("pool repool", v.kept, "only after somebody has mended it by hand: a good sync puts it back by itself")
		lines = append(lines, step{command, why, true})
	}
	if !v.running && !v.died && v.undoable() {
		lines = append(lines, step{v.undo(), "puts back what each host had before this run", true})
	}
	p.Line(text.Plain, "next")
	widest := 0
	for _, l := range lines {
		widest = max(widest, min(text.Width(l.command), maxCommand))
	}
	for _, l := range lines {
		colour := text.Bold
		if l.minor {
			colour = text.Dim
		}
		p.Parts(text.Part{Colour: colour, Text: "  " + text.Pad(l.command, widest)}, text.Part{Colour: text.Dim, Text: "  # " + l.why})
	}
}

const maxCommand = 72

// step is a line that can be pasted into a shell.
type step struct {
	command, why string
	minor        bool // possible, and nothing that must be done
}

// nextRun says how the hosts that have not the tree get it.
func (v *view) nextRun(say func(command, why string)) {
	o, mode := v.outcome, string(v.plan.Mode)
	switch {
	case v.died && v.refused():
		say(v.command("resume", v.plan.Run), "judges the canaries again; they get back what they had before if they do not pass")
	case v.died:
		say(v.command("resume", v.plan.Run), "or go on with it: what is done is not done again")
	case v.plan.Undoes != "" || v.plan.Mode == rollout.ModeMasters:
		v.nextSmall(say)
	case o.Result == rollout.ResultDone && v.plan.Mode == inventory.ModeCanary:
		say(v.rerun(string(inventory.ModeSync)), "the whole fleet: only the canaries have this tree")
	case o.Result == rollout.ResultDone:
	case o.Result == rollout.ResultFailed && v.plan.Mode == inventory.ModeCanary:
		say(v.rerun(string(inventory.ModeSync)), "the whole fleet: only canaries have this tree")
	case o.Result == rollout.ResultFailed:
		failed, masters := v.failed()
		for _, name := range masters {
			say(v.command("masters sync", "--from", v.plan.Origin, "--to", name), "the master again, once the reason above is gone")
		}
		switch limit, ok := limit(failed); {
		case len(failed) == 0 && len(masters) == 0 && len(v.stuck) == 0:
			say(v.command("resume", v.plan.Run), "the hooks of the run again, once the reason above is gone")
		case len(failed) == 0:
		case v.whole():
			say(v.behind(), v.lagging()+", once the reasons above are gone"+v.comeBack())
		case ok:
			say(v.command(mode, append([]string{"--limit", limit}, v.from()...)...)+v.paths(), v.lagging()+", once the reasons above are gone")
		default:
			say(v.rerun(mode), "all again, once the reasons above are gone")
		}
	case v.gated():
		v.nextGate(say)
	case o.Result == rollout.ResultAborted:
		say(v.command("resume", v.plan.Run), "the rest of it")
	default: // halted for another reason
		say(v.command("resume", v.plan.Run), "the rest of it, once the reason above is gone")
		if v.whole() && !v.refused() {
			say(v.behind(), "or, if "+text.Short(v.plan.Origin, 80)+" has another tree by now: a new run, for the hosts that have it not")
		}
	}
}

// nextGate says what to do about a tree that the checks did not let pass.
func (v *view) nextGate(say func(command, why string)) {
	var back, bad, mixed []string
	keeps := false
	for h := range v.Now.Hosts.All() {
		if h.Role != rollout.RoleCanary {
			continue
		}
		switch h.Standing {
		case rollout.Down:
		case rollout.RolledBack, rollout.Untouched:
			back = append(back, h.Host)
		case rollout.Synced, rollout.Partial:
			bad = append(bad, h.Host)
			keeps = keeps || h.Keep
		case rollout.Failed, rollout.Waiting, rollout.Syncing, rollout.InHooks, rollout.Unknowable:
			mixed = append(mixed, h.Host)
		}
	}
	if keeps {
		say(v.command("rollback", v.plan.Run), "puts back what the canaries had before")
	}
	first := "mend the tree on " + text.Short(v.plan.Origin, 80) + " first: "
	if v.outcome.Gate != rollout.Fail {
		first = "see to the checks first, which could not tell whether the tree is good: "
	}
	switch {
	case len(bad)+len(mixed) == 0:
		first += "the canaries have what they had before"
	case len(mixed) > 0:
		first += text.Fold(append(mixed, bad...), 60) + " cannot be trusted before it went well"
		if len(back) > 0 {
			first += ", the other canaries have what they had before"
		}
	case v.outcome.Gate != rollout.Fail:
		first += "only the canaries have it"
	default:
		first += "the canaries hold the bad one, nobody else does"
	}
	mode := string(v.plan.Mode)
	say(v.rerun(string(inventory.ModeCanary)), first)
	if v.plan.Mode == inventory.ModeCanary {
		mode = string(inventory.ModeSync)
	}
	say(v.rerun(mode), "then the whole fleet")
}

// nextSmall is nextRun for a run that rolls back another, or that is about masters alone.
func (v *view) nextSmall(say func(command, why string)) {
	switch {
	case v.outcome.Result == rollout.ResultDone:
	case v.outcome.Result == rollout.ResultFailed:
		if down := v.hosts(rollout.Down); len(down) > 0 { // to go on with it does not try them
			say(v.selecting("rollback "+quoted(v.plan.Undoes)+" --limit", down, "whoever was down, once it is there again"))
			if v.counts.Failed == 0 {
				break
			}
		}
		say(v.command("resume", v.plan.Run), "the failed hosts again, once the reasons above are gone")
	case v.refused():
		say(v.command("resume", v.plan.Run), "judges the canaries again, which have what they had before; the others are as they were")
	default:
		say(v.command("resume", v.plan.Run), "the rest of it, once the reason above is gone")
	}
}

// refused says whether the gate did not let the run go on.
func (v *view) refused() bool {
	return v.outcome.Gate != "" && v.outcome.Gate != rollout.Pass && v.plan.Force == ""
}

// gated says whether the canaries had the tree, and the checks kept it from all others. A canary that could not be
// synced fails the gate too, and says nothing of the tree.
func (v *view) gated() bool {
	for h := range v.Now.Hosts.All() {
		if h.Role == rollout.RoleCanary && h.Standing != rollout.Synced && h.Standing != rollout.Partial && h.Stats == nil {
			return false
		}
	}
	return v.outcome.Result == rollout.ResultHalted && v.refused()
}

// whole says whether the hosts that need this run's tree can be told by what is known of every host.
func (v *view) whole() bool {
	return v.plan.Mode == inventory.ModeSync && v.plan.Tree != nil && len(v.plan.Paths) == 0
}

// behind returns the command for another run over those hosts that do not hold the origin's tree.
func (v *view) behind() string {
	return v.command("sync", append([]string{"--behind"}, v.asked()...)...)
}

// lagging says whom a run over those brings up to date that have not the tree.
func (v *view) lagging() string {
	c := v.counts
	switch {
	case c.Failed > 0 && c.Down > 0:
		return "whoever failed or was down"
	case c.Down > 0:
		return "whoever was down"
	default:
		return "whoever failed"
	}
}

// comeBack says what such a run does to those that are in quarantine.
func (v *view) comeBack() string {
	switch len(v.kept) {
	case 0:
		return ""
	case 1:
		return "; puts the one in quarantine back into its pools, too"
	default:
		return "; puts those in quarantine back into their pools, too"
	}
}

// undoable says whether the run has changed hosts, and all that it changed kept what they had.
func (v *view) undoable() bool {
	changed := false
	for h := range v.Now.Hosts.All() {
		switch h.Standing {
		case rollout.Untouched, rollout.RolledBack, rollout.Down:
		case rollout.Synced, rollout.Partial, rollout.Failed, rollout.Waiting, rollout.Syncing, rollout.InHooks, rollout.Unknowable:
			changed = true
			if !h.Keep {
				return false
			}
		}
	}
	return changed && !v.gated() // of which more has been said
}

// undo returns the command that takes the run back.
func (v *view) undo() string {
	if v.plan.Mode != rollout.ModeMasters {
		return v.command("rollback", v.plan.Run)
	}
	return v.command("masters undo", v.plan.Run, "--on", v.hosts()[0])
}

func hostsOf(named []rollout.Named) []string {
	names := make([]string, len(named))
	for i, n := range named {
		names[i] = n.Host
	}
	return names
}

// selecting returns a command over some hosts, and why it is to be typed. They must all be named: where that would fill the
// screen, it is for the person to do after a look at who they are.
func (v *view) selecting(name string, hosts []string, why string) (command, reason string) {
	if folded, ok := limit(hosts); ok {
		return v.command(name, folded), why
	}
	return v.command("show", v.plan.Run), fmt.Sprintf("names %s for fleetsync %s: %s", text.Hosts(len(hosts)), name, why)
}

// failed returns the hosts that failed, and apart from them the masters, of which no run can be made.
func (v *view) failed() (names, masters []string) {
	for _, host := range v.hosts(rollout.Failed, rollout.Down) {
		if h, _ := v.Now.Hosts.Get(host); h.Role == rollout.RoleMaster {
			masters = append(masters, host)
		} else {
			names = append(names, host)
		}
	}
	return names, masters
}

// rerun returns the command for another run over the same part of the tree.
func (v *view) rerun(mode string) string { return v.command(mode, v.asked()...) + v.paths() }

// asked returns the options that make another run one over the same hosts, from the same master.
func (v *view) asked() []string {
	var args []string
	if v.plan.Limit != "" {
		args = append(args, "--limit", v.plan.Limit)
	}
	return append(args, v.from()...)
}

func (v *view) from() []string {
	if v.plan.From == "" {
		return nil
	}
	return []string{"--from", v.plan.From}
}

// paths returns the arguments that name the run's part of the tree.
func (v *view) paths() string {
	if len(v.plan.Paths) == 0 {
		return ""
	}
	s := " --"
	for i, path := range v.plan.Paths {
		if i == maxListed {
			return " -- PATH..."
		}
		s += " " + quoted(path)
	}
	return s
}

// command returns a line for a shell. The first of words is a command of ours, taken as it is.
func (v *view) command(name string, args ...string) string {
	s := v.Command + " " + name
	for _, arg := range args {
		s += " " + quoted(arg)
	}
	return transport.Neutral(s)
}

// limit returns hosts as --limit takes them, exactly; false if that would fill the screen.
func limit(names []string) (string, bool) {
	folded := inventory.FoldNames(names)
	return folded, len(folded) <= 2*maxFold
}

// quoted returns a word as a shell takes it. What it would not print is not in it.
func quoted(word string) string { return transport.Word(transport.Neutral(word)) }
