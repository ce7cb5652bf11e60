//go:build linux

package e2e

import (
	"testing"

	"github.com/fleetsync/fleetsync/cmd/internal/testfleet"
)

// wantTree fails the test unless a tree is as another; exact, also in what only a rollback restores.
func wantTree(t *testing.T, what string, want, got testfleet.Snapshot, exact bool) {
	t.Helper()
	paths := want.DifferSynced(got)
	if exact {
		paths = want.Differ(got)
	}
	if len(paths) > 0 {
		t.Errorf("%s: %d paths differ:\n%s", what, len(paths), testfleet.Tell(paths, want, got))
	}
}
