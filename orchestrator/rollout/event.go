package rollout

import "time"

// EventKind is what happened.
type EventKind string

// The kinds of events.
const (
	RunStarted    EventKind = "run_started" // carries the plan
	RunResumed    EventKind = "run_resumed"
	StepStarted   EventKind = "step_started"
	StepDone      EventKind = "step_done"
	StepFailed    EventKind = "step_failed"
	PoolChanged   EventKind = "pool_changed"   // somebody else changed an object that we hold
	SourceChanged EventKind = "source_changed" // a source no longer has the run's tree
	SourceSilent  EventKind = "source_silent"  // a source does not answer any more
	LockLost      EventKind = "lock_lost"
	AbortAsked    EventKind = "abort_asked" // carries its level
	RunFinished   EventKind = "run_finished"
)

// Class says what kind of failure ended a step, and so what may be tried next.
type Class string

// The classes of failures.
const (
	Transient Class = "transient" // may pass later or from another source
	Permanent Class = "permanent" // will not pass however often it is tried
	Busy      Class = "busy"      // somebody else's rsync still writes the destination
	Stopped   Class = "stopped"   // we ended it
	Conflict  Class = "conflict"  // a pool object changed between observe and depool
	Capacity  Class = "capacity"  // a depool would take a pool below its threshold
	Unhealthy Class = "unhealthy" // a host must not be repooled, says its health check
	Changed   Class = "changed"   // a source no longer has the run's tree
)

// Fate is what becomes of a step that failed.
type Fate string

// The fates.
const (
	FateRetry    Fate = "retry"    // it is tried again
	FateDeferred Fate = "deferred" // it is tried again once what is in its way is over
	FateGivenUp  Fate = "given_up" // it is not tried again
)

// GiveUp is why a step that failed is not tried again.
type GiveUp string

// The reasons to give up.
const (
	GiveUpPermanent GiveUp = "permanent" // what failed does not pass
	GiveUpAttempts  GiveUp = "attempts"  // it has had all its attempts
	GiveUpTime      GiveUp = "time"      // it was waited for as long as the plan allows
	GiveUpCapacity  GiveUp = "capacity"  // its pools cannot spare the host
	GiveUpStopping  GiveUp = "stopping"  // the run stops
)

// AbortCause is what asked for a run to be aborted.
type AbortCause string

// The causes of an abort.
const (
	AbortInterrupt AbortCause = "interrupt" // Ctrl-C
	AbortTerminate AbortCause = "terminate" // SIGTERM
	AbortHangup    AbortCause = "hangup"    // the terminal went away
	AbortJournal   AbortCause = "journal"   // the journal cannot be written
	AbortInternal  AbortCause = "internal"  // an event happened that cannot
	AbortRecover   AbortCause = "recover"   // somebody gives up a run that died
)

// Verdict is how a check or the gate judged. Unknown is not pass.
type Verdict string

// The verdicts.
const (
	Pass    Verdict = "pass"
	Fail    Verdict = "fail"
	Unknown Verdict = "unknown"
)

// Edit is what somebody else did to a pool object that we hold.
type Edit string

// The edits.
const (
	EditIn  Edit = "in"  // back into its pool: users are on the host
	EditOut Edit = "out" // set to no or inactive, or deleted: it is theirs now, and still out
)

// Abort levels, in an AbortAsked event.
const (
	AbortGently = 1 // nothing new starts, running steps end
	AbortNow    = 2 // running transfers are ended too
)

// Format is the number of the form of events that this program writes. Journals without one are of form 1, from
// before there were numbers: their events do not say what kind of step they are about, nor what became of it.
const Format = 2

// Event is something that happened. Events are the only way into a State, the lines of a journal,
// and what --json prints. Fields that do not apply to a kind are empty. What a step is about (StepKind, Check, Moment)
// and what becomes of one that failed (Fate, GiveUp, Failures, RetryAt) is filled in by State.Apply.
type Event struct {
	Seq      int64     `json:"seq"` // from 1, without gaps, over the whole run
	At       time.Time `json:"at"`
	Run      string    `json:"run"`
	Kind     EventKind `json:"kind"`
	Step     StepID    `json:"step,omitempty"`
	StepKind StepKind  `json:"step_kind,omitempty"`
	Host     string    `json:"host,omitempty"`
	Source   string    `json:"source,omitempty"`
	Check    string    `json:"check,omitempty"`  // of a check: its name
	Moment   Moment    `json:"moment,omitempty"` // of the run's hooks: when they run
	Attempt  int       `json:"attempt,omitempty"`

	Error    string    `json:"error,omitempty"`    // step_failed: what was wrong; run_resumed: why it may not go on
	Class    Class     `json:"class,omitempty"`    // step_failed
	Blame    bool      `json:"blame,omitempty"`    // step_failed of a sync: the source may be why
	Fate     Fate      `json:"fate,omitempty"`     // step_failed
	GiveUp   GiveUp    `json:"give_up,omitempty"`  // step_failed that is not tried again: why
	Failures int       `json:"failures,omitempty"` // step_failed: how many count against its attempts by now
	RetryAt  time.Time `json:"retry_at,omitzero"`  // step_failed that is tried again: not before

	Verdict Verdict `json:"verdict,omitempty"` // step_done of a check
	Detail  string  `json:"detail,omitempty"`  // what a person should know of it
	// Of an observe: as found; of a depool, failed too: as we wrote them; of a repool that failed: those that are not out
	// any more all the same; pool_changed: what was edited
	Objects []Object `json:"objects,omitempty"`
	Stats   *Stats   `json:"stats,omitempty"` // step_done of a sync

	Edit  Edit `json:"edit,omitempty"`  // pool_changed
	Level int  `json:"level,omitempty"` // abort_asked

	Cause   AbortCause `json:"cause,omitempty"`   // abort_asked
	Format  int        `json:"format,omitempty"`  // run_started, run_resumed: of the events from here on
	Writer  string     `json:"writer,omitempty"`  // run_started, run_resumed: the program that writes them, and its version
	Plan    *Plan      `json:"plan,omitempty"`    // run_started
	Outcome *Outcome   `json:"outcome,omitempty"` // run_finished
}

// Stats is what a sync moved.
type Stats struct {
	Files       int64 `json:"files"`       // in the tree
	Created     int64 `json:"created"`     // that were not there before
	Deleted     int64 `json:"deleted"`     // that are not in the tree
	Transferred int64 `json:"transferred"` // whose content was sent
	Bytes       int64 `json:"bytes"`       // on the wire, both ways
	Size        int64 `json:"size"`        // of the tree, in bytes
}
