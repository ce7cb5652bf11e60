package etcd_test

import (
	"testing"

	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/pooling/etcd"
	"github.com/fleetsync/fleetsync/pooling/poolingtest"
	"github.com/fleetsync/fleetsync/pooling/storetest"
)

// open returns a store; it is closed with the test.
func open(t testing.TB, c etcd.Config) pooling.Store {
	t.Helper()
	s, err := etcd.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// serve starts a server of the imitated API; it ends with the test.
func serve(t testing.TB) *poolingtest.Server {
	t.Helper()
	s, err := poolingtest.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// both runs a test against the imitated API and a real etcd 3.4.
func both(t *testing.T, test func(t *testing.T, url string)) {
	t.Parallel()
	t.Run("imitated", func(t *testing.T) { t.Parallel(); test(t, serve(t).URL) })
	t.Run("etcd 3.4", func(t *testing.T) { t.Parallel(); test(t, poolingtest.StartEtcd(t)) })
}

func TestConformance(t *testing.T) {
	both(t, func(t *testing.T, url string) {
		storetest.Conformance(t, func(t *testing.T) pooling.Store { return open(t, etcd.Config{Endpoints: []string{url}}) })
	})
}
