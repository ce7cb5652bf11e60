package preflight

import "github.com/fleetsync/fleetsync/orchestrator/rollout"

// dryRunHosts returns the hosts of a plan that are asked what a sync would do to them: the canaries and the co-masters.
func dryRunHosts(draft *rollout.Plan) []string {
	var names []string
	for _, h := range draft.Hosts {
		if h.Down == "" && (h.Role == rollout.RoleCanary || h.Role == rollout.RoleMaster && h.Name != draft.Origin) {
			names = append(names, h.Name)
		}
	}
	return names
}

// delta returns what a sync would do to hosts. One that did not answer is named; the gate will judge it.
func (j *judgement) delta(names []string) *rollout.Delta {
	d := &rollout.Delta{}
	for _, name := range names {
		a := j.facts.DryRuns[name]
		if a.Err != nil {
			j.warn(WarnDryRun, "what a sync would do to %s is not known: %v", name, a.Err)
			continue
		}
		d.Hosts = append(d.Hosts, a.Value)
	}
	return d
}

// deletions holds what a sync would delete against the budget. The number that somebody has confirmed must be the right one.
func (j *judgement) deletions() error {
	r := j.request
	if r.Mode == rollout.ModeMasters && len(j.plan.Delta.Hosts) == 0 {
		refusal := refuseByGuard(NoDryRun, "%s did not say what a sync would do to it", r.To)
		refusal.Hosts = []string{r.To}
		return refusal
	}
	for _, h := range j.plan.Delta.Hosts {
		j.Deletions = max(j.Deletions, h.Delete)
	}
	j.Allowed = j.facts.Policy.Guard.MaxDelete.Of(j.plan.Tree.Files)
	j.OverBudget = j.Deletions > j.Allowed
	j.plan.Delta.Allowed, j.plan.MaxDelete = j.Allowed, j.Allowed
	if r.Confirmed >= 0 && r.Confirmed != j.Deletions {
		refusal := refuseByGuard(WrongNumber, "%d deletions were confirmed, and %d would be made", r.Confirmed, j.Deletions)
		refusal.Number = j.Deletions
		return refusal
	}
	return nil
}

// confirm takes it that the user has confirmed the deletions, if the request says so.
func (j *judgement) confirm() error {
	if j.request.Confirmed >= 0 {
		j.Verdict = j.Confirm()
	}
	return nil
}

// Confirm returns the verdict once somebody has confirmed the number of deletions.
func (v Verdict) Confirm() Verdict {
	if !v.OverBudget {
		return v
	}
	plan, delta := *v.Plan, *v.Plan.Delta
	delta.Confirmed = true
	plan.Delta, plan.Limits.MaxDelete = &delta, v.Deletions
	v.Plan, v.OverBudget = &plan, false
	return v
}

// RefuseDeletions returns the refusal of a plan that would delete more than the budget without anybody having confirmed the number.
func (v Verdict) RefuseDeletions() error {
	r := refuseByGuard(Deletions, "%d entries would be deleted on a host, and the budget is %d", v.Deletions, v.Allowed)
	r.Number, r.Delta, r.Hosts = v.Deletions, v.Plan.Delta, []string{v.Plan.Origin}
	return r
}
