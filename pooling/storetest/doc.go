// Package storetest tests what keeps pools and locks: Conformance holds any pooling.Store to what that interface says, Memory is one
// in memory for tests of what uses a store, and Faults makes one fail.
//
// It is for tests only: nothing in it is durable.
package storetest
