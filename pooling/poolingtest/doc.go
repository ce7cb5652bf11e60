// Package poolingtest imitates what package pooling talks to: the v2 API of etcd 3.4 on a key space in memory,
// for tests and for the demo. The same tests run against it and against a real etcd, which StartEtcd starts.
//
// Etcd is the key space and an http.Handler for /v2/keys: reads, quorum and recursive ones included;
// PUT, POST and DELETE with all their conditions; directories, hidden keys, times to live with refresh,
// and long polls over a history of 1000 events. Replies, error codes, indexes and headers are etcd's, so that
// sequences of random requests get the same answers from both. Beyond that it can demand a password and
// refuse writes as a read-only replica does.
//
// It is not for production and never will be: nothing is durable, and every request takes one
// lock. It has no cluster, no statistics, no administration of users, and no stream=true.
//
// Faults stands in front of it and spoils chosen requests.
package poolingtest
