package pooling_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/pooling/storetest"
)

func TestPoolsAndObserve(t *testing.T) {
	both(t, func(t *testing.T, a others) {
		c := dial(t, a.store)
		if _, err := c.Pools(t.Context()); !errors.Is(err, pooling.ErrNotFound) {
			t.Errorf("nothing there: %v", err)
		}
		a.put("eqiad/appserver/apache2/mw1", yes)
		a.put("eqiad/appserver/apache2/mw10", yes)
		a.put("eqiad/appserver/apache2/xmw1", yes)
		a.put("eqiad/appserver/nginx/mw1", " { } ")
		a.put("codfw/appserver/nginx/mw1", no)
		a.put("eqiad/api/nginx/mw1", inactive)
		a.put("eqiad/api/nginx/below/mw1", yes)
		a.put("eqiad/mw1", yes)
		a.put("eqiad/api/nginx/_mw1", yes)

		objects := observe(t, c, "mw1")
		want := []string{"codfw/appserver/nginx/mw1", "eqiad/api/nginx/mw1", "eqiad/appserver/apache2/mw1", "eqiad/appserver/nginx/mw1"}
		if diff := cmp.Diff(want, keys(objects)); diff != "" {
			t.Error(diff)
		}
		if n := a.get("eqiad/appserver/nginx/mw1"); objects[3].Value != " { } " || objects[3].Index != n.Index {
			t.Errorf("%+v, want %+v", objects[3], n)
		}
		if o := objects[0]; o.Datacenter() != "codfw" || o.Cluster() != "appserver" || o.Service() != "nginx" || o.Host() != "mw1" ||
			o.Pool() != "codfw/appserver/nginx" {
			t.Errorf("%+v", o)
		}
		if objects := observe(t, c, "mw"); objects != nil {
			t.Errorf("a prefix of a name: %v", objects)
		}
		narrow := dialConfig(t, a.store, pooling.Config{Prefix: prefix,
			Select: pooling.Selection{Datacenters: []string{"eqiad", "esams"}, Services: []string{"nginx"}}})
		if diff := cmp.Diff([]string{"eqiad/api/nginx/mw1", "eqiad/appserver/nginx/mw1"}, keys(observe(t, narrow, "mw1"))); diff != "" {
			t.Error(diff)
		}
		s, err := c.Pools(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"eqiad/appserver/apache2/mw1", "eqiad/appserver/apache2/mw10", "eqiad/appserver/apache2/xmw1"},
			keys(s.Pools["eqiad/appserver/apache2"])); diff != "" {
			t.Error(diff)
		}
		if s.Index != a.get("eqiad/api/nginx/_mw1").Index {
			t.Errorf("index %d", s.Index)
		}
	})
}

func TestConfig(t *testing.T) {
	for _, c := range []struct {
		config pooling.Config
		want   string
	}{
		{pooling.Config{Prefix: ""}, "prefix"},
		{pooling.Config{Prefix: "/"}, "prefix"},
		{pooling.Config{Prefix: "/conftool/../pools"}, "prefix"},
		{pooling.Config{Prefix: "/conftool//pools"}, "prefix"},
		{pooling.Config{Prefix: prefix, Timeout: -1}, "timeout"},
	} {
		if _, err := pooling.NewClient(nil, c.config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.config, err, c.want)
		}
		if c.config.Prefix == "" {
			continue // the default
		}
		if _, err := pooling.NewShared(nil, pooling.SharedConfig{Fleet: fleet, Prefix: c.config.Prefix,
			Timeout: c.config.Timeout}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.config, err, c.want)
		}
	}
	if _, err := pooling.NewClient(nil, pooling.Config{Prefix: "conftool/v1/pools/"}); err != nil {
		t.Error(err)
	}
	if _, err := pooling.NewShared(nil, pooling.SharedConfig{}); !errors.Is(err, pooling.ErrMalformed) {
		t.Errorf("no name of a fleet: %v", err)
	}
}

// TestKeys: whatever a key is, a request stays under the prefix or is not made.
func TestKeys(t *testing.T) {
	both(t, func(t *testing.T, a others) {
		c := dial(t, a.store)
		a.put("eqiad/appserver/apache2/mw1", yes)
		for _, host := range []string{"a b", "a?b=c", "a#b", "100%", "%2e%2e", "a%2Fb", "ü", "a&value=x", "a;b", "-rf", "$(x)"} {
			o := "eqiad/odd/apache2/" + host
			a.put(o, yes)
			objects := observe(t, c, host)
			if len(objects) != 1 || objects[0].Key != o {
				t.Errorf("%q: %v", host, objects)
				continue
			}
			held, err := c.Depool(t.Context(), "m", objects, pooling.Threshold{})
			if err != nil || len(held) != 1 {
				t.Errorf("%q: %v", host, err)
			}
			if restored, err := c.Restore(t.Context(), "m", objects); err != nil || restored[0].Object.Value != yes {
				t.Errorf("%q: %v, %v", host, restored, err)
			}
		}
		for _, key := range []string{
			"", "x", "eqiad/appserver/apache2", "eqiad/appserver/apache2/mw1/x", "eqiad/appserver/apache2/", "/appserver/apache2/mw1",
			"eqiad/appserver/../mw1", "../../../x", "eqiad/appserver/apache2/..", "./a/b/c", "a/b/c/x\ny", "a/b/c/\x00",
		} {
			o := pooling.Object{Key: key, Value: yes, Index: 5}
			if held, err := c.Depool(t.Context(), "m", []pooling.Object{o}, pooling.Threshold{}); !errors.Is(err, pooling.ErrMalformed) ||
				held != nil {
				t.Errorf("depool of %q: %v, %v", key, held, err)
			}
			if _, err := c.Set(t.Context(), o, pooling.PooledNo, pooling.Threshold{}); !errors.Is(err, pooling.ErrMalformed) {
				t.Errorf("set of %q: %v", key, err)
			}
			if r, err := c.Restore(t.Context(), "m", []pooling.Object{o}); !errors.Is(err, pooling.ErrMalformed) || r[0].Outcome != pooling.Unknown {
				t.Errorf("restore of %q: %v, %v", key, r, err)
			}
		}
	})
}

// TestFaults: every operation against every way in which a store fails, once and for ever. What a store has done all the same, because it
// tried again or the reply was lost, is found out. For ever, the error says what is wrong, and comes in time.
//
// Seen to fail with: a conflict with our own write taken for somebody else's.
func TestFaults(t *testing.T) {
	t.Parallel()
	const (
		taken = `{"weight": 10, "pooled": "no", "fleetsync": "m"}`
		mine  = `{"weight": 10, "pooled": "no", "fleetsync": "mine"}`
	)
	// an operation works on a store of its own, which has two hosts in one pool and one of them taken by "mine"
	type situation struct {
		c                 *pooling.Client
		objects, receipts []pooling.Object
	}
	depool := func(ctx context.Context, s situation) error {
		held, err := s.c.Depool(ctx, "m", s.objects, pooling.Threshold{})
		if err == nil && len(held) != 1 {
			return fmt.Errorf("held %v", held)
		}
		return err
	}
	restore := func(ctx context.Context, s situation) error {
		restored, err := s.c.Restore(ctx, "mine", s.receipts)
		if err == nil && restored[0].Outcome != pooling.Back && restored[0].Outcome != pooling.Unchanged { // the latter of a lost reply
			return fmt.Errorf("restored %v", restored)
		}
		return err
	}
	operations := []struct {
		name     string
		op       storetest.Op // that is spoiled
		run      func(ctx context.Context, s situation) error
		mw1, mw2 string // after
	}{
		{"pools", storetest.List, func(ctx context.Context, s situation) error {
			_, err := s.c.Pools(ctx)
			return err
		}, yes, mine},
		{"depool, counting", storetest.List, depool, taken, mine},
		{"depool, writing", storetest.Swap, depool, taken, mine},
		{"restore, reading", storetest.Get, restore, yes, yes},
		{"restore, writing", storetest.Swap, restore, yes, yes},
		{"set, writing", storetest.Swap, func(ctx context.Context, s situation) error {
			_, err := s.c.Set(ctx, s.objects[0], pooling.PooledNo, pooling.Threshold{})
			return err
		}, no, mine},
		{"wait", storetest.Wait, func(ctx context.Context, s situation) error {
			_, err := s.c.Wait(ctx, 1)
			return err
		}, yes, mine},
	}
	for _, fault := range []storetest.Fault{storetest.Again, storetest.Lost, storetest.Unavailable, storetest.Unauthorized,
		storetest.ReadOnly, storetest.Hang, storetest.HangLost} {
		for _, op := range operations {
			for _, times := range []int64{1, 1 << 40} {
				t.Run(fmt.Sprintf("%s/%s/%t", fault, op.name, times == 1), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						m := &storetest.Memory{}
						put(m, "mw1", yes)
						put(m, "mw2", yes)
						c := dial(t, m)
						s := situation{objects: observe(t, c, "mw1"), receipts: observe(t, c, "mw2")}
						if _, err := c.Depool(t.Context(), "mine", s.receipts, half); err != nil {
							t.Fatal(err)
						}
						left := times
						s.c = dial(t, &storetest.Faults{Next: m, Plan: func(o storetest.Op, _ string) storetest.Fault {
							if o == op.op {
								if left--; left >= 0 {
									return fault
								}
							}
							return storetest.None
						}})
						want := map[storetest.Fault]error{
							storetest.Again: nil, storetest.Unauthorized: pooling.ErrUnauthorized, storetest.ReadOnly: pooling.ErrReadOnly,
						}
						expect, known := want[fault]
						if !known {
							expect = pooling.ErrUnavailable
						}
						ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
						defer cancel()
						if op.op == storetest.Wait && (fault == storetest.Hang || fault == storetest.HangLost) {
							expect = context.DeadlineExceeded // of the caller: a watch has no limit of its own
						}
						began := time.Now()
						err := op.run(ctx, s)
						if !errors.Is(err, expect) {
							t.Errorf("got %v, want %v", err, expect)
						}
						if took := time.Since(began); op.op != storetest.Wait && took > 2*pooling.DefaultTimeout {
							t.Errorf("took %s", took)
						}
						// whatever it was told: a call that succeeds finds out what has happened, and completes it
						left = 0
						if op.op == storetest.Wait {
							return
						}
						if err := op.run(t.Context(), s); err != nil && (op.name != "set, writing" || !errors.Is(err, pooling.ErrConflict)) {
							t.Errorf("again, without faults: %v", err)
						}
						if mw1, mw2 := value(m, mw1), value(m, mw2); mw1 != op.mw1 || mw2 != op.mw2 {
							t.Errorf("no effect: %s, %s", mw1, mw2)
						}
					})
				})
			}
		}
	}
}
