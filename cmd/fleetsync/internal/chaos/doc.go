// Package chaos holds the tests that kill the real program, stop and spoil the real etcd that its pools
// are in, fill its disk, and start it twice at once. It has no code of its own.
//
// Nothing in it is imitated but the fleet, whose hosts are folders: the program is built as it is
// shipped, rsync is real, and etcd is a real one with the v2 API, behind a front of the tests that can
// spoil a single request and knows which operation of a run it belongs to.
//
// What must hold after everything that is done to a run, and is asked of etcd and of the disk, never of
// the program alone:
//
//   - Every pool object is, byte for byte, what it was before.
//   - No marker, receipt, record of a run or lock is left, once recover has nothing more to do.
//   - A host that a run calls synced has the source's tree; one that it calls untouched has what it had.
//   - No rsync of the run is left running.
//   - No command takes longer than its deadline.
//
// What happens is drawn from a seed, which is printed and can be given:
//
//	CHAOS_SEED    a number; without it each execution draws its own
//	CHAOS_ROUNDS  how many rounds of TestChaos (10, with -short 6)
//	CHAOS_ROUND   only the round of that number: what failed, again
//	CHAOS_TABLE   all: every cell of the tables, or those of which the name holds this; without it some
//
// make chaos does 200 rounds and every cell.
package chaos
