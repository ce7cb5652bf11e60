package pooling_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/pooling/storetest"
)

// TestInventoryRecord is the life of the record: there is one, of the last run of the fleet, whoever's it was.
//
// Seen to fail with: a record for each machine; one of another fleet; what cannot be read taken for none; since not cut
// to what is read back.
func TestInventoryRecord(t *testing.T) {
	both(t, func(t *testing.T, a others) {
		ctx := t.Context()
		tin, mira := share(t, a.store), share(t, a.store)
		other, err := pooling.NewShared(a.store, pooling.SharedConfig{Fleet: "other"})
		if err != nil {
			t.Fatal(err)
		}
		if r, err := tin.Inventory(ctx); !errors.Is(err, pooling.ErrNotFound) || r != (pooling.InventoryRecord{}) {
			t.Errorf("none: %+v, %v", r, err)
		}
		records := []pooling.InventoryRecord{
			{Digest: "sha256:1", Machine: "tin", Since: since.Add(300 * time.Millisecond).In(time.FixedZone("", 7200))},
			{Digest: "sha256:2", Machine: "mira", Since: since.Add(time.Hour)},
			{Digest: "sha256:1", Since: since.Add(2 * time.Hour)},
		}
		for i, r := range records {
			for range 2 { // it can be repeated
				if err := []*pooling.Shared{tin, mira}[i%2].PutInventory(ctx, r); err != nil {
					t.Fatal(err)
				}
			}
			want := r
			want.Since = r.Since.UTC().Truncate(time.Second)
			for _, s := range []*pooling.Shared{tin, mira} {
				got, err := s.Inventory(ctx)
				if diff := cmp.Diff(want, got); err != nil || diff != "" {
					t.Errorf("%v: %s", err, diff)
				}
			}
		}
		if _, err := other.Inventory(ctx); !errors.Is(err, pooling.ErrNotFound) {
			t.Errorf("of another fleet: %v", err)
		}
		if diff := cmp.Diff([]string{below + "/inventory/last"}, a.below(pooling.DefaultSharedPrefix)); diff != "" {
			t.Error(diff)
		}
		// refused before anything is written
		for _, bad := range []pooling.InventoryRecord{
			{Digest: "sha256:3\n"}, {Digest: "sha256:3", Machine: "\x1b[31mtin"}, {Digest: strings.Repeat("x", 2000)},
		} {
			if err := tin.PutInventory(ctx, bad); !errors.Is(err, pooling.ErrMalformed) || strings.ContainsAny(err.Error(), "\x1b\n") {
				t.Errorf("%+v: %v", bad, err)
			}
		}
		if r, err := mira.Inventory(ctx); err != nil || r.Digest != "sha256:1" {
			t.Errorf("after what was refused: %+v, %v", r, err)
		}
		// what somebody else left there
		for _, value := range []string{"x", "[]", `{"digest": 1}`, `{"digest":"a\u001b[31m","since":"2026-02-02T10:00:00Z"}`,
			`{"digest":"a","machine":"\u202e"}`} {
			a.set(below+"/inventory/last", value)
			if r, err := tin.Inventory(ctx); !errors.Is(err, pooling.ErrMalformed) || errors.Is(err, pooling.ErrNotFound) ||
				r != (pooling.InventoryRecord{}) || strings.ContainsAny(err.Error(), "\x1b\u202e") {
				t.Errorf("%s: %+v, %v", value, r, err)
			}
		}
		if err := tin.PutInventory(ctx, records[1]); err != nil {
			t.Errorf("in the place of a bad one: %v", err)
		}
		if r, err := mira.Inventory(ctx); err != nil || r.Digest != "sha256:2" {
			t.Errorf("in the place of a bad one: %+v, %v", r, err)
		}
	})
}

// TestInventoryRecordFaults: a store that does not answer is an error, and never "there is none".
func TestInventoryRecordFaults(t *testing.T) {
	m := &storetest.Memory{}
	if err := share(t, m).PutInventory(t.Context(), pooling.InventoryRecord{Digest: "sha256:1", Machine: "tin", Since: since}); err != nil {
		t.Fatal(err)
	}
	for _, fault := range []storetest.Fault{storetest.Unavailable, storetest.Lost, storetest.Unauthorized} {
		s := share(t, &storetest.Faults{Next: m, Plan: func(storetest.Op, string) storetest.Fault { return fault }})
		if got, err := s.Inventory(t.Context()); err == nil || errors.Is(err, pooling.ErrNotFound) || got != (pooling.InventoryRecord{}) {
			t.Errorf("%s: read: %+v, %v", fault, got, err)
		}
		if err := s.PutInventory(t.Context(), pooling.InventoryRecord{Digest: "sha256:2"}); err == nil {
			t.Errorf("%s: written", fault)
		}
	}
	// one that does again what it has done already costs a second look
	again := share(t, &storetest.Faults{Next: m, Plan: func(storetest.Op, string) storetest.Fault { return storetest.Again }})
	if err := again.PutInventory(t.Context(), pooling.InventoryRecord{Digest: "sha256:4", Since: since}); err != nil {
		t.Errorf("a lost reply: %v", err)
	}
	if got, err := again.Inventory(t.Context()); err != nil || got.Digest != "sha256:4" {
		t.Errorf("a lost reply: %+v, %v", got, err)
	}
}
