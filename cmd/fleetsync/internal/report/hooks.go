package report

import (
	"strings"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// without returns the hosts that have the tree, and whose post hooks are not done: they failed, or they are still to be done.
func (v *view) without() map[string]bool {
	hosts := map[string]bool{}
	for _, h := range v.hosts {
		if h.Standing == rollout.InHooks || h.Standing == rollout.Failed && (h.Hooks == rollout.HooksFailed || h.Hooks == rollout.HooksSkipped) {
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
		said := n.Detail
		switch {
		case n.Host == "" && n.Moment == rollout.MomentPre && v.outcome.Halt == rollout.HaltHook: // the headline says it
			continue
		case n.Host == "" && n.Moment != "":
			field(p, text.Amber, "hooks", text.Short(string(n.Moment)+": "+said, maxWhy))
			continue
		case n.Host == "":
			field(p, text.Amber, "hooks", text.Short(said, maxWhy))
			continue
		case v.unhooked[n.Host] && n.Moment == rollout.MomentPost:
			continue
		case n.Moment == rollout.MomentPost:
			said = "after its sync: " + said
		case n.Moment == rollout.MomentOnFailure:
			said = "after its failure: " + said
		}
		hosts.add(n.Host, said)
	}
	hosts.print(p, text.Amber, "hooks")
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
