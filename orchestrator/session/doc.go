// Package session is the life of a run on a fleet: its lock is taken, the run begins or is resumed, is carried out and is finalized;
// and what runs that died have left behind is found and put back.
//
// It never prints, never asks the user, and knows neither flags nor exit codes: an error says by its type what it is. It never
// decides what a run does (that is rollout's), nor whether it may begin (that is preflight's).
//
// # Invariants
//
//   - Nothing is written to a host, a pool or a journal without the fleet's lock, but by hand (Repool, Depool, Freeze, Unfreeze), where
//     compare-and-set is all that is needed.
//   - A receipt is dropped only when what it tells of is back in its pools, or is somebody else's by now.
//   - What is put back is put back once: of a run with a readable journal by that run itself, so that its journal tells, of any other
//     by its receipts.
package session
