package rollout

import "strings"

// StepKind is what a step does.
type StepKind string

// The kinds of steps.
const (
	StepObserve StepKind = "observe" // read and record a proxy's pool objects
	StepDepool  StepKind = "depool"  // take them out
	StepSync    StepKind = "sync"    // bring a host's tree up to date
	StepCheck   StepKind = "check"   // one round of one check over the canaries
	StepRepool  StepKind = "repool"  // put back what we hold, as it was

	StepRecheck    StepKind = "recheck"    // see whether a master still has the run's tree
	StepRollback   StepKind = "rollback"   // put back the tree that a host had before
	StepQuarantine StepKind = "quarantine" // take a host that has no good tree out of its pools, until it has one
	StepRelease    StepKind = "release"    // put a host back into its pools that a run took out because it had no good tree

	StepHook      StepKind = "hook"       // run what the policy has for a moment of the run
	StepPost      StepKind = "post"       // run what it has for a host that has the tree
	StepOnFailure StepKind = "on_failure" // run what it has for a host that was tried and will not get it
)

// StepKinds are all kinds of steps.
var StepKinds = []StepKind{
	StepObserve, StepDepool, StepSync, StepCheck, StepRepool, StepRecheck, StepRollback, StepQuarantine, StepRelease, StepHook, StepPost,
	StepOnFailure,
}

// aboutHost says whether the steps of a kind are each about one host.
func (k StepKind) aboutHost() bool { return k != StepCheck && k != StepHook }

// StepID names a step: its kind and what it is about, as in sync/mw1312 or check/front-page.
type StepID string

func stepID(kind StepKind, name string) StepID {
	return StepID(string(kind) + "/" + strings.ReplaceAll(name, " ", "-"))
}

// Step is one thing to do, complete with all that doing it needs beyond the plan. The same step may
// be tried several times; Attempt counts the tries from 1.
type Step struct {
	ID      StepID
	Kind    StepKind
	Attempt int
	Host    string   // what it is done to; empty for checks
	Source  string   // sync: where the tree is taken from
	Check   string   // check: its name
	Moment  Moment   // hook: when in the run
	Hosts   []string // check: the canaries that are judged
	Objects []Object // depool: the objects as last observed; observe, repool, quarantine of what is out: as they were before a depool
}

// Object is a pool object as it was found.
type Object struct {
	Key   string `json:"key"`
	Value string `json:"value"`          // its text, byte for byte
	Index uint64 `json:"index"`          // the store's modification index
	Held  bool   `json:"held,omitempty"` // bore this run's marker when it was found
}
