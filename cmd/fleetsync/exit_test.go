package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/journal"
	"github.com/fleetsync/fleetsync/orchestrator/preflight"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/session"
	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/transport"
)

// TestEndings: an error has its exit code and its hint by its type, however it is wrapped, and beside what else went wrong.
//
// Seen to fail with: hosts that are out behind any other code.
func TestEndings(t *testing.T) {
	t.Parallel()
	out := []rollout.Out{{Host: "mw1", Error: "sick"}}
	run := func(result rollout.Result, out []rollout.Out, err error) error {
		return &runError{run: "r1", outcome: rollout.Outcome{Result: result, Out: out}, err: err}
	}
	held := func(run string) error { return &pooling.HeldError{Holder: pooling.Holder{Owner: "bob", Run: run}} }
	other := errors.New("other")
	for _, c := range []struct {
		err  error
		code int
		hint string
	}{
		{other, exitInternal, ""},
		{run(rollout.ResultFailed, nil, nil), exitFailures, "show r1"},
		{run(rollout.ResultHalted, nil, nil), exitHalted, "show r1"},
		{run(rollout.ResultAborted, nil, nil), exitInterrupted, "show r1"},
		{&runError{outcome: rollout.Outcome{Result: rollout.ResultAborted}, terminated: true}, exitTerminated, "show "},
		{run(rollout.ResultHalted, out, nil), exitNotRestored, "show r1"},
		{run(rollout.ResultHalted, out, other), exitNotRestored, "show r1"},
		{run(rollout.ResultHalted, nil, other), exitInternal, "show r1"},
		{&session.NotRestoredError{Out: out}, exitNotRestored, ""},
		{errors.Join(&session.StateError{Err: other}, &session.NotRestoredError{Out: out}), exitNotRestored, ""},
		{&session.RepoolError{Err: other}, exitNotRestored, "pool get"},
		{&session.RepoolError{Err: &session.PoolsError{Err: other}}, exitNotRestored, "check pooling.endpoints"},
		{&session.DepoolError{Err: pooling.ErrCapacity}, exitInvalid, "pool get"},
		{&session.DepoolError{Err: pooling.ErrNoObjects, Changed: 1}, exitInternal, "pool get"},
		{failuresError{other}, exitFailures, ""},
		{session.ErrInterrupted, exitInterrupted, ""},
		{usage(other, "like this"), exitUsage, "like this"},
		{errors.New("unknown flag: --x"), exitUsage, "fleetsync help"},
		{inventory.Problems{{}}, exitInvalid, ""},
		{invalidError{other}, exitInvalid, ""},
		{notFoundError{other}, exitMissing, "call it by its path"},
		{&transport.MissingError{Programs: []string{"flock"}}, exitMissing, "apt-get install util-linux"},
		{journal.ErrLocked, exitLocked, "status, or --wait"},
		{held("r1"), exitLocked, "status, or --wait"},
		{held(""), exitLocked, "unlock   (once bob agrees), or --wait"},
		{fmt.Errorf("%w, by whom is not known", pooling.ErrHeld), exitLocked, "status, or --wait"},
		{&preflight.Refusal{Kind: preflight.Unrestored, Err: other}, exitLocked, "recover"},
		{&session.NotFrozenError{Holder: pooling.Holder{Run: "r1"}}, exitLocked, "recover, if the run died"},
		{&session.NotFrozenError{}, exitLocked, "it runs out by itself if that died"},
		{&session.LockError{Err: other}, exitInvalid, "check lock.endpoints; nothing was touched"},
		{&session.WriteError{Err: other}, exitInvalid, "check lock.endpoints and lock.prefix. Nothing was touched"},
		{&session.StoreError{Err: other}, exitInvalid, "nothing was touched"},
		{&session.PoolsError{Err: other}, exitInvalid, "check pooling.endpoints and pooling.prefix"},
		{fmt.Errorf("mw1: %w", pooling.ErrNoObjects), exitInvalid, "check pooling.select and pooling.prefix"},
		{session.ErrNoPools, exitInvalid, "add pooling: to "},
		{session.ErrNoShared, exitInvalid, "add pooling.endpoints or lock.endpoints to "},
		{&session.OvertakenError{Run: "r1"}, exitInvalid, "sync; what run r1 has left out of its pools is put back by: "},
		{&session.GoneHostsError{Inventory: "i.yaml"}, exitInvalid, "put them back into i.yaml, or plan anew: "},
		{&session.StateError{Err: other}, exitJournal, stateHint},
		{&session.JournalError{Err: other}, exitJournal, "history"},
		{&journal.CorruptError{Err: other}, exitJournal, "history"},
		{&journal.NewerError{Format: 3, Writer: "fleetsync v9"}, exitJournal, "install fleetsync v9 or a newer one"},
		{noRunError{journal.ErrNoRun}, exitJournal, "history"},
		{rollout.ErrNoProxyFits, exitInvalid, "repool hosts that are out"},
		{rollout.ErrDown, exitGuard, "fleetsync check --reach"},
	} {
		const hinted = 3
		for i, err := range []error{c.err, errors.Join(c.err, other), fmt.Errorf("while at it: %w", c.err), hinted: withHint(c.err, "do that")} {
			if i > 0 && isUsage(c.err) { // known by its text alone
				continue
			}
			var stderr bytes.Buffer
			a := &app{stderr: &stderr, getenv: func(string) string { return "" }, config: "c.yaml"}
			want := c.hint
			if i == hinted {
				want = "do that"
			}
			code, hint := a.endingOf(err)
			if code != c.code || !strings.Contains(hint, want) || (hint == "") != (want == "") {
				t.Errorf("%v (%T) ends with %d, %q, want %d, %q", err, c.err, code, hint, c.code, want)
			}
			if got := a.report(err); got != code || !strings.Contains(stderr.String(), "fleetsync: ") {
				t.Errorf("%v: reported with %d:\n%s", err, got, &stderr)
			}
			stderr.Reset()
			if got := a.report(toldError{err}); got != code || stderr.Len() > 0 {
				t.Errorf("%v: told again, or with %d:\n%s", err, got, &stderr)
			}
		}
	}
}
