package etcd_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/pooling/etcd"
)

// TestOver: a key whose time is up but which etcd has not taken away yet, as after it was itself away, is not one
// for ever. The answer is as measured with 3.4.23.
//
// Seen to fail with: the ttl alone.
func TestOver(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"action":"get","node":{"key":"/x","value":"1","expiration":"2026-01-02T03:04:05Z","modifiedIndex":4,"createdIndex":4}}`)
	}))
	defer server.Close()
	e, err := open(t, etcd.Config{Endpoints: []string{server.URL}}).Get(t.Context(), "/x")
	if err != nil || e.TTL != time.Second {
		t.Errorf("%+v, %v", e, err)
	}
}
