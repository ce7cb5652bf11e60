package pooling_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/pooling/etcd"
	"github.com/fleetsync/fleetsync/pooling/poolingtest"
)

// TestInventoryRecord is the life of the record: there is one, of the last run of the fleet, whoever's it was.
//
// Seen to fail with: a record for each machine; one of another fleet; what cannot be read taken for none; since not cut
// to what is read back.
func TestInventoryRecord(t *testing.T) {
	both(t, func(t *testing.T, a api) {
		ctx := t.Context()
		tin, mira := share(t, etcd.Config{Endpoints: []string{a.url}}), share(t, etcd.Config{Endpoints: []string{a.url}})
		other, err := pooling.NewShared(store(t, etcd.Config{Endpoints: []string{a.url}}), pooling.SharedConfig{Fleet: "other"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(other.Close)
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
		if diff := cmp.Diff([]string{below + "/inventory/last"}, left(t, a.url)); diff != "" {
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
		for _, value := range []string{"x", "[]", `{"digest": 1}`, `{"digest":"a\u001b[31m","since":"2026-02-02T10:00:00Z"}`, `{"digest":"a","machine":"\u202e"}`} {
			if status, body := raw(t, "PUT", a.url+"/v2/keys"+below+"/inventory/last", url.Values{"value": {value}}); status >= 300 {
				t.Fatal(body)
			}
			if r, err := tin.Inventory(ctx); !errors.Is(err, pooling.ErrMalformed) || errors.Is(err, pooling.ErrNotFound) || r != (pooling.InventoryRecord{}) || strings.ContainsAny(err.Error(), "\x1b\u202e") {
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

// TestInventoryRecordFaults: a store that is away or says nonsense is an error, and never "there is none".
func TestInventoryRecordFaults(t *testing.T) {
	t.Parallel()
	s := serve(t)
	c := share(t, etcd.Config{Endpoints: []string{s.URL}, Timeout: 300 * time.Millisecond})
	r := pooling.InventoryRecord{Digest: "sha256:1", Machine: "tin", Since: since}
	if err := c.PutInventory(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	for _, fault := range []poolingtest.Fault{
		poolingtest.DropRequest, poolingtest.Truncate, poolingtest.Unavailable, poolingtest.RaftError, poolingtest.Garbage, poolingtest.Empty,
		poolingtest.NoNode, poolingtest.OtherKey, poolingtest.NoV2, poolingtest.Redirect, poolingtest.Hang, poolingtest.Proxy401, poolingtest.Proxy403,
	} {
		t.Run(string(fault), func(t *testing.T) {
			spoil(s.Faults, fault)
			if got, err := c.Inventory(t.Context()); err == nil || errors.Is(err, pooling.ErrNotFound) || got != (pooling.InventoryRecord{}) {
				t.Errorf("read: %+v, %v", got, err)
			}
			if err := c.PutInventory(t.Context(), pooling.InventoryRecord{Digest: "sha256:2"}); err == nil {
				t.Error("written")
			}
		})
	}
	// a reply that is lost after the write had its effect costs a second look
	lost := false
	s.Faults.Plan(func(r *http.Request) poolingtest.Fault {
		if r.Method == http.MethodPut && !lost {
			lost = true
			return poolingtest.DropReply
		}
		return poolingtest.None
	})
	slow := share(t, etcd.Config{Endpoints: []string{s.URL}})
	if err := slow.PutInventory(t.Context(), pooling.InventoryRecord{Digest: "sha256:4", Since: since}); err != nil || !lost {
		t.Errorf("a lost reply: %v", err)
	}
	if got, err := slow.Inventory(t.Context()); err != nil || got.Digest != "sha256:4" {
		t.Errorf("a lost reply: %+v, %v", got, err)
	}
}
