// Package pooling reads and changes pool objects: the values by which conftool says, in etcd v2 over
// HTTP, whether a load balancer may send a host traffic for a service.
//
// An object lives at PREFIX/datacenter/cluster/service/host and its value is a JSON object such as
// {"weight": 10, "pooled": "yes"}. A Client observes objects, takes them out of their pools by writing
// "no" together with a marker, and puts them back as they were. It knows nothing of runs: a marker is
// any string that its owner can tell from everybody else's.
//
// Shared is what masters share beside the pools: the lock of a fleet, which a Lease keeps and judges; the receipts by which
// any master can put back what another took; and the list of runs that have not ended. Package balancer asks PyBal
// whether it has followed the pools.
//
// Invariants:
//
//   - Every write of an object is a compare-and-set at the index at which the object was read, on a key that exists. None
//     creates a key. (An index of 0 would make etcd 3.4 write unconditionally, measured; it is refused.)
//   - Depool and Restore change the members "pooled" and "fleetsync" of a value and nothing else; all other
//     bytes stay. Restore writes the receipt's text, byte for byte, where nobody else changed the object.
//   - Only an object that was "yes" is taken out, always with "no" and the marker in one write. Hence what
//     bears a marker was "yes" before, and what does not bear it is not its owner's.
//   - Every write of Shared is conditional too, on absence or on what was read: one that has its effect late undoes nothing.
//     A lease never takes its lock again, and is over for its holder before it is for etcd.
//   - No write of "no" leaves a pool below its threshold: counted before, counted again after, and undone at
//     once if somebody else was quicker.
//   - No method but Wait takes longer than Config.Timeout, plus as much again for undoing a write that
//     broke a threshold.
//
// It never writes "inactive" (host lists are generated from these objects and drop inactive hosts) and
// never touches a weight. It starts no goroutine that outlives a call.
//
// Sources: etcd v2 API documentation (Documentation/v2/api.md, errorcode.md) and measurements against etcd
// 3.4.23 with --enable-v2; conftool's etcd driver (conftool/drivers/etcd.py): it re-reads an object with
// quorum=true and updates the members of its schema in it, so a marker survives an operator's
// confctl, while white space and number formats do not.
package pooling
