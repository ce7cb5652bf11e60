// Package monitor watches what a run depends on and no step of it does: that its lock lasts, that its sources are there, that nobody
// else changes the pool objects that it holds. What it finds reaches the run as events.
//
// It decides nothing and changes nothing, but for the lease, which it refreshes. Each monitor runs in one goroutine of its caller, until
// its context ends.
package monitor
