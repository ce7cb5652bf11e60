package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/fleetsync/fleetsync/orchestrator/journal"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// tracePath is the journal of a small run, with a comment at each event.
const tracePath = "../../docs/trace.md"

// TestTrace holds that the journal in docs/trace.md is one of this program: it is read without a field that is not
// known, leads to the outcome that it tells, and is written as it stands; and that the comments are those below. With -update it makes the
// document anew, from a run of the demo.
//
// Planted faults that it saw: an event without a field, with an old name of one, a comment of another event.
func TestTrace(t *testing.T) {
	if *update {
		needPrograms(t)
		path, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		c := exec.Command(path)
		c.Args = []string{"fleetsync", "demo", "--json", "--hosts", "4", "--proxies", "1", "--files", "40", "--soak", "100ms", "--drain", "100ms"}
		out, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(tracePath, []byte(traceDocument(t, traceEvents(t, strings.Split(strings.TrimSpace(string(out)), "\n")))),
			0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(tracePath)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, line := range strings.Split(string(data), "\n") {
		if strings.HasPrefix(line, `{"seq":`) {
			lines = append(lines, line)
		}
	}
	events := traceEvents(t, lines)
	state, err := journal.Fold(events)
	if err != nil {
		t.Fatal(err)
	}
	if o := state.Finished(); o == nil || o.Result != rollout.ResultDone || o.Counts != state.Snapshot().Counts {
		t.Errorf("the run came to %+v", o)
	}
	if events[0].Format != rollout.Format {
		t.Errorf("the journal is of form %d, and this program writes form %d: make trace", events[0].Format, rollout.Format)
	}
	if want := traceDocument(t, events); string(data) != want {
		t.Errorf("docs/trace.md is not as its events and comments make it: make trace")
	}
}

// traceEvents reads events strictly: no field may be unknown.
func traceEvents(t *testing.T, lines []string) []rollout.Event {
	t.Helper()
	var events []rollout.Event
	for _, line := range lines {
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		var e rollout.Event
		if err := d.Decode(&e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		events = append(events, e)
	}
	return events
}

func traceDocument(t *testing.T, events []rollout.Event) string {
	t.Helper()
	var b bytes.Buffer
	b.WriteString(`# A run, event by event

This is the whole journal of a small run, as the program wrote it: four hosts, one of them a canary and one a proxy, a second
master, 40 files (fleetsync demo --hosts 4 --proxies 1). Each line is one event; what comes before it says what it is and why it is
there. "make trace" makes this page anew; a test holds that it is what the program of today writes and reads.

Events are the only way into the state of a run: folding these lines in order gives it at any point, which is all that status,
show and resume do. docs/snapshot.md has the state as JSON, orchestrator/rollout/event.go every field of an event.
`)
	said := map[string]int64{}
	for _, e := range events {
		text := traceComment(e)
		if first := said[text]; first > 0 {
			text = fmt.Sprintf("As event %d, for %s.", first, e.Step)
		} else {
			said[text] = e.Seq
		}
		var line bytes.Buffer
		encoder := json.NewEncoder(&line)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(e); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "\n%d. %s\n\n```json\n%s```\n", e.Seq, text, line.String())
	}
	return b.String()
}

// traceComment says what an event is. A new kind of event or step has to be given its sentence here.
func traceComment(e rollout.Event) string {
	switch e.Kind {
	case rollout.RunStarted:
		return "The run begins. The event carries the plan, which never changes: hosts with their roles, stages in order, each with its reason, " +
			"limits and the gate. A journal needs no other file to be understood. `format` is the form of the events from here on, `writer` who writes them."
	case rollout.RunResumed:
		return "Another process goes on with the run where its journal ends."
	case rollout.StepStarted:
		return traceStarted(e.StepKind)
	case rollout.StepDone:
		return traceDone(e.StepKind)
	case rollout.StepFailed:
		return "The attempt failed: why, of which class, and what becomes of the step. `fate` is set by the core: retry, deferred or given_up."
	case rollout.PoolChanged:
		return "Somebody else has changed a pool object that the run holds."
	case rollout.SourceChanged:
		return "A source does not hold the run's tree any more: it never serves again in this run."
	case rollout.SourceSilent:
		return "A source does not answer any more: what it serves is ended, and goes on from another."
	case rollout.LockLost:
		return "The lock is lost: nothing starts any more but what puts pools back."
	case rollout.AbortAsked:
		return "Somebody asked for an end: `level` 1 lets running steps end, 2 ends transfers too."
	case rollout.RunFinished:
		return "Nothing is in flight and nothing is left to do. The outcome is what the exit code is made from: its result, the verdict of the gate, " +
			"how many hosts stand where (they add up to `hosts`), and what is not back in its pools (here nothing: there is no `out`)."
	default:
		return "?"
	}
}

func traceStarted(kind rollout.StepKind) string {
	switch kind {
	case rollout.StepSync:
		return "A host begins to pull the tree from `source`. This line is durable before its rsync is started: after a crash the step is begun " +
			"again, as the next attempt. A canary pulls from the origin; a host of the fleet pulls from a proxy, once there is one."
	case rollout.StepCheck:
		return "A round of a check over all canaries begins. Rounds are repeated until one that began after the soak passes."
	case rollout.StepObserve:
		return "The pool objects of a proxy are about to be read."
	case rollout.StepDepool:
		return "The proxy is about to be taken out: by compare-and-set on what was just observed. From here on until a repool is done the run holds it."
	case rollout.StepRepool:
		return "Nobody needs the proxy any more: it is about to be put back, exactly as it was."
	case rollout.StepRecheck:
		return "Somebody has pulled from a master: it is asked whether it still holds the run's tree. The stage is not complete before it has said so."
	case rollout.StepRollback:
		return "A host is about to get back the tree that it had before."
	case rollout.StepQuarantine:
		return "A host without a good tree is about to be taken out of its pools."
	case rollout.StepRelease:
		return "A host that has a good tree again is about to be put back into its pools."
	case rollout.StepHook:
		return "The run's hooks of `moment` begin, on this machine."
	case rollout.StepPost:
		return "The post hooks of a host begin: it has the tree."
	case rollout.StepOnFailure:
		return "The on_failure hooks of a host begin: it will not get the tree."
	default:
		return "?"
	}
}

func traceDone(kind rollout.StepKind) string {
	switch kind {
	case rollout.StepSync:
		return "The host holds the tree: rsync has ended well and the digest that the host computed of its tree is the run's. `stats` is what moved. " +
			"A proxy may serve from here on; a canary lets the gate open."
	case rollout.StepCheck:
		return "The round has a verdict: pass, fail or unknown, which is not pass."
	case rollout.StepObserve:
		return "What was found: each object's key, value and index. This is the receipt of what they were; it is kept in the shared store, too, so that any " +
			"master can put them back."
	case rollout.StepDepool:
		return "The proxy is out: each object as it was written, with the run's marker in it, and the index of that write. An edit with a later index is somebody else's."
	case rollout.StepRepool:
		return "The proxy is back in its pools."
	case rollout.StepRecheck:
		return "The master still holds the run's tree."
	case rollout.StepRollback:
		return "The host has the tree that it had before."
	case rollout.StepQuarantine:
		return "The host is out of its pools until it has a good tree."
	case rollout.StepRelease:
		return "The host is back in its pools."
	case rollout.StepHook:
		return "The run's hooks are done."
	case rollout.StepPost:
		return "The host's post hooks are done: from here on it counts as synced."
	case rollout.StepOnFailure:
		return "The host's on_failure hooks are done."
	default:
		return "?"
	}
}
