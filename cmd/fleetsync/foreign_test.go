package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// objectOf is the key of one of a host's pool objects: apache2's.
func (w *world) objectOf(t *testing.T, host string) string {
	t.Helper()
	for key := range w.before {
		if strings.HasSuffix(key, "/apache2/"+host) {
			return key
		}
	}
	t.Fatalf("%s has no pool object", host)
	return ""
}

func (w *world) edits(t *testing.T, key string, pairs ...string) {
	t.Helper()
	now := w.objects()[key]
	changed := strings.NewReplacer(pairs...).Replace(now)
	if changed == now {
		t.Fatalf("%s holds none of %q: %s", key, pairs, now)
	}
	if err := w.Pools.Etcd.Put(key, changed); err != nil {
		t.Fatal(err)
	}
}

// servingOne starts a run and returns while the rsyncs of two hosts wait, with a proxy that serves one of them, and whom.
func (w *world) servingOne(t *testing.T) (p *program, release func(), host, source string) {
	t.Helper()
	p, release = w.startHeld(t, false)
	for _, e := range p.seen {
		if e.Kind == rollout.StepStarted && e.Step == rollout.StepID("sync/"+ordinary[0]) {
			return p, release, e.Host, e.Source
		}
	}
	e := p.awaitStep(t, rollout.StepStarted, "sync/"+ordinary[0])
	return p, release, e.Host, e.Source
}

// Somebody puts a proxy back into its pool while it serves: it serves no more, what it served is ended and goes to
// another source, the object is left as they want it, and the run ends well and names it. With depool-again it is taken
// out once more first, and is put back by us at the end.
//
// Seen to fail with: no watch; a transfer that goes on.
func TestForeignEdit(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"stop", "depool-again"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			w := up(t, small())
			w.edit(t, "fleetsync.yaml", "pooling:\n", "pooling:\n  on_foreign_edit: "+policy+"\n")
			p, release, host, source := w.servingOne(t)
			key := w.objectOf(t, source)
			if err := w.Pools.Etcd.Put(key, w.before[key]); err != nil { // what an operator's confctl makes of a stale copy
				t.Fatal(err)
			}
			p.await(t, "pool_changed", func(e rollout.Event) bool { return e.Kind == rollout.PoolChanged && e.Host == source })
			ended := p.await(t, "the end of what it served", func(e rollout.Event) bool {
				return e.Kind == rollout.StepFailed && e.Step == rollout.StepID("sync/"+host)
			})
			if ended.Class != rollout.Stopped {
				t.Errorf("the transfer from %s ended with %+v", source, ended)
			}
			next := p.awaitStep(t, rollout.StepStarted, "sync/"+host)
			if next.Source == source {
				t.Errorf("%s goes on from %s", host, source)
			}
			if policy == "depool-again" {
				p.awaitStep(t, rollout.StepDone, "depool/"+source)
			}
			release()
			r := p.wait(t)
			wantCode(t, r, exitDone)
			again := 0
			for _, e := range r.events {
				if e.Kind == rollout.StepDone && e.Step == rollout.StepID("depool/"+source) {
					again++
				}
			}
			if want := map[string]int{"stop": 1, "depool-again": 2}[policy]; again != want {
				t.Errorf("taken out %d times, want %d", again, want)
			}
			w.wantPools(t)
			w.wantSynced(t, w.everybody(t)...)
			if !strings.Contains(r.stderr, source+": "+strings.TrimPrefix(key, "/conftool/v1/pools/")+" was set to yes by somebody else") {
				t.Errorf("the edit is not named:\n%s", r.stderr)
			}
			if len(w.Pools.Etcd.Values("/fleetsync/v1")) != 1 { // the record of the inventory
				t.Errorf("left in the store: %v", w.Pools.Etcd.Values("/fleetsync/v1"))
			}
		})
	}
}

// What somebody else changes beside pooled is kept, and what they take out stays out; all is named, and the exit is 0.
//
// Seen to fail with: the value restored as it was.
func TestForeignEditsAreKept(t *testing.T) {
	t.Parallel()
	w := up(t, small())
	p, release := w.startHeld(t, false)
	weight, inactive, gone := w.objectOf(t, proxies[0]), w.objectOf(t, proxies[1]), w.objectOf(t, proxies[2])
	w.edits(t, weight, "[1.50, null]", "[2.50, null]")
	w.edits(t, inactive, `"no"`, `"inactive"`)
	w.Pools.Etcd.Delete(gone)
	for range proxies[1:] {
		p.await(t, "pool_changed", func(e rollout.Event) bool {
			return e.Kind == rollout.PoolChanged && slices.Contains(proxies[1:], e.Host)
		})
	}
	release()
	r := p.wait(t)
	wantCode(t, r, exitDone)
	now := w.objects()
	if got, want := now[weight], strings.Replace(w.before[weight], "[1.50, null]", "[2.50, null]", 1); got != want {
		t.Errorf("%s is %s, want %s", weight, got, want)
	}
	if got, want := now[inactive], strings.Replace(w.before[inactive], `"yes"`, `"inactive"`, 1); got != want {
		t.Errorf("%s is %s, want %s", inactive, got, want)
	}
	if got, there := now[gone]; there {
		t.Errorf("%s is %s, and was deleted", gone, got)
	}
	for key, value := range w.before {
		if key != weight && key != inactive && key != gone && now[key] != value {
			t.Errorf("%s is %s, was %s", key, now[key], value)
		}
	}
	for key, what := range map[string]string{weight: "what somebody else changed in it meanwhile was kept",
		inactive: "was set to inactive by somebody else", gone: "was deleted by somebody else"} {
		if !strings.Contains(r.stderr, strings.TrimPrefix(key, "/conftool/v1/pools/")) || !strings.Contains(r.stderr, what) {
			t.Errorf("%s is not named with %q:\n%s", key, what, r.stderr)
		}
	}
}
