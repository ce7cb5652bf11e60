package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The origin's tree was edited after the run died: a resumed run would leave a fleet of two trees, and
// call it synced. It puts its pools back and halts. What is excluded may change. Seen to fail without the
// digest in the plan.
func TestResumeOfAChangedSource(t *testing.T) {
	t.Parallel()
	w := up(t, small())
	p, release := w.startHeld(t, false)
	p.signal(t, os.Kill)
	run := p.wait(t).events[0].Run
	release()
	w.wantNoTransfer(t)
	write(t, filepath.Join(w.Source, "wikiversions.php"), "<?php // another\n")
	before := w.trees(t, ordinary...)
	r := w.run(t, "resume", run)
	wantCode(t, r, exitHalted)
	if !strings.Contains(r.stderr, "is not the one that the run began with") {
		t.Errorf("the reason is not said:\n%s", r.stderr)
	}
	w.wantPools(t)
	w.wantUntouched(t, before, ordinary...)
}
