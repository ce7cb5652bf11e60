package rsync

import (
	"strings"
	"testing"
)

// TestScriptsAreShort: comments stay here, since each script travels with each command.
func TestScriptsAreShort(t *testing.T) {
	whole, sent := len(pullText)+len(aroundText)+len(dryRunText), len(pullScript)+len(aroundScript)+len(dryRunScript)
	if sent*10 > whole*7 || strings.Contains(pullScript+aroundScript+dryRunScript, "\n#") {
		t.Errorf("%d bytes are sent of %d", sent, whole)
	}
}
