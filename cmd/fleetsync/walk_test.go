package main

import (
	"testing"

	"github.com/fleetsync/fleetsync/cmd/internal/testfleet"
)

func walk(t *testing.T, root string) testfleet.Snapshot {
	t.Helper()
	s, err := testfleet.TakeSnapshot(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// wantTree compares trees as syncs do; with same, they must also be the very same files.
func wantTree(t *testing.T, what string, want, got testfleet.Snapshot, same bool) {
	t.Helper()
	paths := want.DifferSynced(got)
	if same {
		paths = want.DifferTouched(got)
	}
	if len(paths) > 0 {
		t.Errorf("%s: %d paths differ:\n%s", what, len(paths), testfleet.Tell(paths, want, got))
	}
}
