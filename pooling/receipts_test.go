package pooling_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fleetsync/fleetsync/pooling"
)

var since = time.Date(2026, 2, 2, 10, 0, 0, 0, time.UTC)

func receiptOf(run, host string) pooling.Receipt {
	return pooling.Receipt{
		Run: run, Host: host, Purpose: pooling.Serving, Owner: "alice", Machine: "tin", Since: since,
		Objects: []pooling.Object{{Key: "eqiad/appserver/apache2/" + host,
			Value: " {\"weight\": 1e1,\t\"pooled\":\"yes\", \"é\\u2028\":\"<&>\u2028\"}\n", Index: 1 << 60}},
	}
}

// TestQuarantineReceipts: only receipts of hosts without a good tree count, whatever else is wrong with others, and only where the pools
// bear them out.
//
// Seen to fail with: an error that is ErrMalformed returned; a mark beside "yes", or another run's, that counts.
func TestQuarantineReceipts(t *testing.T) {
	serving, quarantine := receiptOf("r1", "mw1"), receiptOf("r1", "mw2")
	quarantine.Purpose = pooling.Quarantine
	all := []pooling.Receipt{serving, quarantine}
	for _, err := range []error{nil, fmt.Errorf("receipts/x: %w", pooling.ErrMalformed)} {
		if got, err := pooling.QuarantineReceipts(all, err); err != nil || cmp.Diff([]pooling.Receipt{quarantine}, got) != "" {
			t.Errorf("%v, %v", got, err)
		}
	}
	if got, err := pooling.QuarantineReceipts(all, pooling.ErrUnavailable); !errors.Is(err, pooling.ErrUnavailable) || got != nil {
		t.Errorf("%v, %v", got, err)
	}
	if all[0].Purpose != pooling.Serving {
		t.Error("what was passed was changed")
	}
	for value, want := range map[string]bool{
		`{"pooled": "no", "weight": 1, "fleetsync": "r1"}`:       true,
		`{"pooled": "inactive", "weight": 1, "fleetsync": "r1"}`: true,
		`{"pooled": "yes", "weight": 1, "fleetsync": "r1"}`:      false,
		`{"pooled": "no", "weight": 1, "fleetsync": "r2"}`:       false,
		`{"pooled": "no", "weight": 1}`:                          false,
		`{"pooled": `:                                            false,
	} {
		if got := quarantine.Out(pooling.Object{Key: "eqiad/appserver/nginx/mw2", Value: value, Index: 1}); got != want {
			t.Errorf("%s is out: %v", value, got)
		}
	}
	if quarantine.Out(pooling.Object{Key: "eqiad/appserver/nginx/mw20", Value: `{"pooled": "no", "weight": 1, "fleetsync": "r1"}`, Index: 1}) {
		t.Error("another host's object is out because of it")
	}
}

// TestReceipts is the life of receipts.
//
// Seen to fail with: a record that is not compared with its key.
func TestReceipts(t *testing.T) {
	both(t, func(t *testing.T, a others) {
		ctx := t.Context()
		tin, mira := share(t, a.store), share(t, a.store)
		if all, err := mira.Receipts(ctx); err != nil || all != nil {
			t.Errorf("none: %v, %v", all, err)
		}
		if err := tin.DropReceipt(ctx, "r1", "mw1"); err != nil {
			t.Errorf("drop of none: %v", err)
		}
		want := []pooling.Receipt{receiptOf("r1", "mw1"), receiptOf("r1", "mw10"), receiptOf("r10", "mw1"), receiptOf("r2", "mw1")}
		want[1].Purpose = pooling.Quarantine
		for _, i := range []int{2, 0, 3, 1, 0, 1} {
			if err := tin.PutReceipt(ctx, want[i]); err != nil {
				t.Fatal(err)
			}
		}
		all, err := mira.Receipts(ctx)
		if diff := cmp.Diff(want, all); err != nil || diff != "" {
			t.Errorf("%v: %s", err, diff)
		}
		// another in its place
		want[0].Objects[0].Index++
		if err := tin.PutReceipt(ctx, want[0]); err != nil {
			t.Error(err)
		}
		// bad ones beside good ones
		for key, value := range map[string]string{
			"receipts/x":               "x",
			"receipts/r1,mw2":          `{"run":"r1","host":"mw1","purpose":"serving"}`,
			"receipts/r1,mw3":          `{"run":"r1","host":"mw3","purpose":"\u001bfun"}`,
			"receipts/r1,mw4":          `{"run":"r1","host":"mw4","purpose":"serving"}`,
			"receipts/r1,mw5":          `{"run":"r1","host":"mw5","purpose":"serving","objects":[{"key":"a/b/c/mw1","value":"","index":1}]}`,
			"receipts/r1,mw6":          `{"run":"r1","host":"mw6","purpose":"serving","owner":"a\nb","objects":[{"key":"a/b/c/mw6","value":"","index":1}]}`,
			"receipts/r1,mw7":          `{"run":"r1","host":"mw7","purpose":"serving","objects":[{"key":"a/b/../mw7","value":"","index":1}]}`,
			"receipts/r1,mw8":          `{"run":"r1","host":"mw8","purpose":"serving","objects":[{"key":"a/b/c/mw8","value":"","index":0}]}`,
			"receipts/r1,mw9/below/it": "{}",
			"receipts/r1,\x1b[31mmw11": "[]",
		} {
			a.set(below+"/"+key, value)
		}
		all, err = mira.Receipts(ctx)
		if diff := cmp.Diff(want, all); !errors.Is(err, pooling.ErrMalformed) || diff != "" {
			t.Errorf("%v: %s", err, diff)
		}
		for _, name := range []string{"receipts/x:", "mw2:", "mw3:", "mw4:", "mw5:", "mw6:", "mw7:", "mw8:", "mw9/below/it:", "mw11:"} {
			if !strings.Contains(err.Error(), name) {
				t.Errorf("%s is not named", name)
			}
		}
		if strings.Contains(err.Error(), "\x1b") || strings.Contains(err.Error(), "mw10") {
			t.Errorf("%q", err)
		}
		for _, key := range []string{"x", "r1,mw2", "r1,mw3", "r1,mw4", "r1,mw5", "r1,mw6", "r1,mw7", "r1,mw8", "r1,mw9/below/it",
			"r1,\x1b[31mmw11"} {
			a.delete(below + "/receipts/" + key)
		}
		// dropped one by one
		for _, i := range []int{1, 1, 3, 0} {
			if err := mira.DropReceipt(ctx, want[i].Run, want[i].Host); err != nil {
				t.Error(err)
			}
		}
		all, err = tin.Receipts(ctx)
		if diff := cmp.Diff(want[2:3], all); err != nil || diff != "" {
			t.Errorf("%v: %s", err, diff)
		}
		// refused before anything is written
		for _, bad := range []func(r *pooling.Receipt){
			func(r *pooling.Receipt) { r.Run = "" },
			func(r *pooling.Receipt) { r.Host = "" },
			func(r *pooling.Receipt) { r.Purpose = "fun" },
			func(r *pooling.Receipt) { r.Run = "r\n1" },
			func(r *pooling.Receipt) { r.Run = "r\xff" },
			func(r *pooling.Receipt) { r.Owner = "\x1b" },
			func(r *pooling.Receipt) { r.Machine = strings.Repeat("x", 1025) },
			func(r *pooling.Receipt) { r.Objects = nil },
			func(r *pooling.Receipt) { r.Objects[0].Index = 0 },
			func(r *pooling.Receipt) { r.Objects[0].Key = "eqiad/appserver/apache2/mw2" },
		} {
			r := receiptOf("r9", "mw9")
			bad(&r)
			if err := tin.PutReceipt(ctx, r); !errors.Is(err, pooling.ErrMalformed) {
				t.Errorf("%+v: %v", r, err)
			}
		}
		if err := tin.DropReceipt(ctx, "", "mw1"); !errors.Is(err, pooling.ErrMalformed) {
			t.Error(err)
		}
		if keys := a.below(pooling.DefaultSharedPrefix); !slices.Equal(keys, []string{below + "/receipts/r10,mw1"}) {
			t.Errorf("left: %v", keys)
		}
	})
}

// TestRuns is the life of the records of runs.
func TestRuns(t *testing.T) {
	both(t, func(t *testing.T, a others) {
		ctx := t.Context()
		s := share(t, a.store)
		if all, err := s.Runs(ctx); err != nil || all != nil {
			t.Errorf("none: %v, %v", all, err)
		}
		want := []pooling.RunRecord{
			{Run: "20260202-1000-a", Mode: "sync", Owner: "alice", Machine: "tin", Since: since, Inventory: "sha256:1",
				State: "/var/lib/fleetsync/runs/20260202-1000-a"},
			{Run: "20260202-1001-b", Since: since},
		}
		for _, i := range []int{1, 0, 0} {
			if err := s.PutRun(ctx, want[i]); err != nil {
				t.Fatal(err)
			}
		}
		want[1].Mode = "resync"
		if err := s.PutRun(ctx, want[1]); err != nil {
			t.Error(err)
		}
		a.set(below+"/runs/x", `{"run":"y"}`)
		all, err := s.Runs(ctx)
		if diff := cmp.Diff(want, all); diff != "" || !errors.Is(err, pooling.ErrMalformed) || !strings.Contains(err.Error(), "/runs/x:") {
			t.Errorf("%v: %s", err, diff)
		}
		for _, run := range []string{"x", want[0].Run, want[1].Run, want[1].Run} {
			if err := s.DropRun(ctx, run); err != nil {
				t.Error(err)
			}
		}
		if err := s.PutRun(ctx, pooling.RunRecord{Run: "r", State: "a\nb"}); !errors.Is(err, pooling.ErrMalformed) {
			t.Error(err)
		}
		if err := errors.Join(s.PutRun(ctx, pooling.RunRecord{}), s.DropRun(ctx, "")); !errors.Is(err, pooling.ErrMalformed) {
			t.Error(err)
		}
		if keys := a.below(pooling.DefaultSharedPrefix); keys != nil {
			t.Errorf("left: %v", keys)
		}
	})
}

// TestNamesStayBelow: whatever names are, their records lie below the fleet's own directory, each in its own key, and are found again.
//
// Seen to fail with: names that are not escaped.
func TestNamesStayBelow(t *testing.T) {
	both(t, func(t *testing.T, a others) {
		odd := []string{"..", ".", "a/b", "../../x", "_hidden", "a,b", "a b", "100%", "%2e%2e", "=2E", "ü", "?x=y", "#", "a&value=x", "-rf",
			"$(x)", "A", "a"}
		ctx := t.Context()
		var want []string
		for _, f := range []string{fleet, "..", "a/b", "_f", "x,y"} {
			s, err := pooling.NewShared(a.store, pooling.SharedConfig{Fleet: f})
			if err != nil {
				t.Fatal(err)
			}
			acquire(t, s, alice, 0)
			for _, name := range odd {
				if err := s.PutRun(ctx, pooling.RunRecord{Run: name}); err != nil {
					t.Errorf("%q: %v", name, err)
				}
				r := receiptOf(name, "mw1")
				if err := s.PutReceipt(ctx, r); err != nil {
					t.Errorf("%q: %v", name, err)
				}
			}
			runs, err := s.Runs(ctx)
			if err != nil || len(runs) != len(odd) {
				t.Errorf("%d runs: %v", len(runs), err)
			}
			receipts, err := s.Receipts(ctx)
			if err != nil || len(receipts) != len(odd) {
				t.Errorf("%d receipts: %v", len(receipts), err)
			}
			want = append(want, pooling.DefaultSharedPrefix+"/"+pooling.EscapeName(f)+"/")
		}
		keys := a.below(pooling.DefaultSharedPrefix)
		if n := 5 * (2*len(odd) + 1); len(keys) != n {
			t.Errorf("%d keys, want %d", len(keys), n)
		}
		for _, key := range keys {
			if !slices.ContainsFunc(want, func(dir string) bool { return strings.HasPrefix(key, dir) }) || strings.Count(key, "/") > 5 {
				t.Errorf("%s", key)
			}
		}
	})
}

// TestEscapeName: different names stay different, and are harmless in a path.
func TestEscapeName(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.StringN(1, 12, -1), rapid.StringMatching(`[-a=./,_%2E]{1,5}`))
		a, b := name.Draw(t, "a"), name.Draw(t, "b")
		x, y := pooling.EscapeName(a), pooling.EscapeName(b)
		if (a == b) != (x == y) {
			t.Fatalf("%q %q: %q %q", a, b, x, y)
		}
		if strings.ContainsAny(x, "/,%?# \x00") || url.PathEscape(x) != x || x[0] == '_' || x[0] == '.' {
			t.Fatalf("%q: %q", a, x)
		}
	})
}

// late is a store that gives up on writes, which have their effect when they are let go.
type late struct {
	pooling.Store
	writes []func() error
}

func (l *late) Create(ctx context.Context, key, value string, ttl time.Duration) error {
	return l.keep(func() error { return l.Store.Create(context.WithoutCancel(ctx), key, value, ttl) })
}

func (l *late) Swap(ctx context.Context, key, value string, index uint64) (uint64, error) {
	return 0, l.keep(func() error { _, err := l.Store.Swap(context.WithoutCancel(ctx), key, value, index); return err })
}

func (l *late) Delete(ctx context.Context, key string, index uint64) error {
	return l.keep(func() error { return l.Store.Delete(context.WithoutCancel(ctx), key, index) })
}

func (l *late) keep(write func() error) error {
	l.writes = append(l.writes, write)
	return pooling.ErrUnavailable
}

// TestLateWrites: a write that has its effect after its caller gave up, because an etcd that was stopped finds it in its socket,
// undoes nothing that was done since.
//
// Seen to fail with: DropReceipt without an index; PutReceipt without a condition.
func TestLateWrites(t *testing.T) {
	both(t, func(t *testing.T, a others) {
		now := share(t, a.store)
		r, old, stale := receiptOf("r1", "mw1"), receiptOf("r1", "mw1"), receiptOf("r1", "mw1")
		old.Owner, stale.Owner = "bob", "stale"
		for name, write := range map[string]func(s *pooling.Shared) error{
			"drop": func(s *pooling.Shared) error { return s.DropReceipt(t.Context(), "r1", "mw1") },
			"put":  func(s *pooling.Shared) error { return s.PutReceipt(t.Context(), stale) },
		} {
			for _, there := range []bool{true, false} {
				if there {
					if err := now.PutReceipt(t.Context(), old); err != nil {
						t.Fatal(err)
					}
				} else if err := now.DropReceipt(t.Context(), "r1", "mw1"); err != nil {
					t.Fatal(err)
				}
				l := &late{Store: a.store}
				if err := write(share(t, l)); !errors.Is(err, pooling.ErrUnavailable) && (there || name == "put") {
					t.Fatal(err)
				}
				if err := now.PutReceipt(t.Context(), r); err != nil {
					t.Fatal(err)
				}
				for _, w := range l.writes {
					if err := w(); !errors.Is(err, pooling.ErrConflict) {
						t.Errorf("%s, there before: %t: a late write: %v", name, there, err)
					}
				}
				all, err := now.Receipts(t.Context())
				if diff := cmp.Diff([]pooling.Receipt{r}, all); err != nil || diff != "" {
					t.Errorf("%s, there before: %t: %v: %s", name, there, err, diff)
				}
			}
		}
	})
}
