package session_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/fleetsync/fleetsync/orchestrator/journal"
	"github.com/fleetsync/fleetsync/orchestrator/session"
	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/pooling/poolingtest"
)

// pooled returns what the objects of a host say, in the order of their keys.
func (w *world) pooled(host string) string {
	w.t.Helper()
	var all []string
	for _, service := range []string{"apache2", "nginx"} {
		fields, err := pooling.Object{Key: keyOf(host, service), Value: w.objects()[poolKeys+keyOf(host, service)]}.Fields()
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, string(fields.Pooled)+fields.Marker)
	}
	return strings.Join(all, " ")
}

// TestByHand: hosts are taken out as far as the thresholds allow, and put back.
//
// Seen to fail with: a depool that goes on after one that was refused; a host without objects that is found too late.
func TestByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.master("tin")
	changed, err := m.Depool(t.Context(), []string{"p1", "p2"})
	if err != nil || len(changed) != 4 || w.pooled("p1") != "no no" || w.pooled("p2") != "no no" {
		t.Errorf("%v, %v", changed, err)
	}
	// Of the five hosts of a pool three must stay.
	changed, err = m.Depool(t.Context(), []string{"p1", "p3", "p4"})
	if e, ok := as[*session.DepoolError](err); !ok || !errors.Is(err, pooling.ErrCapacity) || e.Changed != 2 || len(changed) != 2 {
		t.Errorf("%v, %v", changed, err)
	}
	if w.pooled("p3") != "yes yes" || w.pooled("p4") != "yes yes" {
		t.Errorf("p3 says %s, p4 %s", w.pooled("p3"), w.pooled("p4"))
	}
	for _, set := range []func([]string) ([]pooling.Object, error){
		func(hosts []string) ([]pooling.Object, error) { return m.Depool(t.Context(), hosts) },
		func(hosts []string) ([]pooling.Object, error) { return m.Repool(t.Context(), hosts) },
	} {
		before := w.objects()
		changed, err := set([]string{"p1", "m1"})
		if !errors.Is(err, pooling.ErrNoObjects) || changed != nil || !strings.HasPrefix(err.Error(), "m1: ") {
			t.Errorf("%v, %v", changed, err)
		}
		for key, value := range w.objects() {
			if before[key] != value {
				t.Errorf("%s is changed", key)
			}
		}
	}
	if changed, err := m.Repool(t.Context(), []string{"p1", "p2"}); err != nil || len(changed) != 4 {
		t.Errorf("%v, %v", changed, err)
	}
	w.wantPools()

	// Each that is back serves users: one that cannot be put back keeps no other from it.
	if _, err := m.Depool(t.Context(), []string{"p1", "p2"}); err != nil {
		t.Fatal(err)
	}
	w.edit("p1", "apache2", `"no"`, `"inactive"`)
	changed, err = m.Repool(t.Context(), []string{"p1", "p2"})
	if !is[*session.RepoolError](err) || !strings.Contains(err.Error(), keyOf("p1", "apache2")+": is inactive") || len(changed) != 3 {
		t.Errorf("%v, %v", changed, err)
	}
	if w.pooled("p1") != "inactive yes" || w.pooled("p2") != "yes yes" {
		t.Errorf("p1 says %s, p2 %s", w.pooled("p1"), w.pooled("p2"))
	}

	w.plan(func(*http.Request) poolingtest.Fault { return poolingtest.Proxy403 })
	if _, err := m.Repool(t.Context(), []string{"p1"}); !is[*session.RepoolError](err) || !is[*session.PoolsError](err) {
		t.Errorf("pools that cannot be read: %v", err)
	}
	if _, err := m.Depool(t.Context(), []string{"p1"}); is[*session.DepoolError](err) || !is[*session.PoolsError](err) {
		t.Errorf("pools that cannot be read: %v", err)
	}
	m.Pools = nil
	if _, err := m.Repool(t.Context(), []string{"p1"}); !errors.Is(err, session.ErrNoPools) {
		t.Errorf("no pools: %v", err)
	}
}

// TestRepoolAfterADeath: one service of a host was out before the run that died, and stays out when the host is put back by hand; what
// the run took out is as it was, byte for byte, and its receipt is dropped, so that it keeps no other run from beginning. What somebody
// has decided meanwhile stays, where the journal tells what there was; on another master nothing but the marker does.
//
// Seen to fail with: every object set to yes; receipts that stay; receipts that are not asked for what an object was.
func TestRepoolAfterADeath(t *testing.T) {
	t.Parallel()
	for _, other := range []bool{false, true} {
		w := newWorld(t)
		w.edit("p1", "nginx", `"yes"`, `"no"`)
		w.before = w.objects()
		m := w.master("tin")
		m.die("r1", "p1", "p2")
		if other {
			m = w.master("mira")
		} else {
			w.edit("p2", "nginx", `"no"`, `"inactive"`)
		}
		if got, want := w.pooled("p1"), "nor1 no"; got != want {
			t.Fatalf("p1 says %s, want %s", got, want)
		}
		changed, err := m.Repool(t.Context(), []string{"p1", "p2"})
		if err != nil || len(changed) != 4 {
			t.Errorf("%v, %v", changed, err)
		}
		if !other {
			if got, want := w.pooled("p2"), "yes inactive"; got != want {
				t.Errorf("p2 says %s, want %s", got, want)
			}
			w.edit("p2", "nginx", `"inactive"`, `"yes"`)
		}
		w.wantPools()
		w.wantShared("lock", "runs/r1")
		m.wantSaid()
	}
}

// TestByHandWhileARunLives: what a run holds is the run's as long as it lives.
//
// Seen to fail with: runs that are not asked whether they live.
func TestByHandWhileARunLives(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.master("tin")
	m.die("r1", "p1")
	before := w.objects()
	lives, _, err := journal.Open(m.Store.JournalPath("r1"))
	if err != nil {
		t.Fatal(err)
	}
	_, depool := m.Depool(t.Context(), []string{"p1"})
	_, repool := m.Repool(t.Context(), []string{"p1"})
	for _, err := range []error{depool, repool} {
		if err == nil || !strings.Contains(err.Error(), "held by run r1, which is under way: it will put it back itself") {
			t.Errorf("%v", err)
		}
	}
	for key, value := range w.objects() {
		if before[key] != value {
			t.Errorf("%s is %s, was %s", key, value, before[key])
		}
	}
	if err := lives.Close(); err != nil {
		t.Fatal(err)
	}
	// Of a run that died a host is kept out by hand, and put back later.
	if changed, err := m.Depool(t.Context(), []string{"p1"}); err != nil || len(changed) != 2 || !slices.Equal(changed, m.observe("p1")) {
		t.Errorf("%v, %v", changed, err)
	}
	if _, err := m.Repool(t.Context(), []string{"p1"}); err != nil {
		t.Error(err)
	}
	w.wantPools()
}

func (m *master) observe(host string) []pooling.Object {
	m.w.t.Helper()
	objects, err := m.Pools.Observe(m.w.t.Context(), host)
	if err != nil {
		m.w.t.Fatal(err)
	}
	return objects
}
