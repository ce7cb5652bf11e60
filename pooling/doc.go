// Package pooling reads and changes pool objects: the values by which conftool says whether a load balancer may send a host traffic
// for a service.
//
// An object lives at PREFIX/datacenter/cluster/service/host of a Store and its value is a JSON object such as
// {"weight": 10, "pooled": "yes"}. A Client observes objects, takes them out of their pools by writing
// "no" together with a marker, and puts them back as they were. It knows nothing of runs: a marker is
// any string that its owner can tell from everybody else's.
//
// Shared is what masters share beside the pools: the lock of a fleet, as a Lease; the receipts by which
// any master can put back what another took; and the list of runs that have not ended.
//
// Below it are packages that know how something is reached: etcd is a Store, balancer asks the load balancers whether they have
// followed the pools. They import this one; it imports neither. Another store is another package and a line in cmd/fleetsync.
//
// # States of an object, as the owner of a marker sees it
//
//	in       "yes", without the marker
//	ours     "no", with the marker
//	theirs   anything else: out without the marker, or edited by somebody while it was ours
//	deleted  there is no such key
//
//	in → in        Observe reads it; its text and index become a receipt. Nothing is written to the object.
//	in → ours      Depool, at the observed index. If it has changed since: ErrConflict, and it is to be observed again.
//	in → theirs    somebody else takes it out; Depool and Restore leave it alone
//	ours → in      Restore writes the receipt's text, or its "yes" beside what somebody has changed but "pooled": Back.
//	               Depool does so itself if the threshold does not hold after its write.
//	ours → theirs  somebody writes "pooled" or removes the marker. Restore removes the marker and leaves "pooled": Foreign.
//	any → deleted  somebody deletes it, and so it stays: Deleted
//
// A crash at any moment leaves one of these, which the next Observe or Restore finds: what has the marker is ours, the rest is not.
//
// # Invariants
//
//   - Every write of an object is a compare-and-set at the index at which the object was read, on a key that exists. None
//     creates a key.
//   - Depool and Restore change the members "pooled" and "fleetsync" of a value and nothing else; all other
//     bytes stay. Restore writes the receipt's text, byte for byte, where nobody else changed the object.
//   - Only an object that was "yes" is taken out, always with "no" and the marker in one write. Hence what
//     has a marker was "yes" before, and what does not have it is not its owner's.
//   - Every write of Shared is conditional too, on absence or on what was read: one that has its effect late undoes nothing.
//     A lease never takes its lock again, and is over for its holder before it is for the store.
//   - No write of "no" leaves a pool below its threshold: counted before, counted again after, and undone at
//     once if somebody else took out another meanwhile.
//   - No method but Wait takes longer than Config.Timeout, plus as much again for undoing a write that
//     broke a threshold.
//
// It never writes "inactive" (host lists are generated from these objects and drop inactive hosts) and
// never touches a weight. It starts no goroutine that outlives a call.
//
// Source: conftool's etcd driver (conftool/drivers/etcd.py): it re-reads an object with quorum=true and updates the members of its
// schema in it, so a marker survives an operator's confctl, while white space and number formats do not.
package pooling
