package preflight_test

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/preflight"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/transport/rsync"
)

// TestJudgeProperties: of whatever the world is like, every fact is asked once; the same facts are judged the same, and are not changed;
// and a plan has no host in a stage that is down, in quarantine as a proxy, or a proxy that the pools cannot spare, deletes no more than
// the budget or what was confirmed, and begins with no canary or master that has too little space.
//
// Seen to fail with: a probe of only the first hosts of a plan, whatever stands in for those that are down; a Judge that keeps what is
// down in the facts; a budget that is that of the policy where a number was confirmed, or any number that was typed; a sample that
// begins behind the canaries.
func TestJudgeProperties(t *testing.T) {
	t.Parallel()
	base := newWorld(t, "max_failures: 1", "max_failures: 4")
	rapid.Check(t, func(t *rapid.T) {
		w := &world{
			fleet: base.fleet, policy: base.policy, last: base.last, objects: maps.Clone(base.objects),
			trees: base.trees, records: base.records,
			down: map[string]error{}, free: maps.Clone(base.free), deltas: map[string]rsync.Delta{}, dryErr: map[string]error{},
			corrupt: map[string]error{}, asked: map[string]int{},
		}
		some := func(what string, names ...string) []string {
			return rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 3, rapid.ID[string]).Draw(t, what)
		}
		fleet := []string{"c1", "c2", "p1", "p2", "h1", "h2", "h3", "h4"}
		for _, host := range some("down", append(fleet, "m2", "m3")...) {
			w.down[host] = errNo
		}
		for _, host := range some("full", append(fleet, "m2")...) {
			w.free[host] = 50
		}
		for _, host := range some("silent", "c1", "c2", "m2") {
			w.dryErr[host] = errNo
		}
		for _, host := range append(slices.Clone(fleet), "m2", "m3") {
			w.deltas[host] = rsync.Delta{
				Delete: rapid.IntRange(0, 4).Draw(t, "delete"), Bytes: int64(rapid.IntRange(0, 99).Draw(t, "bytes")),
			}
		}
		for _, host := range some("out", fleet...) {
			w.objects["a/web/www/"+host] = `{"pooled":"no","weight":1}`
		}
		quarantined := some("quarantined", fleet...)
		for _, host := range quarantined {
			key := "a/web/www/" + host
			w.receipts = append(w.receipts, pooling.Receipt{
				Run: "r0", Host: host, Purpose: pooling.Quarantine, Objects: []pooling.Object{{Key: key, Value: w.objects[key]}},
			})
			w.objects[key] = `{"pooled":"no","weight":1,"fleetsync":"r0"}`
		}
		if rapid.Bool().Draw(t, "ran") {
			s, err := w.play("r1", w.trees["m1"], nil, some("failed", fleet...)...)
			if err != nil {
				t.Fatal(err)
			}
			w.runs = append(w.runs, s)
		}
		r := request()
		r.Mode = rapid.SampledFrom([]inventory.Mode{inventory.ModeSync, inventory.ModeCanary, inventory.ModeResync}).Draw(t, "mode")
		r.Limit = rapid.SampledFrom([]string{"", "", "h[1-4]", "c1,h[1-2],p[1-2]", "p1,h1,m2"}).Draw(t, "limit")
		r.Behind = rapid.Bool().Draw(t, "behind")
		r.Confirmed = rapid.IntRange(-1, 4).Draw(t, "confirmed")

		f, err := preflight.Gather(t.Context(), w.sources(), r)
		if err != nil {
			t.Fatal(err)
		}
		if often := w.often(); len(often) > 0 {
			t.Fatalf("asked more than once: %q", often)
		}
		before := fmt.Sprintf("%+v", *f)
		v, err := preflight.Judge(f, r)
		again, errAgain := preflight.Judge(f, r)
		if !reflect.DeepEqual(v, again) || fmt.Sprint(err) != fmt.Sprint(errAgain) {
			t.Fatalf("judged once: %+v, %v; and again: %+v, %v", v, err, again, errAgain)
		}
		if after := fmt.Sprintf("%+v", *f); before != after {
			t.Fatalf("the facts were\n%s, and are\n%s", before, after)
		}
		if err != nil {
			if v.Plan != nil && errors.Is(err, rollout.ErrDown) {
				t.Fatalf("%v, and there is a plan", err)
			}
			return
		}
		checkPlan(t, w, r, v, quarantined)
	})
}

func checkPlan(t *rapid.T, w *world, r preflight.Request, v preflight.Verdict, quarantined []string) {
	if v.Plan == nil {
		if !r.Behind || v.NoneBehind == "" || len(quarantined) > 0 && r.Limit == "" && r.Mode != inventory.ModeCanary {
			t.Fatalf("no plan: %+v", v)
		}
		return
	}
	need := int64(0)
	for _, h := range v.Plan.Delta.Hosts {
		need = max(need, h.Bytes)
	}
	for _, h := range v.Plan.Hosts {
		staged := slices.ContainsFunc(v.Plan.Stages, func(s rollout.Stage) bool { return slices.Contains(s.Hosts, h.Name) })
		switch {
		case w.down[h.Name] != nil && (staged || h.Down == ""):
			t.Fatalf("%s is down, and synced", h.Name)
		case w.down[h.Name] == nil && h.Down != "":
			t.Fatalf("%s is not down, and left out", h.Name)
		case h.Role == rollout.RoleProxy && slices.Contains(quarantined, h.Name):
			t.Fatalf("%s is in quarantine, and serves", h.Name)
		case h.Role == rollout.RoleProxy && slices.ContainsFunc(v.Plan.Left, func(l rollout.Left) bool { return l.Host == h.Name }):
			t.Fatalf("%s is left out, and serves", h.Name)
		case staged && w.free[h.Name] < need && (h.Role == rollout.RoleCanary || h.Role == rollout.RoleMaster):
			t.Fatalf("%s has %d bytes, and needs %d", h.Name, w.free[h.Name], need)
		}
	}
	most, allowed := 0, 2 // a tenth of 20 files
	for _, h := range v.Plan.Delta.Hosts {
		most = max(most, w.deltas[h.Host].Delete)
	}
	is := [4]any{most, v.OverBudget, v.Plan.Limits.MaxDelete, v.Plan.Delta.Confirmed}
	switch over := most > allowed; {
	case r.Confirmed < 0 && is != [4]any{most, over, allowed, false},
		r.Confirmed >= 0 && is != [4]any{r.Confirmed, false, max(most, allowed), over}:
		t.Fatalf("%d would be deleted, %d may be, %d were confirmed: %+v %+v", most, allowed, r.Confirmed, v, v.Plan.Limits)
	}
}
