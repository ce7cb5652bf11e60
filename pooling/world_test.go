package pooling_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/pooling/etcd"
	"github.com/fleetsync/fleetsync/pooling/poolingtest"
	"github.com/fleetsync/fleetsync/pooling/storetest"
)

const prefix = "/conftool/v1/pools"

const (
	yes      = `{"weight": 10, "pooled": "yes"}`
	no       = `{"weight": 10, "pooled": "no"}`
	inactive = `{"weight": 10, "pooled": "inactive"}`
)

// half is the threshold of most tests.
var half = pooling.Threshold{Default: 5000}

// both runs a test against a store in memory and a real etcd 3.4, beside other tests.
func both(t *testing.T, test func(t *testing.T, o others)) {
	t.Parallel()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		test(t, others{t, &storetest.Memory{}})
	})
	t.Run("etcd 3.4", func(t *testing.T) {
		t.Parallel()
		test(t, others{t, etcdStore(t, poolingtest.StartEtcd(t))})
	})
}

// etcdStore returns a store in the etcd of that base URL.
func etcdStore(t testing.TB, url string) pooling.Store {
	t.Helper()
	s, err := etcd.New(etcd.Config{Endpoints: []string{url}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// others is a store as everybody else uses it, who asks for no condition.
type others struct {
	t     testing.TB
	store pooling.Store
}

// put sets a pool object.
func (o others) put(key, value string) { o.t.Helper(); o.set(prefix+"/"+key, value) }

// get returns a pool object; the zero Entry if there is none.
func (o others) get(key string) pooling.Entry { o.t.Helper(); return o.read(prefix + "/" + key) }

// remove deletes a pool object.
func (o others) remove(key string) { o.t.Helper(); o.delete(prefix + "/" + key) }

func (o others) set(key, value string) {
	o.t.Helper()
	err := o.store.Create(o.t.Context(), key, value, 0)
	if errors.Is(err, pooling.ErrConflict) {
		_, err = o.store.Swap(o.t.Context(), key, value, o.read(key).Index)
	}
	if err != nil {
		o.t.Fatal(err)
	}
}

func (o others) read(key string) pooling.Entry {
	o.t.Helper()
	e, err := o.store.Get(o.t.Context(), key)
	if err != nil && !errors.Is(err, pooling.ErrNotFound) {
		o.t.Fatal(err)
	}
	return e
}

func (o others) delete(key string) {
	o.t.Helper()
	if err := o.store.Delete(o.t.Context(), key, o.read(key).Index); err != nil {
		o.t.Fatal(err)
	}
}

// below returns all keys of a directory.
func (o others) below(dir string) (keys []string) {
	o.t.Helper()
	l, err := o.store.List(o.t.Context(), dir)
	if err != nil && !errors.Is(err, pooling.ErrNotFound) {
		o.t.Fatal(err)
	}
	for _, e := range l.Entries {
		keys = append(keys, e.Key)
	}
	return keys
}

// dial returns a client of the pools in a store.
func dial(t testing.TB, s pooling.Store) *pooling.Client {
	t.Helper()
	return dialConfig(t, s, pooling.Config{Prefix: prefix})
}

func dialConfig(t testing.TB, s pooling.Store, c pooling.Config) *pooling.Client {
	t.Helper()
	client, err := pooling.NewClient(swapsOnly{s, t}, c)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// swapsOnly is a store to a Client, which makes no key and deletes none.
type swapsOnly struct {
	pooling.Store
	t testing.TB
}

func (s swapsOnly) Create(context.Context, string, string, time.Duration) error {
	s.t.Error("a client creates a key")
	return pooling.ErrReadOnly
}

func (s swapsOnly) Refresh(context.Context, string, string, time.Duration) error {
	s.t.Error("a client refreshes a key")
	return pooling.ErrReadOnly
}

func (s swapsOnly) Delete(context.Context, string, uint64) error {
	s.t.Error("a client deletes a key")
	return pooling.ErrReadOnly
}

func (s swapsOnly) DeleteValue(context.Context, string, string) error {
	s.t.Error("a client deletes a key")
	return pooling.ErrReadOnly
}

func observe(t testing.TB, c *pooling.Client, host string) []pooling.Object {
	t.Helper()
	objects, err := c.Observe(t.Context(), host)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// soon returns a context for what would otherwise hang if it went wrong.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func keys(objects []pooling.Object) (keys []string) {
	for _, o := range objects {
		keys = append(keys, o.Key)
	}
	return keys
}

func outcomes(restored []pooling.Restored) (all []pooling.Outcome) {
	for _, r := range restored {
		all = append(all, r.Outcome)
	}
	return all
}

// put sets a pool object of the service apache2.
func put(m *storetest.Memory, host, value string) {
	m.Put(prefix+"/eqiad/appserver/apache2/"+host, value)
}

// value returns that pool object.
func value(m *storetest.Memory, key string) string { return m.Values(prefix)[prefix+"/"+key] }
