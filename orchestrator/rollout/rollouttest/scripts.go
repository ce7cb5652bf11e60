package rollouttest

import (
	"time"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// QuarantineAll returns the plan of a run before which some hosts are not there, one of them in quarantine, as are others, and that
// takes whoever has no good tree out of its pools.
func QuarantineAll() (*rollout.Plan, error) {
	r := Request()
	r.Quarantine = inventory.QuarantineAll
	r.Down = map[string]string{
		"mw1030.eqiad.wmnet": "ssh: connect to host mw1030.eqiad.wmnet: no route to host", "mw1031.eqiad.wmnet": "ssh: connection timed out",
		"mw1032.eqiad.wmnet": "ssh: connection timed out", "mw1033.eqiad.wmnet": "ssh: connection timed out",
	}
	r.Quarantined = map[string]string{
		"mw1033.eqiad.wmnet": "20160131-100000-2222", "mw1040.eqiad.wmnet": "20160131-100000-2222", "mw1041.eqiad.wmnet": "20160201-083000-51c0",
	}
	settings := Settings()
	settings.Batches.MaxFailures = inventory.Amount{Count: 9}
	return rollout.NewPlan(Fleet(60), settings, r)
}

// BadQuarantines is what becomes of the hosts of QuarantineAll: one cannot be synced, one that served cannot either, the pools can
// spare all but one of those that are down, and one is in none.
func BadQuarantines(step rollout.Step) (time.Duration, *rollout.Event) {
	switch step.ID {
	case "sync/mw1020.eqiad.wmnet", "sync/mw1035.eqiad.wmnet":
		return 0, Fail(rollout.Permanent, "rsync exit 11: no space left on device")
	case "quarantine/mw1031.eqiad.wmnet":
		return 0, Fail(rollout.Capacity, "eqiad/appserver/apache2: 2 of 4 may be out, and are")
	case "quarantine/mw1032.eqiad.wmnet":
		return 0, &rollout.Event{Kind: rollout.StepDone, Detail: "it is in no pool"}
	case "release/mw1041.eqiad.wmnet":
		return 0, Fail(rollout.Unhealthy, "its health check says fail: status 503, not 200")
	}
	return slow(step), nil
}

// slow makes syncs last, the more so the later in the fleet the host stands.
func slow(step rollout.Step) time.Duration {
	if step.Kind != rollout.StepSync || len(step.Host) < len("mw1017") {
		return 0
	}
	return time.Duration(2+step.Host[len("mw10")]%7) * time.Second
}

// Hooked returns the plan of a run whose policy has hooks for everything.
func Hooked() (*rollout.Plan, error) {
	f, r := Fleet(60), Request()
	r.Hooks = []rollout.Moment{rollout.MomentPre, rollout.MomentPost, rollout.MomentOnFailure}
	r.Post, r.OnFailure = map[string]bool{}, map[string]bool{}
	for _, h := range f.Hosts {
		r.Post[h.Name], r.OnFailure[h.Name] = h.Name < "mw1070", true
	}
	return rollout.NewPlan(f, Settings(), r)
}

// BadHooks is what may become of those.
func BadHooks(step rollout.Step) (time.Duration, *rollout.Event) {
	switch step.ID {
	case "post/mw1030.eqiad.wmnet", "post/mw1031.eqiad.wmnet":
		return 0, Fail(rollout.Permanent, `"restart-php" exited with 1 on `+step.Host+`: unit php7.2-fpm.service not found`)
	case "post/mw1040.eqiad.wmnet":
		if step.Attempt == 1 {
			return 0, Fail(rollout.Transient, "ssh: connection refused")
		}
	case "post/mw1041.eqiad.wmnet":
		return 0, &rollout.Event{Kind: rollout.StepDone, Detail: `"l10n" exited with 2, which the policy ignores`}
	case "sync/mw1050.eqiad.wmnet":
		return 0, Fail(rollout.Permanent, "rsync exit 11: no space left on device")
	case "on_failure/mw1050.eqiad.wmnet":
		return 0, Fail(rollout.Permanent, `"page" exited with 1: nobody is on call`)
	case "hook/on_failure":
		return 3 * time.Second, &rollout.Event{Kind: rollout.StepDone, Detail: `"chat" exited with 7, which the policy ignores`}
	}
	return slow(step), nil
}
