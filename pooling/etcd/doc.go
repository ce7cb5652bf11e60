// Package etcd is a pooling.Store in the key space of an etcd, by its v2 API over HTTP: the one in which conftool keeps pool objects.
//
// It knows keys and values, not what they mean.
//
// Invariants:
//
//   - Every write has a condition, so that it may be tried again when a reply was lost. None is made with an index of 0, which etcd 3.4
//     takes for no condition (measured).
//   - Reads are quorum reads: never stale.
//   - No call but Wait takes longer than Config.Timeout, whatever a server says in Retry-After.
//   - Credentials go to no host but those named: redirects are not followed, and no proxy of the environment is used.
//   - What is not an answer of etcd's v2 API is never taken for one: a 404 of a web server is not a missing key.
//
// Sources: etcd v2 API documentation (Documentation/v2/api.md, errorcode.md) and measurements against etcd 3.4.23 with --enable-v2.
package etcd
