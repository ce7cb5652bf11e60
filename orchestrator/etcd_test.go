package orchestrator_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/pooling"
	etcdv2 "github.com/fleetsync/fleetsync/pooling/etcd"
	"github.com/fleetsync/fleetsync/pooling/poolingtest"
)

// poolsPrefix is where the objects are.
const poolsPrefix = "/conftool/v1/pools"

// etcd is the in-memory pool server behind connections in memory, so that the real client can be used
// where time is not real.
type etcd struct {
	store *poolingtest.Etcd

	mu     sync.Mutex // held while a write is done
	wrote  func()     // called after each, with the lock
	before map[string]string
}

// newEtcd makes a store with objects of the proxies of a fleet, two each, and of other hosts in the
// same pools.
func newEtcd(t *testing.T, f *inventory.Fleet, others int, pooled func() string) *etcd {
	t.Helper()
	e := &etcd{store: &poolingtest.Etcd{}, before: map[string]string{}}
	for _, service := range []string{"apache2", "nginx"} {
		put := func(host, value string) {
			key := "a/appserver/" + service + "/" + host
			e.before[key] = value
			if err := e.store.Put(poolsPrefix+"/"+key, value); err != nil {
				t.Fatal(err)
			}
		}
		for _, p := range f.Proxies {
			put(p.Host, fmt.Sprintf(`{"weight": 10,  "pooled":"%s", "note": "<%s>"}`, pooled(), p.Host))
		}
		for i := range others {
			put(fmt.Sprintf("x%d", i), `{"pooled": "yes", "weight": 1}`)
		}
	}
	return e
}

// value returns an object as it is; empty if it is not there.
func (e *etcd) value(key string) string {
	value, _, _ := e.store.Get(poolsPrefix + "/" + key)
	return value
}

// ServeHTTP serves the store. Writes are done one after the other, with what watches them.
func (e *etcd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		e.store.ServeHTTP(w, r)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.store.ServeHTTP(w, r)
	if e.wrote != nil {
		e.wrote()
	}
}

// process is what one process has of the store: a server and clients of its own, which can be cut off.
type process struct {
	faults *poolingtest.Faults
	pools  *pooling.Client
	shared *pooling.Shared
	server *http.Server
	served sync.WaitGroup // the server and what it does

	mu     sync.Mutex // what begins is counted before the end is waited for, or not served at all
	closed bool
}

func (e *etcd) connect(t *testing.T) *process {
	t.Helper()
	l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	p := &process{faults: &poolingtest.Faults{Next: e}}
	p.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return
		}
		p.served.Add(1)
		p.mu.Unlock()
		defer p.served.Done()
		p.faults.ServeHTTP(w, r)
	})}
	p.served.Go(func() { _ = p.server.Serve(l) }) // ends with ErrServerClosed
	store, err := etcdv2.New(etcdv2.Config{Endpoints: []string{"http://etcd"}})
	if err != nil {
		t.Fatal(err)
	}
	if p.pools, err = pooling.NewClient(store, pooling.Config{Prefix: poolsPrefix}); err != nil {
		t.Fatal(err)
	}
	if p.shared, err = pooling.NewShared(store, pooling.SharedConfig{Fleet: "test"}); err != nil {
		t.Fatal(err)
	}
	transportOf(reflect.ValueOf(store)).DialContext = l.dial
	return p
}

func (p *process) close() {
	p.pools.Close()
	p.shared.Close()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.server.Close()
	p.served.Wait()
}

// transportOf reaches for what a client connects with. No user of the package has to, so that it
// offers no way.
func transportOf(client reflect.Value) *http.Transport {
	field := client.Elem().FieldByName("transport")
	return *(**http.Transport)(unsafe.Pointer(field.UnsafeAddr()))
}

// pipes is a listener of connections in memory.
type pipes struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-l.closed:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipes) Addr() net.Addr { return &net.UnixAddr{} }

// chance is a source of random numbers for many goroutines.
type chance struct {
	mu sync.Mutex
	r  *rand.Rand
}

func newChance(seed uint64) *chance { return &chance{r: rand.New(rand.NewPCG(seed, 0))} }

func (c *chance) below(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.r.IntN(n)
}

// upTo returns a time of at most d.
func (c *chance) upTo(d time.Duration) time.Duration {
	return time.Duration(c.below(int(d/time.Millisecond)+1)) * time.Millisecond
}

// hostOf returns the host of an object.
func hostOf(key string) string { return key[strings.LastIndexByte(key, '/')+1:] }
