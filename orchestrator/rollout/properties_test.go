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
const runs = 10_000

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

// TestPromises runs generated fleets, policies and failures in virtual time and holds every event and
// every decision against the books of the oracle. The promises are those of doc.go; P1 and so on are
// their numbers in the messages: P1 pools come back, P2 capacity, P3 the gate, P4 bounds, P5 only a
// good source serves, P8 the truth about every host, P9 every run ends, is decided without side
// effects, and can be folded again.
//
// Planted, one at a time, and seen to fail:
//
// P1: a repool while it serves, while it is synced, or of what was never out; pools forgotten on an
// abort; what is held forgotten when a depool fails; a repool given up at once, for an API that is
// away, or after the attempts of the depool; a receipt overwritten by a look at our own mark; a depool
// without a look, from an old look, or though refused; depools that go on after a halt; what is out
// and not named.
//
// P2: a depool while another is in flight.
//
// P3: a pass before the soak is over; a soak counted from the end of a round; unknown as pass; one
// check of several as enough; one unknown too many; force taken for pass before the gate is decided; a
// fail that does not halt; a failed canary that is forgotten.
//
// P4: parallel one more and one less; slots one more, and slots not given back; the budget off by one,
// both ways; one attempt more; busy for ever; a retry from the source that failed, and that after a
// stop; overlapping batches; an abort that goes on; transfers that go on after the second abort;
// sources never left, and left too early.
//
// P5: a proxy that serves before its sync, while pooled, before it is drained, after a resume without
// being looked at, or without a drain after a resume; one synced before it is drained; one repooled
// after the first batches; masters beside proxies; canaries from proxies; a lost source that goes on
// serving, whose transfers go on, or that is forgotten by a resume.
//
// P8: failed as untouched; partial as synced; halted as done; in flight at a crash as synced.
//
// P9: done with pools out or with steps in flight; no halt without a source; a panic after the last
// stage; loads kept over a resume; synced hosts synced again after it; Next changing the state; times
// or receipts lost in JSON.
//
// Edits by others: our own writes taken for theirs; what was over before a depool taken for new; edits
// of what is not held, or is being put back; those during a depool forgotten; "out" as the end of a
// service; the policy ignored; one depool fewer than it allows, without a pause, or in its stage alone;
// transfers that go on from a proxy that is in its pools again; what was back not looked at after a resume.
//
// Looks: none after a transfer that failed; a stage that is complete before one, or while one runs; a pull during
// one forgotten; no pause, one too short, too long, or where nobody waits; no backoff; one attempt more and one
// fewer; failures that are not in succession; a change, or the last attempt, that does not lose the master; a stop
// that counts, or that is the last word; two at once; one after a halt, without a tree, or of a lost master; one
// that outlives a second abort; co-masters, and a host that masters are rebuilt from, left out; a crash in one, or
// in a transfer, forgotten; attempts that all are the first.
//
// Lost masters: one that goes on serving, whose transfers go on, or that serves again once the run is resumed
// after its end; nothing after a lost origin, or masters before proxies; no halt when the last source is lost.
//
// Canaries put back: untouched ones, ones put back before, ones that keep nothing, and those of a forced gate;
// only synced ones, all but the one that failed, none for an unknown gate or a failed canary; their transfers not
// ended, or not waited for; one attempt more and one fewer; a counter shared with syncs; no backoff; busy counted,
// or for ever, or since a time that is over; permanent tried again; a stop that counts; a first abort that ends
// it, a second that does not, or lets what is in flight go on; done before it; more than parallel at once, or one
// fewer; a crash that takes it for done, or keeps its room; put back counted as failed or as synced, its error
// kept; half-way as synced; not begun again after the end, as failed if it is not begun, attempts that begin at 1,
// no new attempts for what was left half-way, and a canary condemned for ever.
//
// Quarantines: two at once, over two decisions or in one, or beside a depool; one that is not planned, never, or
// again after it ended well; capacity and permanent tried again; one attempt more, one alone; no backoff; a second
// abort that does not end them, or ends one in flight, and a first that does; what is out, or should be, not
// named; a crash in one taken for its end, or for one that goes on; attempts that begin at 1; one that is done
// forgotten by a resume, or one that was given up kept; one that could not be seen to, and was forgotten.
//
// Rollback runs: parallel one more, for retries too; overlapping batches; failures that do not count; no pause and
// no wake before a retry; an abort that goes on; hosts that were put back begun again; half-way as untouched.
// Hosts that are down: not counted, at the beginning or after the run was opened again, and tried then.
//
// Without a source: canaries that are left as they are; a pause before the look at a master that a transfer failed from.
//
// Silent sources: one whose transfers go on, that serves on, or stays out of its pools; the last one left; one that is put
// back before the end; one that is silent for ever, or as the origin, after the run was resumed.
//
// Hosts that are down: tried; not counted against the budget, at the beginning or after the run was opened again; as
// untouched; in a run that is done without a failure; as a canary that holds up the gate.
//
// Hosts that will not get the tree: not seen to where a run stops before it has come to their stage again.
//
// P12, what is shown: a step that was given up after its attempts and is said to be tried again; a proxy called out once its depool
// has started; a host counted twice; a snapshot that changes after it was handed out; reports that stay as they were when the run stops.
//
// Locality: ignored; racks of the same name in two datacenters; nearness waited for.
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
