package report

import (
	"strings"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// hooks tells what did not go well of what the policy has done around the run and its hosts. What made a host fail is told of
// the host.
func (v *view) hooks(p *text.Printer) {
	var hosts alikes
	for _, n := range v.outcome.Hooks {
		h, _ := v.Now.Hosts.Get(n.Host)
		switch {
		case n.Host == "" && n.Moment == rollout.MomentPre && v.outcome.Halt == rollout.HaltHook: // the headline says it
		case n.Host == "" && n.Moment != "":
			field(p, text.Amber, "hooks", text.Short(string(n.Moment)+": "+n.Detail, maxWhy))
		case n.Host == "":
			field(p, text.Amber, "hooks", text.Short(n.Detail, maxWhy))
		case n.Moment == rollout.MomentPost && (h.FailedHooks() || h.Standing == rollout.InHooks):
		case n.Moment == rollout.MomentPost:
			hosts.add(n.Host, "after its sync: "+n.Detail)
		case n.Moment == rollout.MomentOnFailure:
			hosts.add(n.Host, "after its failure: "+n.Detail)
		default:
			hosts.add(n.Host, n.Detail)
		}
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
	if post, _ := parts(plan, func(h rollout.Host) bool { return h.Post }); post > 0 {
		said = append(said, "post on "+text.Hosts(post))
	}
	if onFailure, _ := parts(plan, func(h rollout.Host) bool { return h.OnFailure }); onFailure > 0 {
		said = append(said, "on_failure on "+text.Hosts(onFailure))
	}
	return strings.Join(said, "; ")
}
