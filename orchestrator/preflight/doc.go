// Package preflight is all that comes before a run: what must be known is asked, and then it is decided whether the run may begin, and
// what its plan is.
//
// Judge decides. It is pure: a Request and the Facts that are known so far go in, and a Verdict with a plan, a Refusal, or the
// questions that must be asked first (Missing) come out. Gather asks them, those at once that do not depend on each other, until
// Judge has none left. So a new reason to refuse a run is a line of Judge, and a new fact a Topic, its place in Facts, and how Gather
// asks for it.
//
// What else decides about the past is here too: what is last known of every host's tree (History), whether a host still holds
// what its last run left there (Verify), and whether one could be synced (Reach).
//
// It never changes anything on a host, in a pool or in the shared store, and never asks the user. It knows neither flags nor exit codes.
//
// # Invariants
//
//   - Gather asks for each fact once, and for none that cannot change the verdict any more.
//   - Judge reads nothing but its arguments, changes neither of them, and says the same of the same.
//   - A host that does not answer is a fact; the error of Gather is that its context ended.
//   - The journal of a run is read at most once by a History.
package preflight
