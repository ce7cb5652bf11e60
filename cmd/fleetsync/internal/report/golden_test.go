package report_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/rollout/rollouttest"
)

var update = flag.Bool("update", false, "write testdata/*.golden anew")

// golden compares what was printed with testdata/NAME.golden, and holds it against what is promised
// of all that is printed.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	for i, line := range strings.Split(string(got), "\n") {
		if strings.TrimRight(line, " ") != line {
			t.Errorf("line %d ends with spaces: %q", i+1, line)
		}
	}
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("differs from %s (-want +got):\n%s", path, diff)
	}
}

// plan makes the plan of a run over so many hosts, as change says.
func plan(t *testing.T, hosts int, change func(*rollout.Request)) *rollout.Plan {
	t.Helper()
	r := rollouttest.Request()
	if change != nil {
		change(&r)
	}
	p, err := rollout.NewPlan(rollouttest.Fleet(hosts), rollouttest.Settings(), r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// played returns where a run stands at the end of a play; alive: somebody works on it still.
func played(t *testing.T, play rollouttest.Play, alive bool) *rollout.Snapshot {
	t.Helper()
	s, err := play.Run()
	if err != nil {
		t.Fatal(err)
	}
	if alive {
		return s.Snapshot()
	}
	return s.Snapshot().Died()
}

func lines(b []byte) int { return bytes.Count(b, []byte("\n")) }
