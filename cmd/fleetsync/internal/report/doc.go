// Package report turns plans and runs into text for people: what the guard refuses, what a run will do and
// delete, where one stands and what to type next, what every host holds, and which have drifted.
//
// Its functions are pure: they read what they are given and write to one writer, which they only ask
// whether it is a terminal with colours. They change nothing, and nobody who decides calls them.
//
// # Invariants
//
//   - The first lines tell an operator what matters most: how it ended, and what is out of its pools.
//   - What is out of its pools, and what is in them without a good tree, is always named, never counted only: host by host
//     if it served, else those together of whom the same is said, as many as a screen has room for. What is in its pools
//     comes before all else: users may meet it.
//   - Nobody is told that a host has the tree that it had before unless its rollback is done.
//   - Only RunHosts and Pools print a line for each host or object; all else fits a screen for a fleet
//     of any size.
//   - Everything shown is neutral (see package text), and bounded.
//   - Commands that are suggested exist, and can be pasted into a shell as they are.
package report
