package pooling_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/pooling/storetest"
)

const (
	mw1    = "eqiad/appserver/apache2/mw1"
	mw1ssl = "eqiad/appserver/nginx/mw1"
	mw2    = "eqiad/appserver/apache2/mw2"
	held   = `{"weight": 10, "pooled": "no", "fleetsync": "run-1"}`
)

func TestDepool(t *testing.T) {
	both(t, func(t *testing.T, a others) {
		c := dial(t, a.store)
		a.put(mw1, yes)
		a.put(mw1ssl, no)
		a.put("eqiad/api/nginx/mw1", inactive)
		a.put(mw2, yes)
		a.put("eqiad/api/nginx/mw3", "garbage") // of somebody else's host
		objects := observe(t, c, "mw1")
		got, err := c.Depool(t.Context(), "run-1", objects, half)
		if err != nil {
			t.Fatal(err)
		}
		n := a.get(mw1)
		if diff := cmp.Diff([]pooling.Object{{Key: mw1, Value: held, Index: n.Index}}, got); diff != "" || n.Value != held {
			t.Errorf("%+v\n%s", n, diff)
		}
		if a.get(mw1ssl).Value != no || a.get("eqiad/api/nginx/mw1").Value != inactive || a.get(mw2).Value != yes {
			t.Error("touched more")
		}
		// no room: nothing is written, not even for a moment
		before := a.get(mw2)
		if held, err := c.Depool(t.Context(), "run-1", observe(t, c, "mw2"), half); held != nil || !errors.Is(err, pooling.ErrCapacity) ||
			a.get(mw2) != before {
			t.Errorf("no room: %v, %v", held, err)
		}
		// again: from what it made of them, and from what was observed before
		for _, objects := range [][]pooling.Object{got, objects, observe(t, c, "mw1")} {
			again, err := c.Depool(t.Context(), "run-1", objects, half)
			if err != nil || len(again) != 1 || again[0] != got[0] {
				t.Errorf("again: %v, %v", again, err)
			}
		}
		if n2 := a.get(mw1); n2.Index != n.Index {
			t.Error("written again")
		}
		// what a confctl made inactive meanwhile is not held
		a.put("eqiad/api/nginx/mw4", `{"weight": 10, "pooled": "inactive", "fleetsync": "run-1"}`)
		if held, err := c.Depool(t.Context(), "run-1", observe(t, c, "mw4"), half); held != nil || err != nil {
			t.Errorf("inactive: %v, %v", held, err)
		}
		// somebody else's is not ours
		if held, err := c.Depool(t.Context(), "run-2", observe(t, c, "mw1"), half); held != nil || err != nil {
			t.Errorf("another marker: %v, %v", held, err)
		}
		if held, err := c.Depool(t.Context(), "run-2", objects, pooling.Threshold{}); held != nil || !errors.Is(err, pooling.ErrConflict) {
			t.Errorf("another marker, observed before: %v, %v", held, err)
		}
		if _, err := c.Depool(t.Context(), "", objects, half); !errors.Is(err, pooling.ErrMalformed) {
			t.Errorf("no marker: %v", err)
		}
	})
}

func TestDepoolConflict(t *testing.T) {
	both(t, func(t *testing.T, a others) {
		c := dial(t, a.store)
		for _, key := range []string{mw1, mw1ssl, mw2, "eqiad/appserver/nginx/mw2"} {
			a.put(key, yes)
		}
		objects := observe(t, c, "mw1")
		a.put(mw1ssl, `{"weight": 5, "pooled": "yes"}`)
		before := a.get(mw1).Index
		got, err := c.Depool(t.Context(), "run-1", objects, half)
		if got != nil || !errors.Is(err, pooling.ErrConflict) || a.get(mw1).Index != before {
			t.Errorf("lost a race: %v, %v", got, err)
		}
		// a new observe follows
		got, err = c.Depool(t.Context(), "run-1", observe(t, c, "mw1"), half)
		if err != nil || len(got) != 2 {
			t.Errorf("after a new observe: %v, %v", got, err)
		}
		objects = observe(t, c, "mw2")
		a.remove(mw2)
		if got, err := c.Depool(t.Context(), "run-1", objects, pooling.Threshold{}); got != nil || !errors.Is(err, pooling.ErrNotFound) {
			t.Errorf("deleted: %v, %v", got, err)
		}
		if a.get(mw2).Index != 0 {
			t.Error("created again")
		}
		bad := []pooling.Object{{Key: "eqiad/appserver/nginx/mw2", Value: yes, Index: 0}}
		if _, err := c.Depool(t.Context(), "run-1", bad, pooling.Threshold{}); !errors.Is(err, pooling.ErrMalformed) {
			t.Errorf("index 0: %v", err)
		}
		a.put("eqiad/appserver/nginx/mw2", `{"pooled": "yes"}`)
		a.put(mw2, yes)
		before = a.get(mw2).Index
		if _, err := c.Depool(t.Context(), "run-1", observe(t, c, "mw2"), pooling.Threshold{}); !errors.Is(err, pooling.ErrMalformed) ||
			a.get(mw2).Index != before {
			t.Errorf("malformed: %v", err)
		}
	})
}

// TestConflictMidway: the second of two objects is changed while the first is being taken. The first stays taken, the
// second is left as it is, and a call with a new observation takes it too.
func TestConflictMidway(t *testing.T) {
	m := &storetest.Memory{}
	c := dial(t, m)
	for _, key := range []string{mw1, mw1ssl} {
		m.Put(prefix+"/"+key, yes)
	}
	const other = `{"weight": 5, "pooled": "yes"}`
	objects, edited := observe(t, c, "mw1"), false
	c = dial(t, &storetest.Faults{Next: m, Plan: func(op storetest.Op, _ string) storetest.Fault {
		if op == storetest.Swap && !edited {
			edited = true
			m.Put(prefix+"/"+mw1ssl, other)
		}
		return storetest.None
	}})
	got, err := c.Depool(t.Context(), "run-1", objects, pooling.Threshold{})
	if diff := cmp.Diff([]string{mw1}, keys(got)); diff != "" || !errors.Is(err, pooling.ErrConflict) {
		t.Errorf("%v, %v", got, err)
	}
	if diff := cmp.Diff(map[string]string{prefix + "/" + mw1: held, prefix + "/" + mw1ssl: other}, m.Values("/conftool")); diff != "" {
		t.Error(diff)
	}
	if got, err := c.Depool(t.Context(), "run-1", observe(t, c, "mw1"), pooling.Threshold{}); len(got) != 2 || err != nil {
		t.Errorf("%v, %v", got, err)
	}
}

// edited is a store that loses the reply to a write, tries again, and is told of a conflict: meanwhile somebody has changed what it wrote.
type edited struct {
	*storetest.Memory
	key, value string // what they made of it
}

func (e edited) Swap(ctx context.Context, key, value string, index uint64) (uint64, error) {
	if _, err := e.Memory.Swap(ctx, key, value, index); err != nil {
		return 0, err
	}
	e.Put(e.key, e.value)
	return e.Memory.Swap(ctx, key, value, index)
}

// TestEditedAtOnce: an object that we have taken is taken, though somebody changed its weight before we knew; one that they have put
// back is not.
//
// Seen to fail with: any conflict taken for a lost race.
func TestEditedAtOnce(t *testing.T) {
	for theirs, want := range map[string]error{
		`{"weight": 77, "pooled": "no", "fleetsync": "run-1"}`:  nil,
		`{"weight": 10, "pooled": "yes", "fleetsync": "run-1"}`: pooling.ErrConflict,
		no: pooling.ErrConflict,
	} {
		m := &storetest.Memory{}
		put(m, "mw1", yes)
		c := dial(t, edited{m, prefix + "/" + mw1, theirs})
		got, err := c.Depool(t.Context(), "run-1", observe(t, c, "mw1"), pooling.Threshold{})
		if taken := want == nil; !errors.Is(err, want) || taken != (len(got) == 1) || taken && got[0].Value != theirs || value(m, mw1) != theirs {
			t.Errorf("%s: %v, %v", theirs, got, err)
		}
	}
}

// TestSomebodyQuicker: an operator takes out another host between our first count and our write, or between our
// write and our second count. Ours is undone, byte for byte; theirs stays.
//
// Seen to fail with: no second count; second count before the write; undo in the context that has ended; undo left out
// when the second count fails.
func TestSomebodyQuicker(t *testing.T) {
	odd := `{ "pooled":"yes" , "weight":10.0,"x":1e3 }`
	for _, c := range []struct {
		name string
		at   storetest.Op // the call before which it happens: the first write, or the first count after it
		do   func(m *storetest.Memory, cancel context.CancelCauseFunc) storetest.Fault
		want error
	}{
		{"operator before our write", storetest.Swap, operator, pooling.ErrCapacity},
		{"operator after our write", storetest.List, operator, pooling.ErrCapacity},
		{"pools cannot be counted", storetest.List, func(*storetest.Memory,
			context.CancelCauseFunc) storetest.Fault {
			return storetest.Unauthorized
		}, pooling.ErrUnauthorized},
		{"asked to stop", storetest.List, func(_ *storetest.Memory, cancel context.CancelCauseFunc) storetest.Fault {
			cancel(context.Canceled)
			return storetest.None
		}, context.Canceled},
		{"pool shrinks", storetest.List, func(m *storetest.Memory, _ context.CancelCauseFunc) storetest.Fault {
			others{t, m}.remove(mw2)
			return storetest.None
		}, pooling.ErrCapacity},
		{"pool becomes inactive", storetest.Swap, func(m *storetest.Memory, _ context.CancelCauseFunc) storetest.Fault {
			put(m, "mw2", inactive)
			return storetest.None
		}, pooling.ErrCapacity},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &storetest.Memory{}
			put(m, "mw1", odd)
			put(m, "mw2", yes)
			objects := observe(t, dial(t, m), "mw1")
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			written, done := false, false
			client := dial(t, &storetest.Faults{Next: m, Plan: func(op storetest.Op, _ string) storetest.Fault {
				if !done && op == c.at && (written || op == storetest.Swap) {
					done = true
					return c.do(m, cancel)
				}
				written = written || op == storetest.Swap
				return storetest.None
			}})
			got, err := client.Depool(ctx, "run-1", objects, half)
			if !errors.Is(err, c.want) || len(got) != 0 {
				t.Errorf("%v, %v, want %v", got, err, c.want)
			}
			if now := (others{t, m}).get(mw1); now.Value != odd || now.Index < objects[0].Index+2 {
				t.Errorf("not put back: %+v", now)
			}
			if theirs := value(m, mw2); strings.HasPrefix(c.name, "operator") && theirs != no {
				t.Errorf("theirs: %s", theirs)
			}
		})
	}
}

func operator(m *storetest.Memory, _ context.CancelCauseFunc) storetest.Fault {
	put(m, "mw2", no)
	return storetest.None
}

// TestUndoAll: the pool of the second of two objects is lost to somebody quicker. Both are put back. Seen to fail with an
// undo of the second alone.
func TestUndoAll(t *testing.T) {
	m := &storetest.Memory{}
	before := map[string]string{}
	for _, key := range []string{mw1, mw1ssl, mw2, "eqiad/appserver/nginx/mw2"} {
		before[prefix+"/"+key] = yes
		m.Put(prefix+"/"+key, yes)
	}
	before[prefix+"/eqiad/appserver/nginx/mw2"] = no
	c := dial(t, &storetest.Faults{Next: m, Plan: func(op storetest.Op, key string) storetest.Fault {
		if op == storetest.Swap && strings.HasSuffix(key, mw1ssl) {
			m.Put(prefix+"/eqiad/appserver/nginx/mw2", no)
		}
		return storetest.None
	}})
	got, err := c.Depool(t.Context(), "run-1", observe(t, c, "mw1"), half)
	if !errors.Is(err, pooling.ErrCapacity) || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	if diff := cmp.Diff(before, m.Values(prefix)); diff != "" {
		t.Error(diff)
	}
}

// TestUndoFails: what could not be put back is returned and named.
func TestUndoFails(t *testing.T) {
	m := &storetest.Memory{}
	put(m, "mw1", yes)
	put(m, "mw2", yes)
	writes := 0
	c := dial(t, &storetest.Faults{Next: m, Plan: func(op storetest.Op, _ string) storetest.Fault {
		if op != storetest.Swap {
			return storetest.None
		}
		if writes++; writes == 1 {
			return operator(m, nil)
		}
		return storetest.Unauthorized
	}})
	got, err := c.Depool(t.Context(), "run-1", observe(t, c, "mw1"), half)
	if !errors.Is(err, pooling.ErrCapacity) || !errors.Is(err, pooling.ErrUnauthorized) || len(got) != 1 || got[0].Value != held {
		t.Errorf("%v, %v", got, err)
	}
}

func TestSet(t *testing.T) {
	both(t, func(t *testing.T, a others) {
		c := dial(t, a.store)
		a.put(mw1, yes)
		a.put(mw2, yes)
		one := func(host string) pooling.Object { t.Helper(); return observe(t, c, host)[0] }
		set := func(o pooling.Object, p pooling.Pooled, want error, value string) {
			t.Helper()
			got, err := c.Set(t.Context(), o, p, half)
			n := a.get(o.Key)
			if !errors.Is(err, want) || n.Value != value || err == nil && (got != pooling.Object{Key: o.Key, Value: value, Index: n.Index}) {
				t.Errorf("set %s: %+v, %v; now %+v", p, got, err, n)
			}
		}
		stale := one("mw1")
		set(stale, pooling.PooledNo, nil, no)
		set(stale, pooling.PooledNo, pooling.ErrConflict, no)
		set(stale, pooling.PooledYes, pooling.ErrConflict, no)
		set(one("mw1"), pooling.PooledNo, nil, no)
		set(one("mw2"), pooling.PooledNo, pooling.ErrCapacity, yes)
		set(one("mw1"), pooling.PooledYes, nil, yes)
		if _, err := c.Set(t.Context(), one("mw1"), pooling.PooledInactive, half); err == nil {
			t.Error("wrote inactive")
		}
		// by hand over a run: the marker goes, whatever is set
		for _, p := range []pooling.Pooled{pooling.PooledNo, pooling.PooledYes} {
			a.put(mw1, held)
			set(one("mw1"), p, nil, map[pooling.Pooled]string{pooling.PooledNo: no, pooling.PooledYes: yes}[p])
		}
	})
}

// TestSetUndone: a change by hand is undone like any other if somebody else was quicker.
func TestSetUndone(t *testing.T) {
	m := &storetest.Memory{}
	put(m, "mw1", yes)
	put(m, "mw2", yes)
	done := false
	c := dial(t, &storetest.Faults{Next: m, Plan: func(op storetest.Op, _ string) storetest.Fault {
		if op == storetest.Swap && !done {
			done = true
			operator(m, nil)
		}
		return storetest.None
	}})
	got, err := c.Set(t.Context(), observe(t, c, "mw1")[0], pooling.PooledNo, half)
	if !errors.Is(err, pooling.ErrCapacity) || got.Value != yes {
		t.Errorf("%v, %v", got, err)
	}
	if v := value(m, mw1); v != yes {
		t.Error(v)
	}
}

// TestCapacityOfTwo: two clients take hosts out of the same pools at the same time, under random thresholds, while some
// are out already. When both have finished: no pool has more out than its threshold allows, unless it had before; who was
// told of success has its hosts out; who was told of no capacity finds them as they were; and what was out already is untouched.
// The test counts by itself, from the server's values, and computes the bound in its own way.
//
// Seen to fail with: no second count; floor rounded up; inactive hosts in the total; malformed objects counted as
// in; a threshold of the service ignored.
func TestCapacityOfTwo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &storetest.Memory{}
		services := []string{"apache2", "nginx"}
		hosts := rapid.IntRange(1, 8).Draw(t, "hosts")
		before := map[string]string{}
		for h := range hosts {
			for _, service := range services {
				v := rapid.SampledFrom([]string{yes, yes, yes, yes, no, inactive, "{}", ""}).Draw(t, "value")
				if v == "" {
					continue // not in this pool
				}
				key := fmt.Sprintf("%s/eqiad/appserver/%s/mw%d", prefix, service, h)
				before[key] = v
				m.Put(key, v)
			}
		}
		if len(before) == 0 {
			return
		}
		threshold := pooling.Threshold{Default: rapid.IntRange(0, 10_000).Draw(t, "threshold")}
		if rapid.Bool().Draw(t, "by service") {
			threshold.Services = map[string]int{"nginx": rapid.IntRange(0, 10_000).Draw(t, "nginx")}
		}
		type result struct {
			run, host string
			held      []pooling.Object
			err       error
		}
		var mu sync.Mutex
		var results []result
		var both sync.WaitGroup
		for i, mine := range []([]int){
			rapid.SliceOfN(rapid.IntRange(0, hosts-1), 0, 4).Draw(t, "first"),
			rapid.SliceOfN(rapid.IntRange(0, hosts-1), 0, 4).Draw(t, "second"),
		} {
			c, err := pooling.NewClient(m, pooling.Config{Prefix: prefix})
			if err != nil {
				t.Fatal(err)
			}
			both.Go(func() {
				for _, h := range mine {
					host := fmt.Sprintf("mw%d", h)
					objects, err := c.Observe(context.Background(), host)
					if err != nil {
						continue
					}
					run := fmt.Sprintf("run-%d", i)
					held, err := c.Depool(context.Background(), run, objects, threshold)
					mu.Lock()
					results = append(results, result{run, host, held, err})
					mu.Unlock()
				}
			})
		}
		both.Wait()

		now := m.Values("/conftool")
		for _, service := range services {
			count := func(values map[string]string) (in, out, total int) {
				for key, v := range values {
					if !strings.Contains(key, "/"+service+"/") {
						continue
					}
					var o struct{ Pooled string }
					_ = json.Unmarshal([]byte(v), &o)
					switch o.Pooled {
					case "yes":
						in, total = in+1, total+1
					case "inactive":
					default:
						out, total = out+1, total+1
					}
				}
				return in, out, total
			}
			share := threshold.Default
			if n, ok := threshold.Services[service]; ok {
				share = n
			}
			_, outBefore, _ := count(before)
			in, out, total := count(now)
			if in*10_000 < share*total && out > outBefore {
				t.Fatalf("%s: %d of %d in, threshold %d: %v", service, in, total, share, now)
			}
		}
		conflict := map[string]bool{}
		for _, r := range results {
			for _, o := range r.held {
				if v := now[prefix+"/"+o.Key]; v != o.Value {
					t.Fatalf("told that %s is %s; it is %s", o.Key, o.Value, v)
				}
			}
			// only a conflict leaves anything taken; a later call finds that and keeps it
			taken := r.run + " " + r.host
			conflict[taken] = conflict[taken] || errors.Is(r.err, pooling.ErrConflict)
			if r.err != nil && len(r.held) > 0 && !conflict[taken] {
				t.Fatalf("%s: kept %v and said %v", r.host, r.held, r.err)
			}
		}
		for key, v := range before {
			marked := strings.Contains(now[key], "fleetsync")
			if !marked && now[key] != v || marked && v != yes {
				t.Fatalf("%s was %s and is %s", key, v, now[key])
			}
		}
		if len(now) != len(before) {
			t.Fatalf("%d objects of %d", len(now), len(before))
		}
	})
}
