package rollout

import (
	"slices"
	"time"

	"github.com/fleetsync/fleetsync/inventory"
)

// Plan is what a run will do, as data. It is made once, by NewPlan, written to the journal with the
// run's first event, and never changes.
type Plan struct {
	Run       string         `json:"run"`
	Fleet     string         `json:"fleet"`
	Mode      inventory.Mode `json:"mode"`
	Made      time.Time      `json:"made"`
	Inventory string         `json:"inventory"`          // digest of the inventory it was made from
	Origin    string         `json:"origin,omitempty"`   // the master that the tree is taken from; empty: no tree is taken from anywhere
	Undoes    string         `json:"undoes,omitempty"`   // the run that is rolled back; empty: this is no rollback
	Tree      *Tree          `json:"tree,omitempty"`     // what the origin held when the run was planned; nil: it is not known
	Delta     *Delta         `json:"delta,omitempty"`    // what a sync would do to the hosts that were asked; nil: none was
	Limit     string         `json:"limit,omitempty"`    // the selection that was asked for; empty is all
	From      string         `json:"from,omitempty"`     // the origin, if it was asked for by name
	Paths     []string       `json:"paths,omitempty"`    // the subset of the tree; none is the whole tree
	Force     string         `json:"force,omitempty"`    // why a gate that does not pass is overridden; empty: it is not
	Override  string         `json:"override,omitempty"` // why the guard's refusal is overridden; empty: it is not

	Hosts  []Host  `json:"hosts"`  // all that are synced or may serve, in the fleet's order
	Stages []Stage `json:"stages"` // in order; a stage begins when the one before is complete
	Limits Limits  `json:"limits"`
	Gate   Gate    `json:"gate"`
	Left   []Left  `json:"left,omitempty"` // proxies that will not serve, and why

	OnForeignEdit inventory.ForeignEdit `json:"on_foreign_edit,omitempty"` // empty is stop
	Hooks         []Moment              `json:"hooks,omitempty"`           // of the run, for which the policy has something to do
	Quarantine    bool                  `json:"quarantine,omitempty"`      // a canary that cannot be rolled back is taken out of its pools
	QuarantineAll bool                  `json:"quarantine_all,omitempty"`  // so is every host that has failed for good, or was not there
}

// Tree identifies what a source holds.
type Tree struct {
	Fingerprint string `json:"fingerprint,omitempty"` // of its manifest, contents included
	Digest      string `json:"digest"`                // of its metadata: what a host computes of its own tree
	Files       int    `json:"files,omitempty"`
	Bytes       int64  `json:"bytes,omitempty"`
}

// Delta is what a sync would do to hosts, as dry runs on some of them say.
type Delta struct {
	Hosts     []HostDelta `json:"hosts"`     // that were asked, in the fleet's order
	Allowed   int         `json:"allowed"`   // deletions that the budget allows on one host
	Confirmed bool        `json:"confirmed"` // more are to be deleted, and somebody has confirmed the number
}

// HostDelta is what a sync would do to one host.
type HostDelta struct {
	Host   string     `json:"host"`
	Create int        `json:"create"`
	Change int        `json:"change"`
	Delete int        `json:"delete"`
	Bytes  int64      `json:"bytes"`          // to be sent, at most
	Top    []TopDelta `json:"top,omitempty"`  // per top-level entry of the tree
	Gone   []string   `json:"gone,omitempty"` // some of what would be deleted
}

// TopDelta is what a sync would do below one top-level entry of a tree.
type TopDelta struct {
	Name   string `json:"name"`
	Create int    `json:"create,omitempty"`
	Change int    `json:"change,omitempty"`
	Delete int    `json:"delete,omitempty"`
}

// Role is the part a host plays in a run.
type Role string

// The roles.
const (
	RoleMaster Role = "master"
	RoleCanary Role = "canary"
	RoleProxy  Role = "proxy" // will serve, out of its pools
	RoleHost   Role = "host"
)

// Host is a host as the scheduler sees it.
type Host struct {
	Name       string `json:"name"`
	Role       Role   `json:"role"`
	Datacenter string `json:"datacenter,omitempty"`
	Rack       string `json:"rack,omitempty"`
	Slots      int    `json:"slots,omitempty"`      // how many hosts it may serve at once; 0 serves none
	Pooled     bool   `json:"pooled,omitempty"`     // has pool objects that must be out while it serves
	Keep       bool   `json:"keep,omitempty"`       // keeps what its sync replaces, so that it can be rolled back
	Verify     bool   `json:"verify,omitempty"`     // its tree is compared with the run's after its sync, which else has failed
	Post       bool   `json:"post,omitempty"`       // the policy has something to do once it has the tree
	OnFailure  bool   `json:"on_failure,omitempty"` // likewise when it was tried and will not get it
	// The run that took it out of its pools because it had no good tree; it is put back once it has one
	Quarantined string `json:"quarantined,omitempty"`
	// Why it was not there when the run was planned: it is in no stage, and has failed; empty: it was
	Down string `json:"down,omitempty"`
}

// StageKind is what the steps of a stage do.
type StageKind string

// The kinds of stages.
const (
	StageSync   StageKind = "sync"
	StageUndo   StageKind = "rollback" // each host puts back what it kept
	StageCheck  StageKind = "check"    // the gate
	StageDepool StageKind = "depool"   // observe, depool and drain
	StageRepool StageKind = "repool"
	StageHook   StageKind = "hook" // what the policy has for a moment of the run, which is the stage's name
)

// Stage is a part of a plan that is complete before the next one begins.
type Stage struct {
	Name   string    `json:"name"`
	Kind   StageKind `json:"kind"`
	Hosts  []string  `json:"hosts"`
	Origin bool      `json:"origin,omitempty"` // synced straight from the origin, not from proxies
	Why    string    `json:"why"`              // why it is at this place
}

// Batch says whether the stage at a place is one of the batches in which the fleet gets the tree, or gives it back: they are synced from
// whatever serves, and a rollback does them after its gate.
func (p *Plan) Batch(place int) bool {
	switch stage := p.Stages[place]; stage.Kind {
	case StageSync:
		return !stage.Origin
	case StageUndo:
		return slices.ContainsFunc(p.Stages[:place], func(before Stage) bool { return before.Kind == StageCheck })
	case StageCheck, StageDepool, StageRepool, StageHook:
		return false
	default:
		return false
	}
}

// Limits bounds a run.
type Limits struct {
	Parallel    int      `json:"parallel"`     // hosts synced at once
	MaxFailures int      `json:"max_failures"` // hosts that may fail for good; one more halts the run
	Attempts    int      `json:"attempts"`     // failures of one step before it has failed for good
	Timeout     Duration `json:"timeout"`      // of one attempt
	RetryDelay  Duration `json:"retry_delay"`  // before the second attempt; doubles with each
	Drain       Duration `json:"drain"`        // between a depool and the proxy's first use
	Restore     Duration `json:"restore"`      // how long a failing repool is tried again before it is given up and named
	MaxDelete   int      `json:"max_delete"`   // deletions that one rsync may make; negative is any number
}

// Gate says how the canaries are judged.
type Gate struct {
	Soak     Duration `json:"soak"`     // how long checks are repeated; a check must pass a round begun after it
	Interval Duration `json:"interval"` // between the starts of two rounds of one check
	Unknowns int      `json:"unknowns"` // rounds in succession that may be unknown; with one more the gate is unknown
	Checks   []string `json:"checks"`   // names; never empty where there is a gate
}

// SoakCheck is the check of a gate for which none is configured: it passes, once the soak is over.
const SoakCheck = "soak"

// Left is a proxy that will not serve. It is synced as an ordinary host.
type Left struct {
	Host   string `json:"host"`
	Reason string `json:"reason"`
}
