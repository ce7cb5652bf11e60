// Package live shows a run while it goes on: as live bars on a terminal, as plain lines elsewhere.
//
// The Screen is an observer at the rim: it is shown each event after it is durable, keeps its own books
// of what a person wants to see, and never talks back. It is for stderr; what goes to stdout is the Events of --json.
//
//	loop ──Observe──▶ story (books, under a lock) ──messages──▶ one goroutine ──▶ terminal
//	transfers ─Progress─▶   ▲────────── frames, ten a second ──────────┘
//
// # Invariants
//
//   - Observe costs the same whatever the size of the fleet, and never waits for the terminal.
//   - What is waiting to be printed is bounded; what is dropped for that is counted and said.
//   - One goroutine owns what is written; after Close it has ended and the bars are gone.
//   - Text of hosts, files and the API is neutralised before it is shown, and bounded.
//   - However many hosts fail, the number of lines is bounded: the rest is counted. The plain form has
//     no line for a host that was synced, and says nothing while nothing happens.
//   - A terminal that cannot be written to any more ends nothing but the drawing.
package live
