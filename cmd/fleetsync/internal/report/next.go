package report

import (
	"fmt"
	"strings"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// next says what to type now, the most urgent first.
func (v *view) next(p *text.Printer) {
	var lines []step
	say := func(command, why string) { lines = append(lines, step{command, why}) }

	out := v.names()
	if v.phase == running {
		say(v.command("status"), "look again")
	} else {
		if v.phase == died && len(out) > 0 {
			say(v.command("recover"), "put back what it left out of the pools; any master can")
			out = nil
		}
		for i, name := range out {
			if i == maxListed {
				say(v.command("show", v.plan.Run), fmt.Sprintf("names the other %s that are out", text.Hosts(len(out)-i)))
				break
			}
			say(v.command("pool repool", name), "put it back as it was, once it is fit to serve users")
		}
		v.nextRun(say)
	}
	say(v.command("show", v.plan.Run), "every host of this run")
	p.Line(text.Plain, "next")
	widest := 0
	for _, l := range lines {
		widest = max(widest, min(text.Width(l.command), maxCommand))
	}
	for _, l := range lines {
		p.Parts(text.Part{Colour: text.Bold, Text: "  " + text.Pad(l.command, widest)}, text.Part{Colour: text.Dim, Text: "  # " + l.why})
	}
}

const maxCommand = 60

// step is a line that can be pasted into a shell.
type step struct{ command, why string }

// nextRun says how the hosts that have not the tree get it.
func (v *view) nextRun(say func(command, why string)) {
	o, mode := v.outcome, string(v.plan.Mode)
	switch {
	case v.phase == died:
		say(v.command("resume", v.plan.Run), "or go on with it: what is done is not done again")
	case o.Result == rollout.ResultDone && v.plan.Mode == inventory.ModeCanary:
		say(v.rerun(string(inventory.ModeSync)), "the whole fleet: only the canaries have this tree")
	case o.Result == rollout.ResultDone:
	case o.Result == rollout.ResultFailed:
		if limit, ok := limit(v.failed()); ok {
			say(v.command(mode, append([]string{"--limit", limit}, v.from()...)...)+v.paths(), "the failed hosts again, once the reasons above are gone")
		} else {
			say(v.rerun(mode), "all again, once the reasons above are gone")
		}
	case v.gated():
		why := "mend the tree on " + text.Short(v.plan.Origin, 80) + " first: the canaries hold the bad one, nobody else does"
		if o.Gate != rollout.Fail {
			why = "see to the checks first: they could not tell whether the tree is good; only the canaries have it"
		}
		say(v.rerun(string(inventory.ModeCanary)), why)
		if v.plan.Mode == inventory.ModeCanary {
			mode = string(inventory.ModeSync)
		}
		say(v.rerun(mode), "then the whole fleet")
	case o.Result == rollout.ResultAborted:
		say(v.command("resume", v.plan.Run), "the rest of it")
	default: // halted for another reason
		say(v.command("resume", v.plan.Run), "the rest of it, once the reason above is gone")
	}
}

// gated says whether the canaries have the tree, and the gate kept it from all others.
func (v *view) gated() bool {
	for _, h := range v.hosts {
		if h.Role == rollout.RoleCanary && h.Standing != rollout.Synced && h.Standing != rollout.Partial {
			return false
		}
	}
	o := v.outcome
	return o.Result == rollout.ResultHalted && o.Gate != "" && o.Gate != rollout.Pass && v.plan.Force == ""
}

func (v *view) failed() []string {
	var names []string
	for _, h := range v.hosts {
		if h.Standing == rollout.Failed {
			names = append(names, h.Host)
		}
	}
	return names
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
	return text.Clean(s)
}

// limit returns hosts as --limit takes them, exactly; false if that would fill the screen.
func limit(names []string) (string, bool) {
	folded := inventory.FoldNames(names)
	return folded, len(folded) <= 2*maxFold
}

// quoted returns a word as a shell takes it, and nothing else: a word that is not plain is quoted.
func quoted(word string) string {
	word = text.Clean(word)
	plain := word != ""
	for _, r := range word {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:@%+=", r) {
			plain = false
		}
	}
	if plain {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
