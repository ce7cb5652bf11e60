package preflight

import (
	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/guard"
	"github.com/fleetsync/fleetsync/orchestrator/manifest"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/tree"
	"github.com/fleetsync/fleetsync/pooling"
)

// Facts is all that is known before a run. What has not been asked is nil, or not in its map.
type Facts struct {
	Fleet   *inventory.Fleet
	Policy  *inventory.Policy
	Machine string // this one
	Shared  bool   // there is a store that all masters share
	Pooled  bool   // the fleet has pools, which may be asked

	Receipts  *Answer[[]pooling.Receipt]       // of all runs, in the shared store
	Inventory *Answer[pooling.InventoryRecord] // of the last run, likewise
	Pools     *Answer[pooling.Snapshot]
	NoTraffic *Answer[map[string]bool] // keys of pool objects that get no traffic although they are in, by the balancers

	Known  *Answer[*Known]         // of every host's tree, by the journals of this machine
	Undone *Answer[*rollout.State] // of the run that is rolled back
	Origin *Origin

	Probed  map[string]error // hosts that were asked whether they are there; nil: it is
	DryRuns map[string]Answer[rollout.HostDelta]
	Free    map[string]Answer[int64] // bytes where the host's tree is
	Undo    *Answer[Undo]
}

// Answer is what somebody said, or why not.
type Answer[T any] struct {
	Value T
	Err   error
}

func answer[T any](value T, err error) *Answer[T] { return &Answer[T]{value, err} }

// Origin is what the guard has found out of the tree that a run would take.
type Origin struct {
	Manifest *manifest.Manifest // nil: see Err
	Report   guard.Report       // of what the tree itself tells
	Record   *tree.Record       // what the host knows of the last change of the tree; nil: of none

	Failed Kind  // what could not be found out; empty: nothing
	Err    error // why
}

// Undo is how a master's tree can be put back.
type Undo struct {
	Run     string // before which it was so
	Preview tree.Preview
}

// Topic is what a question is about.
type Topic string

// The topics, each a field of Facts.
const (
	TopicReceipts  Topic = "receipts"
	TopicInventory Topic = "inventory"
	TopicPools     Topic = "pools"
	TopicNoTraffic Topic = "no traffic"
	TopicKnown     Topic = "known"
	TopicUndone    Topic = "undone"
	TopicOrigin    Topic = "origin"
	TopicProbe     Topic = "probe"
	TopicDryRun    Topic = "dry run"
	TopicFree      Topic = "free"
	TopicUndo      Topic = "undo"
)

// Question is something that must be known before a request can be judged.
type Question struct {
	Topic  Topic
	Hosts  []string         // whom it is about; of TopicUndo and TopicOrigin one
	Source string           // TopicDryRun: where the tree would be taken from
	Paths  []string         // TopicDryRun: of the tree; nil is all of it
	Run    string           // TopicUndone, TopicUndo
	Pools  pooling.Snapshot // TopicNoTraffic: what the pools say
}

// Missing is the error of Judge where it cannot tell yet. All of its questions can be asked at once.
type Missing struct{ Questions []Question }

func (e *Missing) Error() string {
	text := "not known yet:"
	for _, q := range e.Questions {
		text += " " + string(q.Topic)
	}
	return text
}

func missing(questions ...Question) error { return &Missing{questions} }
