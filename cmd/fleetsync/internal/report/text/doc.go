// Package text makes what came from elsewhere fit to be shown: neutral, short and aligned.
//
// Whatever hosts, files or an API said may hold escape sequences, megabytes or nothing at all. A
// Printer neutralises each whole line it prints, so that no caller can forget it; the functions here
// bound what goes into a line.
//
// The package decides nothing about runs, and never reads from a terminal.
//
// # Invariants
//
//   - A Printer writes no control character but newlines and the colours it was asked for.
//   - Errors of writing are dropped: a terminal that went away must not end a run.
package text
