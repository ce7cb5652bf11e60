package live

import "github.com/fleetsync/fleetsync/orchestrator/rollout"

// view answers what the messages ask of a snapshot.
type view struct{ *rollout.Snapshot }

func (v view) Stage() (rollout.Stage, int, bool) {
	if v.Place == len(v.Plan.Stages) {
		return rollout.Stage{}, v.Place, false
	}
	return v.Plan.Stages[v.Place], v.Place, true
}

func (v view) Host(name string) (rollout.HostReport, bool) { return v.Hosts.Get(name) }
