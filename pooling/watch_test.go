package pooling_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/pooling/etcd"
)

func TestWait(t *testing.T) {
	both(t, func(t *testing.T, a api) {
		c := dialSelect(t, etcd.Config{Endpoints: []string{a.url}}, pooling.Selection{Services: []string{"apache2"}})
		a.put(mw1, yes)
		s, err := c.Pools(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		a.put(mw1, no)
		a.put(mw1ssl, no) // not selected
		a.put("eqiad/appserver/apache2/_hidden", no)
		a.put(mw2, yes)
		a.do("PUT", mw2, url.Values{"dir": {"true"}, "prevExist": {"false"}}) // fails
		a.do("PUT", "eqiad/appserver/apache2/new", url.Values{"dir": {"true"}})
		a.do("DELETE", mw2, nil)
		a.do("PUT", mw1, url.Values{"value": {inactive}, "prevValue": {no}})
		after := s.Index
		var got []pooling.Change
		for range 4 {
			change, err := c.Wait(soon(t), after)
			if err != nil {
				t.Fatal(err)
			}
			if change.Object.Index <= after {
				t.Fatalf("%+v after %d", change, after)
			}
			after = change.Object.Index
			change.Object.Index = 0
			got = append(got, change)
		}
		if diff := cmp.Diff([]pooling.Change{
			{Object: pooling.Object{Key: mw1, Value: no}},
			{Object: pooling.Object{Key: mw2, Value: yes}},
			{Object: pooling.Object{Key: mw2}, Deleted: true},
			{Object: pooling.Object{Key: mw1, Value: inactive}},
		}, got); diff != "" {
			t.Error(diff)
		}
		// a whole directory goes
		a.do("DELETE", "eqiad?recursive=true", nil)
		if _, err := c.Wait(soon(t), after); !errors.Is(err, pooling.ErrIndexCleared) {
			t.Errorf("directory deleted: %v", err)
		}
		for range 1100 {
			a.put("eqiad/other/x/y", "1")
		}
		if _, err := c.Wait(soon(t), after); !errors.Is(err, pooling.ErrIndexCleared) {
			t.Errorf("too old: %v", err)
		}
	})
}

// TestWaitLonger: a watch outlasts the timeout of an operation, and sees what happens after.
//
// Seen to fail with: the operations' own http.Client; deadline around the watch.
func TestWaitLonger(t *testing.T) {
	both(t, func(t *testing.T, a api) {
		const timeout = 200 * time.Millisecond
		c := dial(t, etcd.Config{Endpoints: []string{a.url}, Timeout: timeout})
		a.put(mw1, yes)
		index := a.get(mw1).Modified
		type result struct {
			change pooling.Change
			err    error
		}
		done := make(chan result)
		go func() {
			change, err := c.Wait(soon(t), index)
			done <- result{change, err}
		}()
		select {
		case r := <-done:
			t.Fatalf("ended early: %+v", r)
		case <-time.After(3 * timeout):
		}
		a.put(mw1, no)
		if r := <-done; r.err != nil || r.change.Object.Value != no {
			t.Errorf("%+v", r)
		}
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		if _, err := c.Wait(ctx, a.get(mw1).Modified); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ended by its caller: %v", err)
		}
	})
}

// TestWaitAgain: etcd ends a watch without an event after five minutes. What it has seen by then need not be
// asked for again, which keeps a quiet pool on a busy etcd from falling out of the history. A proxy that
// ends each watch at once is a failure, not a reason to ask in a loop.
func TestWaitAgain(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	var since []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		since = append(since, r.URL.Query().Get("waitIndex"))
		w.Header().Set("X-Etcd-Index", "500")
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		switch asked.Add(1) {
		case 1:
			<-time.After(1100 * time.Millisecond) // as little as passes for quiet
		case 2:
			_, _ = fmt.Fprintf(w, `{"action":"set","node":{"key":"%s/%s","value":"x","modifiedIndex":501}}`, prefix, mw1)
		}
	}))
	defer server.Close()
	c := dial(t, etcd.Config{Endpoints: []string{server.URL}})
	change, err := c.Wait(soon(t), 7)
	if err != nil || change.Object.Value != "x" {
		t.Errorf("%+v, %v", change, err)
	}
	if diff := cmp.Diff([]string{"8", "501"}, since); diff != "" {
		t.Error(diff)
	}
	if _, err := c.Wait(soon(t), 501); !errors.Is(err, pooling.ErrUnavailable) || asked.Load() != 3 {
		t.Errorf("%v after %d", err, asked.Load())
	}
}
