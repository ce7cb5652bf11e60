package execute

import (
	"cmp"
	"context"
	"fmt"
	"regexp"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/checks"
	"github.com/fleetsync/fleetsync/orchestrator/fanout"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/transport"
)

// probesAtOnce is how many canaries one check asks at once.
const probesAtOnce = 32

// check probes every canary once. Its verdict is the worst of theirs.
func (x *Executor) check(ctx context.Context, step rollout.Step) rollout.Event {
	if step.Check == rollout.SoakCheck && !x.configured(step.Check) {
		return rollout.Event{Kind: rollout.StepDone, Verdict: rollout.Pass}
	}
	canaries := make([]inventory.Host, len(step.Hosts))
	for i, name := range step.Hosts {
		var err error
		if canaries[i], err = x.Hosts.Host(name); err != nil {
			return failure(rollout.Permanent, err)
		}
	}
	for _, c := range x.Checks {
		if c.Name != step.Check {
			continue
		}
		results := make([]checks.Result, len(canaries))
		fanout.Each(ctx, probesAtOnce, canaries, func(ctx context.Context, i int, host inventory.Host) {
			results[i] = x.probe(ctx, c, host)
		})
		if stopped(ctx) {
			return failure(rollout.Stopped, context.Cause(ctx))
		}
		return judge(canaries, results)
	}
	return failure(rollout.Permanent, fmt.Errorf("check %q is in the plan, but not in the policy any more", step.Check))
}

func (x *Executor) configured(check string) bool {
	for _, c := range x.Checks {
		if c.Name == check {
			return true
		}
	}
	return false
}

// judge sums up what canaries said: the worst verdict, the first host that gave it and how many did.
func judge(canaries []inventory.Host, results []checks.Result) rollout.Event {
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
			e.Detail = canaries[i].Name + ": " + r.Detail
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
func (x *Executor) probe(ctx context.Context, c inventory.Check, host inventory.Host) checks.Result {
	if c.HTTP != nil {
		p, err := httpProbe(*c.HTTP, host)
		if err != nil {
			return checks.Result{Verdict: checks.Unknown, Detail: err.Error()}
		}
		p.Timeout = c.Timeout
		return p.Probe(ctx)
	}
	conn, err := cmp.Or(x.Canaries, x.Hosts).Dial(host.Name)
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

// httpProbe returns the probe of a configured HTTP check for one host.
func httpProbe(c inventory.HTTPCheck, host inventory.Host) (checks.HTTP, error) {
	p := checks.HTTP{
		URL: checks.Expand(c.URL, host.Name, host.Destination), Headers: map[string]string{},
		Status: c.Status, Latency: c.Latency,
	}
	for name, value := range c.Headers {
		p.Headers[name] = checks.Expand(value, host.Name, host.Destination)
	}
	if c.Body != "" {
		body, err := regexp.Compile(c.Body)
		if err != nil {
			return p, fmt.Errorf("body pattern: %w", err)
		}
		p.Body = body
	}
	return p, nil
}
