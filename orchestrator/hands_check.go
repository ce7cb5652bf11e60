package orchestrator

import (
	"cmp"
	"context"
	"fmt"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/checks"
	"github.com/fleetsync/fleetsync/orchestrator/fanout"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/transport"
)

// probesAtOnce is how many canaries one check asks at once.
const probesAtOnce = 32

// check probes every canary once. Its verdict is the worst of theirs.
func (h *Hands) check(ctx context.Context, step rollout.Step) rollout.Event {
	if step.Check == rollout.SoakCheck && !h.configured(step.Check) {
		return rollout.Event{Kind: rollout.StepDone, Verdict: rollout.Pass}
	}
	hosts, err := h.hosts(step.Hosts...)
	if err != nil {
		return failure(rollout.Permanent, err)
	}
	for _, c := range h.Checks {
		if c.Name != step.Check {
			continue
		}
		results := make([]checks.Result, len(hosts))
		fanout.Each(ctx, probesAtOnce, hosts, func(ctx context.Context, i int, host inventory.Host) { results[i] = h.probe(ctx, c, host) })
		if stopped(ctx) {
			return failure(rollout.Stopped, context.Cause(ctx))
		}
		return judge(hosts, results)
	}
	return failure(rollout.Permanent, fmt.Errorf("check %q is in the plan, but not in the policy any more", step.Check))
}

func (h *Hands) configured(check string) bool {
	for _, c := range h.Checks {
		if c.Name == check {
			return true
		}
	}
	return false
}

// judge sums up what canaries said: the worst verdict, the first host that gave it and how many did.
func judge(hosts []inventory.Host, results []checks.Result) rollout.Event {
	verdicts := make([]checks.Verdict, len(results))
	for i, r := range results {
		verdicts[i] = r.Verdict
	}
	worst := checks.Worst(verdicts...)
	e := rollout.Event{Kind: rollout.StepDone, Verdict: verdict(worst)}
	if worst == checks.Pass {
		return e
	}
	others := -1
	for i, r := range results {
		if r.Verdict != worst {
			continue
		}
		if others++; others == 0 {
			e.Detail = hosts[i].Name + ": " + r.Detail
		}
	}
	if others > 0 {
		e.Detail += fmt.Sprintf(" (and %d more)", others)
	}
	return e
}

func verdict(v checks.Verdict) rollout.Verdict {
	switch v {
	case checks.Pass:
		return rollout.Pass
	case checks.Fail:
		return rollout.Fail
	case checks.Unknown:
		return rollout.Unknown
	default:
		return rollout.Unknown
	}
}

// probe asks one canary.
func (h *Hands) probe(ctx context.Context, c inventory.Check, host inventory.Host) checks.Result {
	if c.HTTP != nil {
		p, err := probe(*c.HTTP, host)
		if err != nil {
			return checks.Result{Verdict: checks.Unknown, Detail: err.Error()}
		}
		p.Timeout = c.Timeout
		return p.Probe(ctx)
	}
	conn, err := h.conn(cmp.Or(h.Canaries, h.Dialer), host)
	if err != nil {
		return checks.Result{Verdict: checks.Unknown, Detail: err.Error()}
	}
	args := make([]string, len(c.Command))
	for i, arg := range c.Command {
		args[i] = checks.Expand(arg, host.Name, host.Destination)
	}
	return checks.Command{Args: args, Timeout: c.Timeout, Run: func(ctx context.Context, args []string) (int, string, error) {
		result, err := conn.Run(ctx, transport.Command{Args: args})
		return result.ExitCode, string(result.Stdout) + result.Stderr, err
	}}.Probe(ctx)
}
