package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fleetsync/fleetsync/cmd/internal/testfleet"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// ofKind returns the events of a kind.
func ofKind(events []rollout.Event, kind rollout.EventKind) []rollout.Event {
	return slices.DeleteFunc(slices.Clone(events), func(e rollout.Event) bool { return e.Kind != kind })
}

// The origin changes while a canary waits: what that one gets is not the run's tree, the origin is no source any
// more, and nothing is left to go on with: the canaries get back what they had.
//
// Seen to fail with looks that never say "changed", and with a sync that is not verified.
func TestSourceChangesBeforeTheGate(t *testing.T) {
	t.Parallel()
	w := up(t, small())
	w.sync(t, exitDone, "sync")
	if _, err := testfleet.Edit(w.Source, 5); err != nil {
		t.Fatal(err)
	}
	before := w.trees(t, w.everybody(t)...)
	release := w.hold(t, canaries[0])
	p := w.start(t, false, "--json", "sync")
	w.awaitHeld(t, canaries[0])
	write(t, filepath.Join(w.Source, "docroot", "late.php"), "<?php // too late\n")
	release()
	r := p.wait(t)
	wantCode(t, r, exitHalted)
	b := w.audit(t, r.events)
	b.wantSynced()
	w.wantRolledBack(t, before, b, canaries...)
	changes := ofKind(r.events, rollout.SourceChanged)
	if len(changes) != 1 || changes[0].Host != origin {
		t.Errorf("that the source has changed is told by %+v", changes)
	}
	w.wantUntouched(t, before, slices.DeleteFunc(w.everybody(t), func(name string) bool { return slices.Contains(canaries, name) })...)
	w.wantPools(t)
}

// The origin changes while a proxy waits: that one and all others get the run's tree from the proxies that were
// verified.
//
// Seen to fail with a lost origin that is the only source of its stage.
func TestSourceChangesBehindTheGate(t *testing.T) {
	t.Parallel()
	w := up(t, small())
	want := walk(t, w.Source)
	release := w.hold(t, proxies[1])
	p := w.start(t, false, "--json", "sync")
	w.awaitHeld(t, proxies[1])
	eventually(t, "the other proxies are synced", func() bool {
		v := w.status(t)
		return v.standing(proxies[0]) == rollout.Synced && v.standing(proxies[2]) == rollout.Synced
	})
	write(t, filepath.Join(w.Source, "docroot", "late.php"), "<?php // too late\n")
	release()
	r := p.wait(t)
	wantCode(t, r, exitDone)
	if changes := ofKind(r.events, rollout.SourceChanged); len(changes) != 1 || changes[0].Host != origin {
		t.Errorf("that the source has changed is told by %+v", changes)
	}
	for _, host := range w.everybody(t) {
		wantTree(t, host, want, walk(t, w.tree(host)), false)
	}
	w.wantPools(t)
}

// A host whose destination is not what it should be is not wiped: its rsync may delete what the budget allows, and
// then fails it for good.
//
// Seen to fail with rsyncs that may delete any number.
func TestWrongDestinationIsNotWiped(t *testing.T) {
	t.Parallel()
	w := up(t, small())
	w.sync(t, exitDone, "sync")
	const extra = 50
	for i := range extra {
		write(t, filepath.Join(w.tree(ordinary[0]), "precious", fmt.Sprintf("%02d", i)), "somebody's\n")
	}
	b := w.sync(t, exitFailures, "sync")
	if got := b.starts("sync/" + ordinary[0]); got != 1 {
		t.Errorf("it was tried %d times, though no other try would end otherwise", got)
	}
	if !strings.Contains(b.errors[ordinary[0]], "25") {
		t.Errorf("its error is %q", b.errors[ordinary[0]])
	}
	left, err := filepath.Glob(filepath.Join(w.tree(ordinary[0]), "precious", "*"))
	if err != nil {
		t.Fatal(err)
	}
	if most := b.plan.Limits.MaxDelete; most < 1 || len(left) < extra-most {
		t.Errorf("%d of %d files are left, and %d may be deleted", len(left), extra, most)
	}
	w.wantPools(t)
}

// A canary that cannot be rolled back is taken out of its pools and stays out until it has a good tree; that neither keeps
// another run from its work nor is it touched by recover. The next good sync puts it back.
//
// Seen to fail with a rollback that takes it for a good sign that nothing is kept, with a quarantine that is put
// back at the end, and with one that is for ever.
func TestQuarantine(t *testing.T) {
	t.Parallel()
	w := up(t, small())
	w.sync(t, exitDone, "sync")
	if _, err := testfleet.Edit(w.Source, 3); err != nil {
		t.Fatal(err)
	}
	const good, bad = `command: ["test", "-s",`, `command: ["sh", "-c", "rm -rf -- \"${0%/*/*}/.fleetsync/keep\"; exit 1",`
	w.edit(t, "fleetsync.yaml", good, bad)
	r := w.run(t, "--json", "sync")
	wantCode(t, r, exitHalted)
	b := w.audit(t, r.events)
	o := b.last.Outcome
	quarantined := map[string]bool{}
	for _, q := range o.Quarantined {
		quarantined[q.Host] = true
	}
	if len(quarantined) == 0 || len(o.Quarantined)+len(o.Mixed) != len(canaries) {
		t.Fatalf("quarantined are %+v, mixed %+v", o.Quarantined, o.Mixed)
	}
	for _, host := range w.out() {
		if !quarantined[host] {
			t.Errorf("%s is out of its pools, and not quarantined", host)
		}
		delete(quarantined, host)
		if !strings.Contains(r.stderr, host) {
			t.Errorf("%s is not named:\n%s", host, r.stderr)
		}
	}
	if len(quarantined) > 0 {
		t.Errorf("not out of their pools are %v", quarantined)
	}

	out := w.out()
	wantCode(t, w.run(t, "recover", "--yes"), exitDone)
	if now := w.out(); !slices.Equal(now, out) {
		t.Errorf("out are %s, were %s", now, out)
	}
	w.edit(t, "fleetsync.yaml", bad, good)
	w.sync(t, exitDone, "sync", "--behind")
	w.wantPools(t)
}
