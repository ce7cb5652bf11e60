package pooling_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/pooling/etcd"
	"github.com/fleetsync/fleetsync/pooling/poolingtest"
)

const (
	fleet   = "mediawiki"
	below   = pooling.DefaultSharedPrefix + "/" + fleet
	lockKey = below + "/lock"
)

var alice = pooling.Holder{Owner: "alice", Host: "tin", Run: "r1", Reason: "a full run", Inventory: "sha256:1"}

func share(t testing.TB, c etcd.Config) *pooling.Shared {
	t.Helper()
	s, err := pooling.NewShared(store(t, c), pooling.SharedConfig{Fleet: fleet, Timeout: c.Timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func acquire(t testing.TB, s *pooling.Shared, h pooling.Holder, ttl time.Duration) *pooling.Lease {
	t.Helper()
	l, err := s.Acquire(t.Context(), h, ttl)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// raw makes a request of an endpoint without this package.
func raw(t testing.TB, method, url string, form url.Values) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// left returns all keys below the shared prefix.
func left(t testing.TB, base string) (keys []string) {
	t.Helper()
	type tree struct {
		Key   string
		Dir   bool
		Nodes []tree
	}
	status, body := raw(t, "GET", base+"/v2/keys"+pooling.DefaultSharedPrefix+"?recursive=true", nil)
	var all struct{ Node tree }
	if status == http.StatusOK && json.Unmarshal([]byte(body), &all) != nil {
		t.Fatal(body)
	}
	var walk func(tree)
	walk = func(n tree) {
		if n.Key != "" && !n.Dir {
			keys = append(keys, n.Key)
		}
		for _, child := range n.Nodes {
			walk(child)
		}
	}
	walk(all.Node)
	return keys
}

// gone waits, by a watch, until the lock is.
func gone(t testing.TB, base string) {
	t.Helper()
	for {
		resp, err := http.Get(base + "/v2/keys" + lockKey)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusNotFound {
			return
		}
		if _, body := raw(t, "GET", base+"/v2/keys"+lockKey+"?wait=true&waitIndex="+resp.Header.Get("X-Etcd-Index"), nil); strings.Contains(body, `"expire"`) || strings.Contains(body, `elete"`) {
			return
		}
	}
}

// TestLock is the life of a lock.
//
// Seen to fail with: the lock written without prevExist=false; Refresh without prevValue; Release without prevValue, or with it in the
// body of the DELETE (etcd reads none, and deletes anybody's); Break that does not compare the ID; a lost lease that stays
// valid; a probe that stays.
func TestLock(t *testing.T) {
	both(t, func(t *testing.T, a api) {
		ctx := t.Context()
		tin, mira := share(t, etcd.Config{Endpoints: []string{a.url}}), share(t, etcd.Config{Endpoints: []string{a.url}})
		if _, _, err := tin.Holder(ctx); !errors.Is(err, pooling.ErrNotFound) {
			t.Errorf("free: %v", err)
		}
		l := acquire(t, tin, alice, 30*time.Second)
		if !l.Valid() || time.Until(l.Until()) > 24*time.Second || time.Until(l.Until()) < 14*time.Second {
			t.Errorf("%t until %s", l.Valid(), l.Until())
		}
		if l.Holder.ID == "" || l.Holder.Since.IsZero() {
			t.Errorf("%+v", l.Holder)
		}

		bob := pooling.Holder{Owner: "bob", Host: "mira", Run: "r2"}
		_, err := mira.Acquire(ctx, bob, 30*time.Second)
		var held *pooling.HeldError
		if !errors.Is(err, pooling.ErrHeld) || !errors.As(err, &held) {
			t.Fatalf("held: %v", err)
		}
		if diff := cmp.Diff(l.Holder, held.Holder); diff != "" || held.TTL <= 20*time.Second || held.TTL > 30*time.Second {
			t.Errorf("%s: %s", held.TTL, diff)
		}
		for _, word := range []string{"mediawiki", "alice", "tin", "r1", "a full run", "since"} {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%q is not in %q", word, err)
			}
		}
		if h, ttl, err := mira.Holder(ctx); err != nil || h != l.Holder || ttl <= 0 || ttl > 30*time.Second {
			t.Errorf("%+v, %s, %v", h, ttl, err)
		}
		// bob's hands are bound
		if err := mira.Break(ctx, pooling.Holder{}); err == nil {
			t.Error("broke a lock of nobody")
		}
		if err := mira.Break(ctx, pooling.Holder{ID: "another", Owner: "alice"}); !errors.As(err, &held) || held.Holder != l.Holder {
			t.Errorf("broke another's: %v", err)
		}
		if err := l.Refresh(ctx); err != nil || !l.Valid() {
			t.Errorf("refresh: %v", err)
		}
		if h, _, err := mira.Holder(ctx); err != nil || h != l.Holder {
			t.Errorf("after refresh: %+v, %v", h, err)
		}

		for range 2 {
			if err := l.Release(ctx); err != nil || l.Valid() || l.Until().After(time.Now()) {
				t.Errorf("release: %v", err)
			}
		}
		if err := l.Refresh(ctx); !errors.Is(err, pooling.ErrLockLost) {
			t.Errorf("refresh of a released lease: %v", err)
		}
		if keys := left(t, a.url); keys != nil {
			t.Errorf("left: %v", keys)
		}

		// the late one changes nothing of the next one's
		l2 := acquire(t, mira, bob, 30*time.Second)
		if err := l.Release(ctx); err != nil {
			t.Errorf("late release: %v", err)
		}
		if err := l2.Refresh(ctx); err != nil || !l2.Valid() {
			t.Errorf("%v", err)
		}
		// broken
		for range 2 {
			if err := tin.Break(ctx, l2.Holder); err != nil {
				t.Errorf("break: %v", err)
			}
		}
		if err := l2.Refresh(ctx); !errors.Is(err, pooling.ErrLockLost) || l2.Valid() {
			t.Errorf("refresh of a broken lock: %v", err)
		}
		l3 := acquire(t, tin, alice, 30*time.Second)
		if err := mira.Break(ctx, l2.Holder); !errors.As(err, &held) || held.Holder != l3.Holder {
			t.Errorf("break of one that has changed hands: %v", err)
		}
		if err := l2.Refresh(ctx); !errors.Is(err, pooling.ErrLockLost) || l2.Valid() {
			t.Errorf("refresh: %v", err)
		}
		if err := l3.Release(ctx); err != nil {
			t.Error(err)
		}

		// one that was lost to somebody else says to whom
		l4 := acquire(t, tin, alice, 30*time.Second)
		if err := mira.Break(ctx, l4.Holder); err != nil {
			t.Error(err)
		}
		l5 := acquire(t, mira, bob, 0)
		if err := l4.Refresh(ctx); !errors.Is(err, pooling.ErrLockLost) || !errors.As(err, &held) || held.Holder != l5.Holder || l4.Valid() {
			t.Errorf("%v", err)
		}
		// a freeze
		if err := l5.Refresh(ctx); err != nil || !l5.Valid() || !l5.Until().IsZero() {
			t.Errorf("%v until %s", err, l5.Until())
		}
		if h, ttl, err := tin.Holder(ctx); err != nil || ttl != 0 || h != l5.Holder {
			t.Errorf("%s, %v", ttl, err)
		}
		if err := tin.Break(ctx, l5.Holder); err != nil {
			t.Error(err)
		}
		if err := l5.Refresh(ctx); !errors.Is(err, pooling.ErrLockLost) || l5.Valid() || l5.Until().IsZero() {
			t.Errorf("%v until %s", err, l5.Until())
		}

		for _, ttl := range []time.Duration{-time.Second, 1, 999 * time.Millisecond} {
			if _, err := tin.Acquire(ctx, alice, ttl); err == nil {
				t.Errorf("ttl %s", ttl)
			}
		}
		for range 2 {
			if err := tin.Writable(ctx); err != nil {
				t.Error(err)
			}
		}
		if keys := left(t, a.url); keys != nil {
			t.Errorf("left: %v", keys)
		}
	})
}

// TestLockHostile: what somebody else put there harms no terminal, and is not overwritten.
func TestLockHostile(t *testing.T) {
	both(t, func(t *testing.T, a api) {
		s := share(t, etcd.Config{Endpoints: []string{a.url}})
		for _, value := range []string{
			"", "x", "{}", `{"id":""}`, `{"id":5}`, `[]`, "\x1b[31m", `{"owner":"\u001b[31malice\n","id":"1\u202e"}`, `{"id":"1","since":"yesterday"}`,
		} {
			raw(t, "PUT", a.url+"/v2/keys"+lockKey, url.Values{"value": {value}})
			h, _, holderErr := s.Holder(t.Context())
			_, err := s.Acquire(t.Context(), alice, 30*time.Second)
			if !errors.Is(err, pooling.ErrHeld) || (holderErr == nil) == errors.Is(err, pooling.ErrMalformed) {
				t.Errorf("%q: %v, %v", value, holderErr, err)
			}
			for _, text := range []string{fmt.Sprint(err), fmt.Sprint(holderErr), h.Owner, h.ID} {
				if strings.ContainsAny(text, "\x1b\n\u202e") {
					t.Errorf("%q: not clean: %q", value, text)
				}
			}
			if _, body := raw(t, "GET", a.url+"/v2/keys"+lockKey, nil); !strings.Contains(body, `"lock"`) && strings.Contains(body, "alice\",\"host") {
				t.Errorf("%q: overwritten: %s", value, body)
			}
			raw(t, "DELETE", a.url+"/v2/keys"+lockKey, nil)
		}
		long := strings.Repeat("x", 5000)
		l := acquire(t, s, pooling.Holder{Owner: "a\x1bb", Host: "c\nd", Run: "r\u202e", Reason: long, Inventory: long}, time.Second)
		if h := l.Holder; h.Owner != "ab" || h.Host != "cd" || h.Run != "r" || len(h.Reason) > 300 {
			t.Errorf("%+v", h)
		}
		if h, _, err := s.Holder(t.Context()); err != nil || h != l.Holder {
			t.Errorf("%+v, %v", h, err)
		}
		if err := s.Break(t.Context(), l.Holder); err != nil {
			t.Error(err)
		}
	})
}

// TestLockExpires: a lock that is not refreshed is free after its ttl, not before; one that is refreshed stays.
//
// Seen to fail with: a Refresh that only reads.
func TestLockExpires(t *testing.T) {
	t.Parallel()
	base := poolingtest.StartEtcd(t)
	s := share(t, etcd.Config{Endpoints: []string{base}})
	began := time.Now()
	l := acquire(t, s, alice, time.Second)
	gone(t, base)
	if took := time.Since(began); took < time.Second {
		t.Errorf("gone after %s", took)
	}
	if l.Valid() {
		t.Error("valid after its lock is gone")
	}
	if err := l.Refresh(t.Context()); !errors.Is(err, pooling.ErrLockLost) {
		t.Errorf("refresh: %v", err)
	}
	if keys := left(t, base); keys != nil {
		t.Errorf("refresh made %v", keys)
	}
	// refreshed until after it would have run out: another key that runs out is the clock
	l = acquire(t, s, alice, 2*time.Second)
	clock := base + "/v2/keys/clock"
	raw(t, "PUT", clock, url.Values{"value": {"x"}, "ttl": {"3"}})
	for {
		if status, _ := raw(t, "GET", clock, nil); status == http.StatusNotFound {
			break
		}
		if err := l.Refresh(t.Context()); err != nil || !l.Valid() {
			t.Fatalf("refresh: %v", err)
		}
	}
	if h, _, err := s.Holder(t.Context()); err != nil || h != l.Holder {
		t.Errorf("%+v, %v", h, err)
	}
}

// TestLockOver: a lock whose time is up but which etcd has not taken away yet, as after it was itself away, is not one
// for ever. The answer is as measured with 3.4.23.
//
// Seen to fail with: the ttl alone.
func TestLockOver(t *testing.T) {
	s := share(t, etcd.Config{Endpoints: []string{frontend(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"action":"get","node":{"key":"`+lockKey+`","value":"{\"id\":\"1\"}","expiration":"2026-01-02T03:04:05Z","modifiedIndex":4,"createdIndex":4}}`)
	}))}})
	_, ttl, err := s.Holder(t.Context())
	if err != nil || ttl != time.Second {
		t.Errorf("%s, %v", ttl, err)
	}
}

// TestValid: by a clock of the test's own.
//
// Seen to fail with: the end of a call taken for its start; a lease as long as the lock; a failed Refresh that counts.
func TestValid(t *testing.T) {
	server := serve(t)
	s := share(t, etcd.Config{Endpoints: []string{server.URL}, Timeout: 200 * time.Millisecond})
	var now atomic.Int64
	s.SetClock(func() time.Duration { return time.Duration(now.Load()) })
	pass := func(d time.Duration) { now.Add(int64(d)) }
	slow := func(d time.Duration) { // requests that take so long
		server.Faults.Plan(func(*http.Request) poolingtest.Fault { pass(d); return poolingtest.None })
	}
	pass(time.Hour)
	slow(5 * time.Second)
	l := acquire(t, s, alice, 30*time.Second)
	slow(0)
	expect := func(what string, valid bool, left time.Duration) {
		t.Helper()
		if off := time.Until(l.Until()) - left; l.Valid() != valid || off > time.Second || off < -10*time.Second {
			t.Errorf("%s: valid %t, off by %s", what, l.Valid(), off)
		}
	}
	expect("a request of 5s", true, 19*time.Second)
	pass(19*time.Second - 1)
	expect("at the end", true, 0)
	pass(1)
	expect("after it", false, 0)
	slow(time.Second)
	if err := l.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	slow(0)
	expect("refreshed: nobody else had it meanwhile", true, 23*time.Second)
	pass(20 * time.Second)
	server.Faults.Plan(func(*http.Request) poolingtest.Fault { return poolingtest.RaftError })
	if err := l.Refresh(t.Context()); !errors.Is(err, pooling.ErrUnavailable) {
		t.Error(err)
	}
	expect("a refresh that failed", true, 3*time.Second)
	pass(3 * time.Second)
	expect("and later", false, 0)
	server.Faults.Plan(nil)
	server.Store.Advance(31 * time.Second)
	if err := l.Refresh(t.Context()); !errors.Is(err, pooling.ErrLockLost) {
		t.Error(err)
	}
	expect("lost", false, 0)
}

// TestLockFaults: every call against every fault, once and for ever.
//
// Seen to fail with: 105 after a lost reply taken for somebody else's lock; 404 after a lost reply of Release or Break taken for a
// failure; Refresh by prevIndex (the second attempt finds its own first); PutReceipt that does not re-read.
func TestLockFaults(t *testing.T) {
	t.Parallel()
	receipt := pooling.Receipt{Run: "r1", Host: "mw1", Purpose: pooling.Serving, Objects: []pooling.Object{{Key: "eqiad/appserver/apache2/mw1", Value: yes, Index: 7}}}
	type world struct {
		s *pooling.Shared
		l *pooling.Lease // held before, but by acquire
	}
	operations := []struct {
		name    string
		methods string // that are spoiled
		held    bool   // before
		run     func(ctx context.Context, w world) error
		after   []string // keys
	}{
		{"acquire", "PUT", false, func(ctx context.Context, w world) error {
			l, err := w.s.Acquire(ctx, alice, time.Minute)
			if err == nil && !l.Valid() {
				return errors.New("not valid")
			}
			return err
		}, []string{lockKey}},
		{"refresh", "PUT", true, func(ctx context.Context, w world) error { return w.l.Refresh(ctx) }, []string{lockKey}},
		{"release", "DELETE", true, func(ctx context.Context, w world) error { return w.l.Release(ctx) }, nil},
		{"break", "GET DELETE", true, func(ctx context.Context, w world) error { return w.s.Break(ctx, w.l.Holder) }, nil},
		{"writable", "PUT", false, func(ctx context.Context, w world) error { return w.s.Writable(ctx) }, nil},
		{"writable, deleting", "DELETE", false, func(ctx context.Context, w world) error { return w.s.Writable(ctx) }, nil},
		{"put receipt", "PUT", false, func(ctx context.Context, w world) error { return w.s.PutReceipt(ctx, receipt) }, []string{below + "/receipts/r1,mw1"}},
		{"replace receipt", "GET PUT", false, func(ctx context.Context, w world) error {
			was := receipt
			was.Owner = "bob"
			return errors.Join(w.s.PutReceipt(ctx, was), w.s.PutReceipt(ctx, receipt))
		}, []string{below + "/receipts/r1,mw1"}},
		{"receipts", "GET", false, func(ctx context.Context, w world) error {
			_, err := w.s.Receipts(ctx)
			return err
		}, nil},
		{"drop receipt", "DELETE", false, func(ctx context.Context, w world) error {
			return errors.Join(w.s.PutReceipt(ctx, receipt), w.s.DropReceipt(ctx, "r1", "mw1"))
		}, nil},
		{"put run", "PUT", false, func(ctx context.Context, w world) error {
			return w.s.PutRun(ctx, pooling.RunRecord{Run: "r1"})
		}, []string{below + "/runs/r1"}},
		{"drop run", "GET DELETE", false, func(ctx context.Context, w world) error {
			return errors.Join(w.s.PutRun(ctx, pooling.RunRecord{Run: "r1"}), w.s.DropRun(ctx, "r1"))
		}, nil},
	}
	for _, fault := range []poolingtest.Fault{
		poolingtest.DropRequest, poolingtest.DropReply, poolingtest.Truncate, poolingtest.Unavailable, poolingtest.RaftError, poolingtest.Garbage,
		poolingtest.Empty, poolingtest.NoNode, poolingtest.NoV2, poolingtest.Redirect, poolingtest.Hang, poolingtest.HangBody,
		poolingtest.Proxy401, poolingtest.Proxy403,
	} {
		for _, op := range operations {
			for _, times := range []int64{1, 1 << 40} {
				t.Run(fmt.Sprintf("%s/%s/%t", fault, op.name, times == 1), func(t *testing.T) {
					t.Parallel()
					server := serve(t)
					w := world{s: share(t, etcd.Config{Endpoints: []string{server.URL}})}
					if op.held {
						w.l = acquire(t, w.s, alice, time.Minute)
					}
					timeout := 800 * time.Millisecond
					if times > 1 {
						timeout = 100 * time.Millisecond
					}
					w.s.SetStore(store(t, etcd.Config{Endpoints: []string{server.URL}, Timeout: timeout}), timeout)
					var spoil atomic.Int64
					spoil.Store(times)
					server.Faults.Plan(func(r *http.Request) poolingtest.Fault {
						if strings.Contains(op.methods, r.Method) && spoil.Add(-1) >= 0 {
							return fault
						}
						return poolingtest.None
					})
					want := pooling.ErrUnavailable
					switch {
					case fault == poolingtest.Proxy401 || fault == poolingtest.Proxy403:
						want = pooling.ErrUnauthorized
					case times == 1:
						want = nil
					}
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
					defer cancel()
					began := time.Now()
					err := op.run(ctx, w)
					took := time.Since(began)
					if !errors.Is(err, want) || want == nil && err != nil {
						t.Errorf("got %v, want %v", err, want)
					}
					if took > 2*timeout+2*time.Second {
						t.Errorf("took %s", took)
					}
					if err != nil && strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f }) {
						t.Errorf("not clean: %q", err)
					}
					if want == nil {
						server.Faults.Plan(nil)
						if diff := cmp.Diff(op.after, left(t, server.URL)); diff != "" {
							t.Error(diff)
						}
					}
				})
			}
		}
	}
}

// TestLockRefused: credentials and read-only replicas.
func TestLockRefused(t *testing.T) {
	server := serve(t)
	server.Store.User, server.Store.Password = "root", "pw"
	open := share(t, etcd.Config{Endpoints: []string{server.URL}})
	known := share(t, etcd.Config{Endpoints: []string{server.URL}, User: "root", Password: "pw"})
	l := acquire(t, known, alice, time.Minute)
	if err := open.Writable(t.Context()); !errors.Is(err, pooling.ErrUnauthorized) {
		t.Error(err)
	}
	if _, err := open.Acquire(t.Context(), alice, 0); !errors.Is(err, pooling.ErrUnauthorized) || errors.Is(err, pooling.ErrHeld) {
		t.Error(err)
	}
	server.Store.ReadOnly = true
	if err := known.Writable(t.Context()); !errors.Is(err, pooling.ErrReadOnly) {
		t.Error(err)
	}
	if err := l.Refresh(t.Context()); !errors.Is(err, pooling.ErrReadOnly) || !l.Valid() {
		t.Error(err)
	}
}

// TestAcquireCanceled: whoever gives up does not leave a lock behind.
//
// Seen to fail with: no undo after a cancelled context.
func TestAcquireCanceled(t *testing.T) {
	server := serve(t)
	s := share(t, etcd.Config{Endpoints: []string{server.URL}})
	why := errors.New("asked to stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	server.Faults.Plan(func(r *http.Request) poolingtest.Fault {
		if r.Method != "PUT" {
			return poolingtest.None
		}
		cancel(why)
		return poolingtest.DropReply
	})
	if _, err := s.Acquire(ctx, alice, 0); !errors.Is(err, why) {
		t.Error(err)
	}
	if keys := left(t, server.URL); keys != nil {
		t.Errorf("left: %v", keys)
	}
}

// TestLockRace: two masters, many rounds, replies lost at random: never two at once, and never none for want of a reply.
// FLEETSYNC_LONG plays more of them.
//
// Seen to fail with: prevExist left out; a re-read that compares owner and host in place of the ID.
func TestLockRace(t *testing.T) {
	both(t, func(t *testing.T, a api) {
		base := a.url
		rounds := 40
		if os.Getenv("FLEETSYNC_LONG") != "" {
			rounds = 500
		}
		var inside, taken, requests atomic.Int64
		// a front that drops every fifth reply
		faults := &poolingtest.Faults{Next: forward(t, base)}
		faults.Plan(func(r *http.Request) poolingtest.Fault {
			if requests.Add(1)%5 == 0 {
				return poolingtest.DropReply
			}
			return poolingtest.None
		})
		front := frontend(t, faults)
		var ready, all sync.WaitGroup
		for range rounds {
			var got atomic.Int64
			ready.Add(2)
			for range 2 {
				s := share(t, etcd.Config{Endpoints: []string{front}})
				all.Go(func() {
					ready.Done()
					ready.Wait()
					l, err := s.Acquire(t.Context(), alice, time.Minute)
					if errors.Is(err, pooling.ErrHeld) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					got.Add(1)
					taken.Add(1)
					if n := inside.Add(1); n != 1 {
						t.Errorf("%d hold it", n)
					}
					if err := l.Refresh(t.Context()); err != nil || !l.Valid() {
						t.Errorf("refresh: %v", err)
					}
					inside.Add(-1)
					if err := l.Release(t.Context()); err != nil {
						t.Errorf("release: %v", err)
					}
				})
			}
			all.Wait()
			if got.Load() == 0 {
				t.Fatal("nobody got it")
			}
			if keys := left(t, base); keys != nil {
				t.Fatalf("left: %v", keys)
			}
		}
		t.Logf("%d rounds, taken %d times, %d requests", rounds, taken.Load(), requests.Load())
	})
}

// TestStopped: a process that is stopped past its ttl learns that at once when it goes on, before any refresh.
//
// Seen to fail with: Valid that asks no clock.
func TestStopped(t *testing.T) {
	const child = "FLEETSYNC_TEST_LEASE"
	if base := os.Getenv(child); base != "" {
		s := share(t, etcd.Config{Endpoints: []string{base}})
		l := acquire(t, s, alice, 2*time.Second)
		fmt.Println("valid", l.Valid())
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			fmt.Println("valid", l.Valid())
		}
		return
	}
	t.Parallel()
	base := poolingtest.StartEtcd(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStopped$")
	cmd.Env = append(os.Environ(), child+"="+base)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := bufio.NewScanner(out)
	said := func() string {
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "valid ") {
				return lines.Text()
			}
		}
		return ""
	}
	if s := said(); s != "valid true" {
		t.Fatal(s)
	}
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	gone(t, base)
	if _, err := io.WriteString(in, "?\n"); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if s := said(); s != "valid false" {
		t.Error(s)
	}
	_ = in.Close()
}
