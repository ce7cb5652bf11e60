package preflight

import (
	"slices"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// backups tells the plan of a rollback which hosts the run has changed that can be put back, and the masters that it has changed too.
// A host that kept nothing is a reason to refuse: people must know that not all will be as it was.
func (j *judgement) backups() error {
	f, r := j.facts, j.request
	if f.Undone == nil {
		return missing(Question{Topic: TopicUndone, Run: r.Undoes})
	}
	if err := f.Undone.Err; err != nil {
		return refuse(HistoryUnread, "%w", err)
	}
	was := f.Undone.Value
	if was.Plan.Undoes != "" {
		return refuse(IsRollback, "run %s is a rollback itself", was.Plan.Run)
	}
	selected, err := selection(f.Fleet, r.Limit)
	if err != nil {
		return err
	}
	if f.Known == nil {
		return missing(Question{Topic: TopicKnown})
	}
	if err := f.Known.Err; err != nil {
		return refuse(HistoryUnread, "%w", err)
	}
	backup := map[string]bool{}
	for _, h := range was.Plan.Hosts {
		backup[h.Name] = h.Keep
	}
	var names, without, since []string
	later := "" // the newest run that has changed one of the hosts since
	for _, h := range was.Report() {
		_, known := f.Fleet.Host(h.Host)
		_, master := f.Fleet.Master(h.Host)
		run := f.Known.Value.Trees.Of(h.Host).Run
		switch {
		case h.Standing == rollout.Untouched, h.Standing == rollout.Down, h.Standing == rollout.RolledBack, !known:
		case r.Limit != "" && !slices.Contains(selected, h.Host):
		case master:
			j.plan.Left = append(j.plan.Left, rollout.Left{Host: h.Host, Reason: "a master: " + r.Command + " masters undo --on " + h.Host})
		case run > was.Plan.Run: // names of runs begin with their time
			since, later = append(since, h.Host), max(later, run)
		case backup[h.Host]:
			names = append(names, h.Host)
		default:
			without = append(without, h.Host)
		}
	}
	switch {
	case len(since) > 0:
		refusal := refuse(Overtaken, "run %s has changed %d hosts since run %s: %.300s",
			later, len(since), was.Plan.Run, inventory.FoldNames(since))
		refusal.Run, refusal.Hosts = later, since
		return refusal
	case len(without) > 0:
		refusal := refuse(NoBackup, "%d hosts have kept nothing of what run %s replaced: %.300s",
			len(without), was.Plan.Run, inventory.FoldNames(without))
		refusal.Run, refusal.Hosts, refusal.Others = was.Plan.Run, without, names
		return refusal
	case len(names) == 0:
		refusal := refuse(NoChange, "run %s has left no host changed that could be rolled back", was.Plan.Run)
		refusal.Run = was.Plan.Run
		return refusal
	}
	j.plan.Selection = names
	return nil
}

// undo tells the plan before which run a master's tree is put back.
func (j *judgement) undo() error {
	r := j.request
	if j.facts.Undo == nil {
		return missing(Question{Topic: TopicUndo, Hosts: []string{r.To}, Run: r.Undoes})
	}
	if err := j.facts.Undo.Err; err != nil {
		return refuse(CannotUndo, "%s: %w", r.To, err)
	}
	j.Undo = &j.facts.Undo.Value
	j.plan.Selection, j.plan.Undoes = []string{r.To}, j.Undo.Run
	return nil
}
