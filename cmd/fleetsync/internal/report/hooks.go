package report

import (
	"strings"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// without returns the hosts that have the tree, and whose post hooks are not done: they failed, or they are still to be done.
func (v *view) without() map[string]bool {
	moved := map[string]bool{} // by what is in flight, whatever was said of them before
	for _, r := range v.State.Running() {
		switch kind, _, _ := strings.Cut(string(r.Step), "/"); rollout.StepKind(kind) {
		case rollout.StepSync, rollout.StepRollback:
			moved[r.Host] = true
		default:
		}
	}
	hosts := map[string]bool{}
	for _, h := range v.hosts {
		if (h.Standing == rollout.Failed || h.Standing == rollout.Syncing) && !moved[h.Host] && strings.HasPrefix(h.Error, rollout.ButNotWhatFollows) {
			hosts[h.Host] = true
		}
	}
	return hosts
}

// hooks tells what did not go well of what the policy has done around the run and its hosts. What made a host fail is told of
// the host.
func (v *view) hooks(p *text.Printer) {
	var hosts alikes
	for _, n := range v.outcome.Hooks {
		switch {
		case n.Host == "" && v.halted(n.Detail): // the headline says it
		case n.Host == "":
			field(p, text.Amber, "hooks", text.Short(n.Detail, maxWhy))
		case v.unhooked[n.Host] && strings.HasPrefix(n.Detail, rollout.AfterSync):
		default:
			hosts.add(n.Host, n.Detail)
		}
	}
	hosts.print(p, text.Amber, "hooks")
}

// halted says whether it is for this that the run was halted.
func (v *view) halted(detail string) bool {
	_, said, _ := strings.Cut(detail, ": ")
	return v.outcome.Result == rollout.ResultHalted && strings.HasPrefix(detail, string(rollout.MomentPre)+": ") && strings.HasSuffix(v.outcome.Why, said)
}

// hooked says what a plan does around the run and its hosts; empty if nothing.
func hooked(plan *rollout.Plan) string {
	var said []string
	if len(plan.Hooks) > 0 {
		var moments []string
		for _, m := range plan.Hooks {
			moments = append(moments, text.Short(string(m), 40))
		}
		said = append(said, and(moments)+" of the run")
	}
	post, onFailure := 0, 0
	for _, h := range plan.Hosts {
		if h.Post {
			post++
		}
		if h.OnFailure {
			onFailure++
		}
	}
	if post > 0 {
		said = append(said, "post on "+text.Hosts(post))
	}
	if onFailure > 0 {
		said = append(said, "on_failure on "+text.Hosts(onFailure))
	}
	return strings.Join(said, "; ")
}
