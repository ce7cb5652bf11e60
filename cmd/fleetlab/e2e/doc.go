// Package e2e holds end-to-end tests of fleetsync, the program itself, on a lab: twelve hosts and two masters
// with real sshd, rsyncd, etcd and HTTP gates. It has no code but tests.
//
// TestRuns shows what runs do when all is well, and after a kill -9; TestFaults is a table: each
// thing that breaks, at each stage of a run. What is asserted of a cell is computed from what is on the hosts and in
// etcd when the run has ended, and is the same for all: pools are back, or out and named; nobody but canaries has
// anything of a tree that the gate did not pass; the report is right about every host; no two rsyncs wrote one
// destination; the run ended by itself in bounded time; and what people are told to type puts everything right.
//
// # Invariants
//
//   - What is asserted is read beside the program: trees by a walk of the tests' own on each host, pools in etcd.
//   - Nobody sleeps: faults come when an event or a file of a transfer says that it is time for them.
//   - Whatever goes wrong ends: each command has a time limit, and nothing outlives its lab.
package e2e
