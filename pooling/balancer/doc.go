// Package balancer asks load balancers, by PyBal's status pages, whether they have followed the pools: which hosts they send
// traffic, and which of those that are in their pools they found down.
//
// It only reads pages. It knows the names of pools and hosts, not what a pool object says, and nothing of runs.
//
// Invariants:
//
//   - What is not known is never a confirmation: a page that cannot be read, or is not PyBal's, is an error.
//   - Each call ends within Group.Timeout. No goroutine outlives a call.
//
// Sources: PyBal's server.py and instrumentation.py.
package balancer
