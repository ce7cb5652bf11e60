package etcd_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/pooling/etcd"
	"github.com/fleetsync/fleetsync/pooling/poolingtest"
)

// TestFailover: of three endpoints the first is dead and the second hangs.
func TestFailover(t *testing.T) {
	dead := httptest.NewServer(nil)
	dead.Close()
	hangs, good := serve(t), serve(t)
	var hung atomic.Int64
	hangs.Faults.Plan(func(*http.Request) poolingtest.Fault { hung.Add(1); return poolingtest.Hang })
	put(t, good, "/x", "1")
	c := open(t, etcd.Config{Endpoints: []string{dead.URL, hangs.URL, good.URL}, Timeout: 2 * time.Second})
	for range 3 {
		if _, err := c.Get(t.Context(), "/x"); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.Wait(soon(t), "", 3); err != nil {
		t.Error(err)
	}
	if n := hung.Load(); n != 1 {
		t.Errorf("asked the endpoint that hangs %d times; the one that answered last comes first", n)
	}
	// and a watch finds its way round too
	c = open(t, etcd.Config{Endpoints: []string{dead.URL, good.URL}, Timeout: 2 * time.Second})
	if _, err := c.Wait(soon(t), "", 3); err != nil {
		t.Error(err)
	}
}

func TestRefusals(t *testing.T) {
	s := serve(t)
	put(t, s, "/x", "1")
	s.Etcd.User, s.Etcd.Password = "root", "pw"
	for _, c := range []struct {
		user, password string
		readOnly       bool
		read, write    error
	}{
		{"", "", false, pooling.ErrUnauthorized, pooling.ErrUnauthorized},
		{"root", "wrong", false, pooling.ErrUnauthorized, pooling.ErrUnauthorized},
		{"root", "pw", true, nil, pooling.ErrReadOnly},
		{"root", "pw", false, nil, nil},
	} {
		s.Etcd.ReadOnly = c.readOnly
		client := open(t, etcd.Config{Endpoints: []string{s.URL}, User: c.user, Password: c.password})
		if _, err := client.Get(t.Context(), "/x"); !errors.Is(err, c.read) {
			t.Errorf("%+v: read: %v", c, err)
		}
		_, index, _ := s.Etcd.Get("/x")
		if _, err := client.Swap(t.Context(), "/x", "2", index); !errors.Is(err, c.write) {
			t.Errorf("%+v: write: %v", c, err)
		}
		if _, err := client.Wait(soon(t), "", 3); !errors.Is(err, c.read) {
			t.Errorf("%+v: wait: %v", c, err)
		}
	}
}

// TestRedirect: credentials go to no host but those named. Seen to fail with net/http's own way with redirects.
func TestRedirect(t *testing.T) {
	var asked atomic.Int64
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer thief.Close()
	lure := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, thief.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer lure.Close()
	c := open(t, etcd.Config{Endpoints: []string{lure.URL}, User: "root", Password: "pw", Timeout: time.Second})
	_, err := c.Get(t.Context(), "/x")
	if !errors.Is(err, pooling.ErrUnavailable) || !strings.Contains(err.Error(), "redirects to "+thief.URL) {
		t.Error(err)
	}
	if _, err := c.Wait(soon(t), "", 3); !errors.Is(err, pooling.ErrUnavailable) {
		t.Error(err)
	}
	if asked.Load() != 0 {
		t.Error("followed")
	}
}

// TestBounds: an answer without end is given up.
func TestBounds(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"action":"get","node":{"key":"`)
		block := []byte(strings.Repeat("x", 1<<20))
		for r.Context().Err() == nil {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}))
	defer s.Close()
	c := open(t, etcd.Config{Endpoints: []string{s.URL}, Timeout: 20 * time.Second})
	if _, err := c.Get(t.Context(), "/x"); !errors.Is(err, pooling.ErrMalformed) || len(err.Error()) > 1000 {
		t.Error(err)
	}
}

func TestCanceled(t *testing.T) {
	s := serve(t)
	put(t, s, "/x", "1")
	c := open(t, etcd.Config{Endpoints: []string{s.URL}})
	why := errors.New("asked to stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	s.Faults.Plan(func(*http.Request) poolingtest.Fault { cancel(why); return poolingtest.Hang })
	if _, err := c.Get(ctx, "/x"); !errors.Is(err, why) || errors.Is(err, pooling.ErrUnavailable) {
		t.Errorf("get: %v", err)
	}
	if _, err := c.Wait(ctx, "", 3); !errors.Is(err, why) {
		t.Errorf("wait: %v", err)
	}
}

func put(t testing.TB, s *poolingtest.Server, key, value string) {
	t.Helper()
	if err := s.Etcd.Put(key, value); err != nil {
		t.Fatal(err)
	}
}

// soon returns a context for what would otherwise hang if it went wrong.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
