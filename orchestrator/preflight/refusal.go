package preflight

import (
	"fmt"

	"github.com/fleetsync/fleetsync/orchestrator/guard"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// Kind is what a run is refused for.
type Kind string

// The kinds.
const (
	// What was asked for cannot be meant.
	UnknownMaster Kind = "unknown master" // the tree cannot be taken from there
	UnknownSource Kind = "unknown source" // likewise, for another master
	UnknownTarget Kind = "unknown target" // the master to be changed
	UnknownHost   Kind = "unknown host"   // that a lost tree would be rebuilt from
	SameMaster    Kind = "same master"    // from and to
	BadSelection  Kind = "bad selection"
	Unplannable   Kind = "unplannable" // there is no such run of this fleet

	// What another run has left.
	Unrestored Kind = "unrestored" // it has hosts out of their pools

	// What cannot be read.
	ReceiptsUnread   Kind = "receipts unread"
	QuarantineUnread Kind = "quarantine unread"
	PoolsUnread      Kind = "pools unread"
	BalancersUnread  Kind = "balancers unread"
	HistoryUnread    Kind = "history unread"

	// What the pools say.
	NoPoolObjects Kind = "no pool objects" // of a proxy

	// What the guard says.
	MayNotServe   Kind = "may not serve"
	BadRule       Kind = "bad rule" // of the policy's
	TreeUnread    Kind = "tree unread"
	TreeUnjudged  Kind = "tree unjudged"
	OwnersUnknown Kind = "owners unknown"
	RecordUnread  Kind = "record unread"
	BadTree       Kind = "bad tree"     // Findings say what is wrong with it
	NoSpace       Kind = "no space"     // on hosts
	NoDryRun      Kind = "no dry run"   // of a master that would be changed
	WrongNumber   Kind = "wrong number" // of deletions was confirmed
	Deletions     Kind = "deletions"    // are more than the budget, and nobody has confirmed them

	// What has changed since a plan was saved.
	PlanChanged Kind = "plan changed" // the inventory, the policy, the pools or who is there
	TreeChanged Kind = "tree changed" // or what a sync of it would do

	// What a rollback or an undo finds.
	IsRollback Kind = "is a rollback"
	Overtaken  Kind = "overtaken"   // Run has changed its hosts since
	NoBackup   Kind = "no backup"   // of Hosts; Others have one
	NoChange   Kind = "no change"   // is left to be rolled back
	CannotUndo Kind = "cannot undo" // a master's tree
)

// Refusal is why a run may not begin. Nothing was touched.
type Refusal struct {
	Kind Kind
	Err  error // what is wrong

	// What a hint may name, as far as it has to do with the kind.
	Run    string
	Hosts  []string // Unrestored, NoDryRun, NoPoolObjects: one; NoBackup: those without
	Others []string // NoBackup: hosts with a backup
	Number int      // Deletions: those that would be made on one host

	Findings guard.Report   // BadTree: what the guard found on Hosts
	Delta    *rollout.Delta // Deletions: what would be done
}

func (r *Refusal) Error() string { return r.Err.Error() }

// Unwrap returns what is wrong.
func (r *Refusal) Unwrap() error { return r.Err }

func refuse(kind Kind, format string, args ...any) *Refusal {
	return &Refusal{Kind: kind, Err: fmt.Errorf(format, args...)}
}

func refuseByGuard(kind Kind, format string, args ...any) *Refusal {
	return refuse(kind, "refused by the guard: "+format, args...)
}

// Warning is something that is not as it should be, and keeps no run from beginning.
type Warning struct {
	Kind WarningKind
	Text string // without what it is said of: "warning: " is for who shows it
}

// WarningKind is what a warning is about.
type WarningKind string

// The kinds of warnings.
const (
	WarnInventory WarningKind = "inventory" // the last run had another
	WarnDown      WarningKind = "down"      // hosts are not there
	WarnPath      WarningKind = "path"      // the origin has no such path
	WarnDryRun    WarningKind = "dry run"   // a host does not say what a sync would do
	WarnSpace     WarningKind = "space"     // hosts have too little
)
