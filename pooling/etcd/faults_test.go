package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/pooling/etcd"
	"github.com/fleetsync/fleetsync/pooling/poolingtest"
)

// TestFaults: every call against every fault, once and for ever. Once, it is done all the same, also where the fault
// had an effect already; only that what had its effect may be called a conflict, or not found. For ever, the error says what is
// wrong, and comes in time, with no character of a terminal's control.
//
// Seen to fail with: DefaultBackoff (an hour for 503); a 404 without errorCode taken for a missing key; an answer about another
// key believed; a retry left out.
func TestFaults(t *testing.T) {
	t.Parallel()
	const key = "/a/b" // which is there before, with the value "1" and the index 4
	operations := []struct {
		name  string
		run   func(ctx context.Context, s pooling.Store) error
		twice error  // what it may be told if it has had its effect before
		after string // its value; empty: there is none
	}{
		{"get", func(ctx context.Context, s pooling.Store) error {
			e, err := s.Get(ctx, key)
			if err == nil && e.Value != "1" {
				return fmt.Errorf("got %+v", e)
			}
			return err
		}, nil, "1"},
		{"list", func(ctx context.Context, s pooling.Store) error {
			l, err := s.List(ctx, "/a")
			if err == nil && len(l.Entries) != 1 {
				return fmt.Errorf("got %+v", l)
			}
			return err
		}, nil, "1"},
		{"create", func(ctx context.Context, s pooling.Store) error { return s.Create(ctx, "/a/c", "2", 0) }, pooling.ErrConflict, "1"},
		{"swap", func(ctx context.Context, s pooling.Store) error {
			_, err := s.Swap(ctx, key, "2", 4)
			return err
		}, pooling.ErrConflict, "2"},
		{"refresh", func(ctx context.Context, s pooling.Store) error { return s.Refresh(ctx, key, "1", time.Hour) }, nil, "1"},
		{"delete", func(ctx context.Context, s pooling.Store) error { return s.Delete(ctx, key, 4) }, pooling.ErrNotFound, ""},
		{"delete by value", func(ctx context.Context, s pooling.Store) error { return s.DeleteValue(ctx, key, "1") }, pooling.ErrNotFound, ""},
		{"wait", func(ctx context.Context, s pooling.Store) error {
			_, err := s.Wait(ctx, "/a", 3)
			return err
		}, nil, "1"},
	}
	const passes = true // when tried again
	for fault, may := range map[poolingtest.Fault]bool{
		poolingtest.DropRequest: passes,
		poolingtest.DropReply:   passes,
		poolingtest.Truncate:    passes,
		poolingtest.Unavailable: passes,
		poolingtest.RaftError:   passes,
		poolingtest.Garbage:     passes,
		poolingtest.Empty:       passes,
		poolingtest.NoNode:      passes,
		poolingtest.OtherKey:    passes,
		poolingtest.NoV2:        passes,
		poolingtest.Redirect:    passes,
		poolingtest.Hang:        passes,
		poolingtest.HangBody:    passes,
		poolingtest.Proxy401:    !passes,
		poolingtest.Proxy403:    !passes,
	} {
		for _, op := range operations {
			for _, times := range []int64{1, 1 << 40} {
				t.Run(fmt.Sprintf("%s/%s/%t", fault, op.name, times == 1), func(t *testing.T) {
					t.Parallel()
					// A watch asks each endpoint once. It cannot tell a reply that hangs in the middle from a quiet
					// pool, and an event of another key is for whoever watches all that is above it.
					waits := op.name == "wait"
					if waits && fault == poolingtest.OtherKey {
						return
					}
					server := serve(t)
					if err := server.Etcd.Put(key, "1"); err != nil {
						t.Fatal(err)
					}
					timeout := 5 * time.Second
					switch hangs := fault == poolingtest.Hang || fault == poolingtest.HangBody; {
					case hangs && times == 1:
						timeout = 2 * time.Second // half of it is waited for
					case hangs:
						timeout = 100 * time.Millisecond // all of it is
					}
					s := open(t, etcd.Config{Endpoints: []string{server.URL}, Timeout: timeout})
					var left atomic.Int64
					left.Store(times)
					server.Faults.Plan(func(*http.Request) poolingtest.Fault {
						if left.Add(-1) >= 0 {
							return fault
						}
						return poolingtest.None
					})
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					defer cancel()
					var want error
					switch {
					case !may:
						want = pooling.ErrUnauthorized
					case waits && fault == poolingtest.HangBody:
						want = context.DeadlineExceeded
						var stop context.CancelFunc
						ctx, stop = context.WithTimeout(ctx, 200*time.Millisecond)
						defer stop()
					case times > 1 || waits:
						want = pooling.ErrUnavailable
					}
					began := time.Now()
					err := op.run(ctx, s)
					if took := time.Since(began); took > 2*timeout+2*time.Second { // the machine may be busy
						t.Errorf("took %s", took)
					}
					had := fault == poolingtest.DropReply || fault == poolingtest.Truncate || fault == poolingtest.HangBody
					if twice := want == nil && had && op.twice != nil; twice && !errors.Is(err, op.twice) || !twice && !errors.Is(err, want) {
						t.Errorf("got %v, want %v", err, want)
					}
					if err != nil && strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r == 0x7f }) {
						t.Errorf("not clean: %q", err)
					}
					if value, _, _ := server.Etcd.Get(key); want == nil && value != op.after {
						t.Errorf("no effect: %v", server.Etcd.Values("/"))
					}
				})
			}
		}
	}
}
