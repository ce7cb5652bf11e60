package main

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/demo/incident"
	"github.com/fleetsync/fleetsync/cmd/internal/testfleet"
)

// The day that this program was written for, played act by act on a fleet with two masters: everything refuses; forced
// through with every override, everything comes back to the last byte and nanosecond. The replay holds each tree
// against its own snapshots after every act; the test holds the pools against the store and, from the first full sync
// to the last rollback, every host against a walker of its own.
//
// Seen to fail with: a may-serve that always agrees; a run and a master sync from serve: false; no budget of deletions; a
// confirmation that takes any number; a master sync that counts as the last good run; canaries that stay as they are after a
// failed gate; an undo without the times of folders, or without hard links; a folder that rsync had to leave taken for a
// difference; a status that calls the tree of a run that was taken back the newest.
func TestIncident20160202(t *testing.T) {
	t.Parallel()
	needPrograms(t)
	fleetsync, err := shipped()
	if err != nil {
		t.Fatal(err)
	}
	o := small()
	o.Hosts, o.Proxies, o.Files, o.KeepAll, o.Program = 4, 1, incident.MinFiles, true, fleetsync
	o.Soak, o.Drain = 20*time.Millisecond, 0
	w := up(t, o)
	var said bytes.Buffer
	a := &app{getenv: os.Getenv, exit: func(int) { t.Error("it does not wait for its end") }, name: fleetsync}
	r, err := incident.New(a.again, w.Fleet, &said)
	if err != nil {
		t.Fatal(err)
	}
	hosts := slices.DeleteFunc(w.everybody(t), func(name string) bool { return name == comaster })
	good, act := map[string]testfleet.Snapshot{}, 0
	err = r.Play(t.Context(), func(title string, _ int, failed error) error {
		act++
		if w.wantPools(t); t.Failed() {
			t.Errorf("that was act %d: %s", act, title)
		}
		switch {
		case failed != nil:
		case act == 1:
			good = w.trees(t, append(hosts, origin, comaster)...)
		case strings.HasPrefix(title, "Every host still holds"):
			for name, was := range good {
				if name != comaster { // which has been reimaged by hand
					wantTree(t, name, was, walk(t, w.tree(name)), false)
				}
			}
		case strings.HasPrefix(title, "Masters do not differ"):
			wantTree(t, comaster, good[comaster], walk(t, w.tree(comaster)), false)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	if act != r.Acts() {
		t.Errorf("%d acts were seen", act)
	}
	for _, code := range []string{"(exit code 0)", "(exit code 14)", "(exit code 4)"} {
		if !strings.Contains(said.String(), code) {
			t.Errorf("no act ended with %s", code)
		}
	}
	if wrong := unclean(said.String()); wrong != "" {
		t.Error(wrong)
	}
	if left := w.transfers(t); len(left) > 0 {
		t.Errorf("still running: %v", left)
	}
}
