// Package orchestrator runs a plan.
//
// Run is the loop: one goroutine that owns the State of a run, writes what happens to the journal,
// asks rollout.Next what to do and gives each step to its Doer, which turns it into an effect:
// an rsync, a change of a pool object, a check. The Doer of real runs is execute.Executor.
//
// It never decides: what to start, from where and when is rollout's. It never retries: an attempt
// that failed is an event like any other.
//
// # Invariants
//
//   - The step_started event of a step is durable before its effect begins.
//   - Each started step comes back as exactly one end event.
//   - Run returns only after every effect it started has ended.
//   - If the journal cannot be written, nothing starts any more but what puts pools back.
package orchestrator
