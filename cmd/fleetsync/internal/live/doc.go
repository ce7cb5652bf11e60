// Package live shows a run while it goes on: on a terminal as messages that stay and, below them, a frame of a few lines that is drawn
// again and again; elsewhere as messages alone. It is for stderr; results go to stdout, and are none of its business.
//
// A Display observes a run: it is shown each turn after it is durable, and never talks back. What it says is what events and snapshots
// say: it counts no attempts and judges no failure. All that it keeps is which lines it has told.
//
//	loop ──Observe──▶ teller ──messages──▶ one goroutine ──▶ terminal
//	model ──newest snapshot, with transfers──▶ frame ──┘ several a second
//
// # Invariants
//
//   - Observe costs the same whatever the size of the fleet, and never waits for the terminal.
//   - A frame is a pure function of a snapshot, the time and the size of the terminal; no line of it wraps.
//   - One goroutine owns what is written; after Close it has ended and the frame is gone. A terminal that cannot be written to any more
//     ends nothing but the drawing.
//   - Text of hosts, files and the API is neutralised before it is shown, and bounded. So are the lines, however many hosts fail, and
//     what waits to be printed: the rest is counted. The plain form has no line for a host that was synced.
package live
