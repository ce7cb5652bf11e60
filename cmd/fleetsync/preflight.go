package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report"
	"github.com/fleetsync/fleetsync/orchestrator/guard"
	"github.com/fleetsync/fleetsync/orchestrator/preflight"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/session"
	"github.com/fleetsync/fleetsync/transport"
)

// sources returns who knows the facts before a run. Without a session's configuration they know of no pools and of no shared store.
func (a *app) sources(s *setup, c *session.Config) preflight.Sources {
	sources := preflight.Sources{
		Fleet: s.fleet, Policy: s.policy, Machine: s.machine(), Balancers: s.balancers().Down, Hosts: s.asker(),
		Trees: preflight.FleetTrees{Hosts: s.asker(), Store: s.store}, History: s.history(),
	}
	if c != nil && c.Shared != nil {
		sources.Shared = c.Shared
	}
	if c != nil && c.Pools != nil {
		sources.Pools = c.Pools
	}
	return sources
}

// judge finds out whether a run may begin and what its plan is, and tells people what they must know of it. The plan is nil if there is
// nothing to do, which they have been told too.
func (a *app) judge(ctx context.Context, s *setup, c *session.Config, o runFlags) (preflight.Verdict, error) {
	facts, err := preflight.Gather(ctx, a.sources(s, c), o.Request)
	if err != nil {
		return preflight.Verdict{}, session.ErrInterrupted
	}
	v, err := preflight.Judge(facts, o.Request)
	if refusal, ok := errors.AsType[*preflight.Refusal](err); ok && refusal.Kind == preflight.BadTree && a.json {
		what := refusedView{Refused: "guard", Master: v.Judged, Refusals: v.Findings.Refusals, Warnings: v.Findings.Warnings}
		if err := printJSON(a.stdout, what); err != nil {
			return v, err
		}
	}
	report.Guard(a.stderr, v.Judged, findings(v.Findings.Refusals), findings(v.Findings.Warnings), o.Override)
	for _, w := range v.Warnings {
		a.say().Warn("%s", w.Text)
	}
	if err != nil {
		return v, a.named(s, o, err)
	}
	a.fallbacks(s)
	if v.NoneBehind != "" {
		a.say().Say("no host is behind: all hold what %s holds, as far as this machine knows", v.NoneBehind)
	}
	return v, nil
}

// named says of a refusal which flag it is about, and what to type where that depends on what was typed.
func (a *app) named(s *setup, o runFlags, err error) error {
	refusal, ok := errors.AsType[*preflight.Refusal](err)
	if !ok {
		return err
	}
	switch refusal.Kind {
	case preflight.BadSelection:
		return fmt.Errorf("--limit: %w", err)
	case preflight.UnknownMaster, preflight.UnknownSource:
		return fmt.Errorf("--from: %w", err)
	case preflight.UnknownHost:
		return fmt.Errorf("--from-host: %w", err)
	case preflight.MayNotServe:
		return withHint(err, "only who edits "+s.policy.Inventory+" can say otherwise")
	case preflight.PlanChanged, preflight.TreeChanged:
		return withHint(err, a.command()+" plan -o "+transport.Word(o.planFile))
	default:
		return err
	}
}

// refusedView is what --json tells of what the guard does not let begin.
type refusedView struct {
	Refused  string          `json:"refused"` // guard or deletions
	Master   string          `json:"master"`
	Refusals []guard.Finding `json:"refusals,omitempty"`
	Warnings []guard.Finding `json:"warnings,omitempty"`
	Delta    *rollout.Delta  `json:"delta,omitempty"`
	Confirm  int             `json:"confirm,omitempty"` // the number of deletions that would have to be confirmed
}

func findings(found []guard.Finding) []report.Finding {
	out := make([]report.Finding, len(found))
	for i, f := range found {
		out[i] = report.Finding{Rule: string(f.Rule), Path: f.Path, Text: f.Text, Hint: f.Hint}
	}
	return out
}

// confirmDeletions shows what would be deleted beyond the budget and goes on only with its exact number. Nothing answers that for
// the user, --yes least of all.
func (a *app) confirmDeletions(v preflight.Verdict) (preflight.Verdict, error) {
	if !v.OverBudget {
		return v, nil
	}
	report.Deletions(a.stderr, v.Plan)
	if a.json {
		what := refusedView{Refused: "deletions", Master: v.Plan.Origin, Delta: v.Plan.Delta, Confirm: v.Deletions}
		if err := printJSON(a.stdout, what); err != nil {
			return v, err
		}
	}
	_, _ = fmt.Fprint(a.stderr, "type the number of deletions to go on: ")
	answer, err := bufio.NewReader(a.stdin).ReadString('\n')
	typed, wrong := strconv.Atoi(strings.TrimSpace(answer))
	if err != nil && answer == "" || wrong != nil || typed != v.Deletions {
		_, _ = fmt.Fprintln(a.stderr)
		return v, v.RefuseDeletions()
	}
	return v.Confirm(), nil
}
