// Package testfleet holds what every fleet that is made for trying fleetsync has in common, whether its hosts are folders
// (fleetsync demo) or have namespaces of their own (fleetlab): who is where and what for, the tree, the web servers'
// answers, the pool objects, the inventory and the policy.
//
// It starts no process but the rsync that copies a tree, it listens nowhere, and it never syncs anything: what does that is
// under test on these fleets. A tree that it copies is only read.
//
// Invariants:
//
//   - The same arguments make the same layout and the same tree.
//   - A pool object that exists is never changed.
package testfleet
