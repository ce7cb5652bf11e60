// Package incident replays on a demo fleet the day that fleetsync was written for, act by act.
//
// It does what people did and what they might have done, by command lines of the program, by plain rsync and by editing
// files, and judges each act by its exit code, by what was said, by every tree and by every pool object.
//
// It never calls what it judges but by the command line that it is given: trees are read by a snapshot of its own,
// pool objects by the raw API.
//
// Invariants:
//
//   - A tree that an act does not name is, after it, what it was before, to the last byte and nanosecond.
//   - The pools are, after every act, what they were at first.
package incident
