package preflight

import (
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/guard"
	"github.com/fleetsync/fleetsync/orchestrator/manifest"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/rsync"
)

// Verdict is what there is to be said of a request.
type Verdict struct {
	Plan     *rollout.Plan      // nil: see NoneBehind
	Manifest *manifest.Manifest // what the plan's tree holds; nil: the plan brings none
	Pools    string             // digest of what the pools say; empty: they have no part in it

	// NoneBehind is the origin, if only hosts that are behind it were asked for, and there is none.
	NoneBehind string

	Judged   string       // the host whose tree the guard has judged; empty: none
	Findings guard.Report // what it found
	Warnings []Warning

	Deletions  int  // that would be made on the host on which the most would
	OverBudget bool // that is more than the budget, and nobody has confirmed it: the run must not begin
	Allowed    int  // the budget

	Undo *Undo // what putting back a master's tree would do; nil: that was not asked for
}

// Judge decides whether a run may begin. The error is a Missing, if something must be asked first, and otherwise a Refusal,
// rollout.ErrDown or rollout.ErrNoProxyFits. With an error the verdict has what was found out until then: findings and warnings.
func Judge(f *Facts, r Request) (Verdict, error) {
	if err := Check(f.Fleet, r); err != nil {
		return Verdict{}, err
	}
	j := &judgement{facts: f, request: r, settings: f.Policy.For(r.Mode), plan: rollout.Request{
		Run: r.Run, Mode: r.Mode, Made: r.Made, Limit: r.Limit, Force: r.Force, Override: r.Override, MaxDelete: rsync.Unlimited,
	}}
	var steps []func() error
	switch {
	case r.Mode == rollout.ModeRollback:
		j.newPlan, j.plan.Undoes = rollout.NewRollback, r.Undoes
		steps = []func() error{j.otherRuns, j.hooks, j.backups, j.down, j.finish}
	case r.Mode == rollout.ModeMasters && r.From == "":
		j.newPlan = rollout.NewMasterUndo
		steps = []func() error{j.undo, j.finish}
	case r.Mode == rollout.ModeMasters:
		j.newPlan, j.plan.Origin, j.plan.Selection = rollout.NewMasterSync, r.From, []string{r.To}
		steps = []func() error{j.origin, j.space, j.deletions, j.finish, j.confirm}
	case r.Draft:
		j.newPlan = rollout.NewPlan
		steps = []func() error{j.fleet, j.proxies, j.quarantine, j.finish}
	default:
		j.newPlan = rollout.NewPlan
		steps = []func() error{
			j.otherRuns, j.fleet, j.quarantine, j.behind, j.proxies, j.down, j.origin, j.space, j.deletions, j.finish, j.confirm, j.saved,
		}
	}
	for _, step := range steps {
		if err := step(); errors.Is(err, errDecided) {
			break
		} else if err != nil {
			return j.Verdict, err
		}
	}
	return j.Verdict, nil
}

// errDecided ends the steps of a judgement early: all that was asked for is known.
var errDecided = errors.New("decided")

// judgement is a verdict on its way. Each step adds to the request that the plan is made from.
type judgement struct {
	Verdict
	facts    *Facts
	request  Request
	settings inventory.Settings
	plan     rollout.Request
	newPlan  func(*inventory.Fleet, inventory.Settings, rollout.Request) (*rollout.Plan, error)
}

func (j *judgement) warn(kind WarningKind, format string, args ...any) {
	j.Warnings = append(j.Warnings, Warning{kind, fmt.Sprintf(format, args...)})
}

// draft makes the plan of what is known so far. Who plays which part does not depend on what the tree holds.
func (j *judgement) draft() (*rollout.Plan, error) {
	plan, err := j.newPlan(j.facts.Fleet, j.settings, j.plan)
	if err != nil && !errors.Is(err, rollout.ErrNoProxyFits) && !errors.Is(err, rollout.ErrDown) {
		return nil, refuse(Unplannable, "%w", err)
	}
	return plan, err
}

// finish makes the plan.
func (j *judgement) finish() (err error) {
	j.Plan, err = j.draft()
	return err
}

// fleet takes over what was asked for of a run over the fleet.
func (j *judgement) fleet() (err error) {
	f, r := j.facts, j.request
	j.plan.From, j.plan.Origin, j.plan.Behind, j.plan.Pools = r.From, r.From, r.Behind, f.Pooled
	if len(r.Paths) > 0 { // an empty list would sync nothing
		j.plan.Paths = r.Paths
	}
	j.plan.Verify, j.plan.Keep = f.Policy.Verify, f.Policy.Retention.Hosts == inventory.KeepAll
	if p := f.Policy.Pooling; f.Pooled {
		j.plan.Quarantine, j.plan.Drain, j.plan.OnForeignEdit = p.Quarantine, p.Drain, p.OnForeignEdit
	}
	if j.plan.Selection, err = selection(f.Fleet, r.Limit); err != nil {
		return err
	}
	return j.hooks()
}

// hooks tells the plan what the policy has to be done around the run and its hosts.
func (j *judgement) hooks() (err error) {
	h := j.facts.Policy.Hooks
	for moment, hooks := range map[rollout.Moment][]inventory.Hook{
		rollout.MomentPre: h.Run.Pre, rollout.MomentPost: h.Run.Post, rollout.MomentOnFailure: h.Run.OnFailure,
	} {
		if len(hooks) > 0 {
			j.plan.Hooks = append(j.plan.Hooks, moment)
		}
	}
	slices.Sort(j.plan.Hooks)
	if j.plan.Post, err = inventory.Hooked(j.facts.Fleet, h.Hosts.Post); err == nil {
		j.plan.OnFailure, err = inventory.Hooked(j.facts.Fleet, h.Hosts.OnFailure)
	}
	if err != nil {
		return refuse(Unplannable, "%w", err)
	}
	return nil
}

// behind narrows the run to the hosts that are not known to hold what the origin holds now, or are in quarantine.
func (j *judgement) behind() error {
	if !j.request.Behind {
		return nil
	}
	request := j.plan
	request.Pools, request.Quarantined = false, nil // what the pools can spare is asked of those who are left
	draft, err := (&judgement{facts: j.facts, settings: j.settings, plan: request, newPlan: j.newPlan}).draft()
	if err != nil {
		return err
	}
	if j.facts.Origin == nil || j.facts.Known == nil {
		var questions []Question
		if j.facts.Origin == nil {
			questions = append(questions, Question{Topic: TopicOrigin, Hosts: []string{draft.Origin}})
		}
		if j.facts.Known == nil {
			questions = append(questions, Question{Topic: TopicKnown})
		}
		return missing(questions...)
	}
	if o := j.facts.Origin; o.Manifest == nil {
		return originRefusal(draft.Origin, o)
	}
	if err := j.facts.Known.Err; err != nil {
		return refuse(HistoryUnread, "%w", err)
	}
	names := behind(draft, j.facts.Fleet, j.facts.Known.Value, j.facts.Origin.Manifest.Fingerprint(), j.plan.Quarantined)
	if len(names) == 0 {
		j.NoneBehind = draft.Origin
		return errDecided
	}
	j.plan.Selection, j.plan.Limit = names, inventory.FoldNames(names)
	return nil
}

func behind(draft *rollout.Plan, fleet *inventory.Fleet, known *Known, fingerprint string, quarantined map[string]string) []string {
	var names []string
	for _, h := range draft.Hosts {
		if _, master := fleet.Master(h.Name); master {
			continue
		}
		if quarantined[h.Name] != "" || !known.Trees.Of(h.Name).Has(fingerprint) {
			names = append(names, h.Name)
		}
	}
	return names
}

// down leaves out the hosts that are not there: nobody waits for them one by one. A policy that says so has everyone tried instead. A
// plan without them may name others that stand in for them: those are asked, too.
func (j *judgement) down() error {
	if j.settings.Batches.Down != inventory.DownSkip {
		return nil
	}
	j.plan.Down = map[string]string{}
	for name, err := range j.facts.Probed {
		if err != nil {
			j.plan.Down[name] = transport.Neutral(err.Error())
		}
	}
	draft, err := j.draft()
	if err != nil {
		j.warnDown()
		return err
	}
	var ask []string
	for _, h := range draft.Hosts {
		_, known := j.facts.Fleet.Host(h.Name)
		if _, asked := j.facts.Probed[h.Name]; known && !asked && h.Name != draft.Origin { // which the guard reads
			ask = append(ask, h.Name)
		}
	}
	if len(ask) > 0 {
		questions := []Question{{Topic: TopicProbe, Hosts: ask}}
		if draft.Origin != "" && j.facts.Origin == nil { // both may take seconds, and neither needs what the other finds
			questions = append(questions, Question{Topic: TopicOrigin, Hosts: []string{draft.Origin}})
		}
		return missing(questions...)
	}
	j.warnDown()
	return nil
}

func (j *judgement) warnDown() {
	var names []string
	for name := range j.plan.Down {
		names = append(names, name)
	}
	if len(names) > 0 {
		j.warn(WarnDown, "not there, and not tried: %s", inventory.FoldNames(names))
	}
}

// warnPaths tells of paths that the origin does not have. That is no error, since a path that has vanished there is to vanish from
// the hosts; but it is how a typing error looks too.
func (j *judgement) warnPaths(origin string, m *manifest.Manifest) {
	excluded := manifest.Excluded(j.facts.Fleet.Tree.Exclude)
	for _, p := range j.plan.Paths {
		if p = path.Clean(p); m.Find(p) == nil && !excluded(p, false) && !excluded(p, true) {
			j.warn(WarnPath, "%s has no %s: hosts that have it will lose it", origin, transport.Quoted(p))
		}
	}
}
