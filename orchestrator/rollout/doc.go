// Package rollout decides: it is the pure core of a run.
//
// A run is data. A Plan is made once and never changes. Everything that happens is an Event. The
// State is the fold of the events over the plan, and Next says what to start, what to stop and when
// to be asked again, given a State and the time.
//
//	Plan ──NewState──▶ State ──Next(state, now)──▶ Decision
//	                     ▲                             │ steps become effects elsewhere
//	                     └──────── Apply(Event) ◀──────┘ and come back as events
//
// The package never does anything: it reads no clock, opens no file, starts no goroutine. That is
// why every promise can be tested over thousands of generated fleets in seconds, and why a journal
// of events is all that a run needs to be resumed.
//
// # Invariants
//
//   - No host beyond the canaries is synced before the gate has passed (or was forced, with a reason).
//   - Sync steps in flight are at most Limits.Parallel; those from one source at most its slots.
//   - A proxy serves only while it is out of its pools and after its own sync was verified in this run.
//   - Past the failure budget, after an abort or any other halt, nothing starts but what puts pools and canaries back.
//   - A canary that was started keeps nothing of a tree that the gate did not pass: it is rolled back, or it is
//     taken out of its pools, or it is named; unless a second abort or a lost lock came first.
//   - A master is looked at after each pull from it, before the stage is complete. One that no longer has the run's
//     tree, or cannot be looked at, never serves again in this run.
//   - A pooled host whose depool was started is repooled before the run is done, or named as not restored.
//   - Each attempt of a step has exactly one step_started and at most one end event.
//
// # Cost
//
// Apply and Next cost what changed: the steps that start or end, and the sources that have a free
// slot. Neither looks at the whole fleet, but once where a run is stopped or resumed.
package rollout
