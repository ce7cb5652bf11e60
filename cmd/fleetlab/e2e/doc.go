// Package e2e holds end-to-end tests of fleetsync, the program itself, on a lab: twelve hosts and two masters
// with real sshd, rsyncd, etcd and HTTP gates. It has no code but tests.
//
// TestRuns shows what runs do when all is well, and after a kill -9; TestFaults breaks one thing while a run is
// under way, and asserts what is promised of every run: its exit code, pools that are back or named, a report
// that is right about every host, an end in bounded time.
//
// # Invariants
//
//   - What is asserted is read beside the program: trees by a walk of the tests' own on each host, pools in etcd.
//   - Nobody sleeps: faults come when an event or a file of a transfer says that it is time for them.
//   - Whatever goes wrong ends: each command has a time limit, and nothing outlives its lab.
package e2e
