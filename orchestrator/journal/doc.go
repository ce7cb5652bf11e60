// Package journal keeps the events of a run on disk: JSON lines, only ever appended, durable when
// Append returns.
//
// A journal is the run: folding its events over its plan gives the state at any point, so status,
// history and resume need nothing else. Its last line may be torn by a crash and is then dropped;
// any other damage is an error that names the line, for what a journal says is what decides which
// hosts are put back into their pools.
//
// Events have a form (rollout.Format), which run_started and run_resumed name. Journals of older forms are read like others: Fold
// fills in what their events do not say. One with events of a newer form is a NewerError, never corrupt.
package journal
