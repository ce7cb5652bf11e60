package main

import (
	"testing"

	"github.com/fleetsync/fleetsync/pooling"
)

// TestSettleWithoutLock: a run that has lost the lock does not touch what quarantines of others look like, which another run may
// be at. Planted fault seen to fail it: the lock is not asked.
func TestSettleWithoutLock(t *testing.T) {
	t.Parallel()
	j := &job{lock: &fleetLock{}} // with no pools to reach: whoever tries fails
	if out := j.restoreReceipts(background, []pooling.Receipt{{Run: "r1", Host: "mw1", Purpose: pooling.Quarantine}}); out != nil {
		t.Errorf("still out: %v", out)
	}
}
