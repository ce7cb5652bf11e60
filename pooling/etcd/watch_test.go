package etcd_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/pooling/etcd"
)

// request makes a request of the API of a server without this package.
func request(t testing.TB, method, url string, form url.Values) (status int) {
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
	return resp.StatusCode
}

// TestWaitDirectories: a directory is no key. That one is gone says of no key that it is.
func TestWaitDirectories(t *testing.T) {
	both(t, func(t *testing.T, server string) {
		s, base := open(t, etcd.Config{Endpoints: []string{server}}), server+"/v2/keys"
		if err := s.Create(t.Context(), "/w/a", "1", 0); err != nil {
			t.Fatal(err)
		}
		l, err := s.List(t.Context(), "/w")
		if err != nil {
			t.Fatal(err)
		}
		request(t, "PUT", base+"/w/a", url.Values{"dir": {"true"}, "prevExist": {"false"}}) // fails
		request(t, "PUT", base+"/w/new", url.Values{"dir": {"true"}})
		request(t, "PUT", base+"/w/a", url.Values{"value": {"2"}, "prevValue": {"1"}})
		e, err := s.Wait(soon(t), "/w", l.Index)
		if err != nil || e.Entry.Key != "/w/a" || e.Entry.Value != "2" || e.Deleted {
			t.Errorf("%+v, %v", e, err)
		}
		if _, err := s.Get(t.Context(), "/w/new"); !errors.Is(err, pooling.ErrMalformed) {
			t.Errorf("get of a directory: %v", err)
		}
		request(t, "DELETE", base+"/w?recursive=true", nil)
		if _, err := s.Wait(soon(t), "/w", e.Entry.Index); !errors.Is(err, pooling.ErrIndexCleared) {
			t.Errorf("directory deleted: %v", err)
		}
	})
}

// TestWaitHistory: what is no longer known is not taken for nothing.
func TestWaitHistory(t *testing.T) {
	both(t, func(t *testing.T, server string) {
		s := open(t, etcd.Config{Endpoints: []string{server}})
		if err := s.Create(t.Context(), "/w/a", "1", 0); err != nil {
			t.Fatal(err)
		}
		e, err := s.Get(t.Context(), "/w/a")
		if err != nil {
			t.Fatal(err)
		}
		for range 1100 {
			request(t, "PUT", server+"/v2/keys/other", url.Values{"value": {"1"}})
		}
		if _, err := s.Wait(soon(t), "/w", e.Index); !errors.Is(err, pooling.ErrIndexCleared) {
			t.Errorf("too old: %v", err)
		}
	})
}

// TestWaitLonger: a watch outlasts the timeout of a call, and sees what happens after.
//
// Seen to fail with: the calls' own http.Client.
func TestWaitLonger(t *testing.T) {
	both(t, func(t *testing.T, server string) {
		const timeout = 200 * time.Millisecond
		s, patient := open(t, etcd.Config{Endpoints: []string{server}, Timeout: timeout}), open(t, etcd.Config{Endpoints: []string{server}})
		if err := patient.Create(t.Context(), "/w/a", "1", 0); err != nil {
			t.Fatal(err)
		}
		e, err := patient.Get(t.Context(), "/w/a")
		if err != nil {
			t.Fatal(err)
		}
		type result struct {
			e   pooling.Event
			err error
		}
		done := make(chan result)
		go func() {
			e, err := s.Wait(soon(t), "/w", e.Index)
			done <- result{e, err}
		}()
		select {
		case r := <-done:
			t.Fatalf("ended early: %+v", r)
		case <-time.After(3 * timeout):
		}
		if _, err := patient.Swap(t.Context(), "/w/a", "2", e.Index); err != nil {
			t.Fatal(err)
		}
		r := <-done
		if r.err != nil || r.e.Entry.Value != "2" {
			t.Errorf("%+v", r)
		}
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		if _, err := s.Wait(ctx, "/w", r.e.Entry.Index); !errors.Is(err, context.DeadlineExceeded) {
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
			_, _ = io.WriteString(w, `{"action":"set","node":{"key":"/x/y","value":"x","modifiedIndex":501}}`)
		}
	}))
	defer server.Close()
	c := open(t, etcd.Config{Endpoints: []string{server.URL}})
	change, err := c.Wait(soon(t), "/x", 7)
	if err != nil || change.Entry.Value != "x" {
		t.Errorf("%+v, %v", change, err)
	}
	if diff := cmp.Diff([]string{"8", "501"}, since); diff != "" {
		t.Error(diff)
	}
	if _, err := c.Wait(soon(t), "/x", 501); !errors.Is(err, pooling.ErrUnavailable) || asked.Load() != 3 {
		t.Errorf("%v after %d", err, asked.Load())
	}
}
