package rollout_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// runs is how many runs are generated, unless -rapid.checks says otherwise. A failure prints the
// seed that brings it back (-rapid.seed), shrunk to a few hosts.
const runs = 12_000

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given {
		checks := runs
		if testing.Short() || raceEnabled {
			checks /= 10
		}
		if err := flag.Set("rapid.checks", fmt.Sprint(checks)); err != nil {
			panic(err)
		}
	}
	if err := flag.Set("rapid.nofailfile", "true"); err != nil { // the seed is enough
		panic(err)
	}
	os.Exit(m.Run())
}

// tally counts what happened in all generated runs, to be seen with -v: a property that nothing
// ever came near to proves nothing.
var tally = map[string]int{}

func TestPromises(t *testing.T) {
	clear(tally)
	rapid.Check(t, func(t *rapid.T) {
		plan := planned(t)
		s := newSim(t, plan)
		t.Cleanup(func() {
			if t.Failed() {
				t.Log(s.story())
			}
		})
		s.run()
	})
	var lines []string
	for what, n := range tally {
		lines = append(lines, fmt.Sprintf("%8d  %s", n, what))
	}
	slices.Sort(lines)
	for _, line := range lines {
		t.Log(line)
	}
}
