package session

import (
	"reflect"
	"testing"

	"github.com/fleetsync/fleetsync/pooling"
)

// TestLeftovers: what dead runs have left is told by receipts first, and by journals where the shared store says nothing of a run
// and host.
//
// Seen to fail with: a journal that adds a host which its receipt says is in quarantine; one that adds a host twice; a run in quarantine
// only that is listed; a record without receipts that is not.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	receipt := func(run, host string, purpose pooling.Purpose, by string) pooling.Receipt {
		return pooling.Receipt{Run: run, Host: host, Purpose: purpose, Owner: by}
	}
	shared, journal := "by the store", "by the journal"
	got := leftovers(facts{
		receipts: []pooling.Receipt{
			receipt("r2", "p2", pooling.Serving, shared), receipt("r2", "p1", pooling.Serving, shared),
			receipt("r2", "p3", pooling.Quarantine, shared),
			receipt("r5", "p9", pooling.Quarantine, shared),
		},
		quarantined: []pooling.Quarantined{
			{Receipt: receipt("r2", "p3", pooling.Quarantine, shared)}, {Receipt: receipt("r5", "p9", pooling.Quarantine, shared)},
		},
		records: []pooling.RunRecord{{Run: "r1"}, {Run: "r2"}},
		held: []pooling.Receipt{
			receipt("r2", "p1", pooling.Serving, journal), receipt("r2", "p3", pooling.Serving, journal),
			receipt("r2", "p4", pooling.Serving, journal),
			receipt("r3", "p7", pooling.Serving, journal),
		},
		local: map[string]bool{"r2": true, "r3": true, "r4": true},
	})
	want := []Leftover{
		{Run: "r1", recorded: true},
		{
			Run: "r2", recorded: true, local: true, Quarantined: []string{"p3"},
			Receipts: []pooling.Receipt{
				receipt("r2", "p1", pooling.Serving, shared), receipt("r2", "p2", pooling.Serving, shared),
				receipt("r2", "p4", pooling.Serving, journal),
			},
		},
		{Run: "r3", local: true, Receipts: []pooling.Receipt{receipt("r3", "p7", pooling.Serving, journal)}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("found\n%+v, want\n%+v", got, want)
	}
	if got := leftovers(facts{local: map[string]bool{"r1": true}}); got != nil {
		t.Errorf("of runs that hold nothing: %+v", got)
	}
}

// TestFinalizeWithoutLock: a run that has lost the lock does not touch what quarantines of others look like, which another run may
// be at.
//
// Seen to fail with: the lock is not asked.
func TestFinalizeWithoutLock(t *testing.T) {
	t.Parallel()
	s := &Session{} // with no pools to reach: whoever tries fails
	if out := s.restoreReceipts(t.Context(), []pooling.Receipt{{Run: "r1", Host: "mw1", Purpose: pooling.Quarantine}}); out != nil {
		t.Errorf("still out: %v", out)
	}
}
