// Package report turns plans and runs into text for people: what a run will do, where one stands and
// what to type next.
//
// Its functions are pure: they read what they are given and write to one writer, which they only ask
// whether it is a terminal with colours. They change nothing, and nobody who decides calls them.
//
// # Invariants
//
//   - The first lines tell an operator what matters most: how it ended, and what is out of its pools.
//   - What is out of its pools is always named, host by host, never counted only.
//   - Only RunHosts and Pools print a line for each host or object; all else fits a screen for a fleet
//     of any size.
//   - Everything shown is neutral (see package text), and bounded.
//   - Commands that are suggested exist, and can be pasted into a shell as they are.
package report
