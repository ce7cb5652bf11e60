package transporttest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Relay passes TCP connections on to an address, counts them, and can make the peer vanish.
type Relay struct {
	Port int // on 127.0.0.1

	listener net.Listener
	to       string

	mu       sync.Mutex
	conns    map[net.Conn]bool
	frozen   chan struct{} // closed: nothing is passed on
	thawed   chan struct{} // closed: nothing will be any more
	accepted int
	open     int
	most     int
	done     sync.WaitGroup
}

// StartRelay starts a relay to an address, until the test ends.
func StartRelay(t testing.TB, to string) *Relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &Relay{
		Port: l.Addr().(*net.TCPAddr).Port, listener: l, to: to, conns: map[net.Conn]bool{},
		frozen: make(chan struct{}), thawed: make(chan struct{}),
	}
	r.done.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.done.Go(func() { r.pass(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		close(r.thawed)
		r.mu.Lock()
		for c := range r.conns {
			_ = c.Close()
		}
		r.mu.Unlock()
		r.done.Wait()
	})
	return r
}

// Vanish stops passing anything on, in both directions and for good. Connections stay open, and new
// ones are accepted but not answered.
func (r *Relay) Vanish() { close(r.frozen) }

// Count returns how many connections there were so far, and how many at once at most.
func (r *Relay) Count() (accepted, most int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.accepted, r.most
}

// Open returns how many connections are open now.
func (r *Relay) Open() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open
}

func (r *Relay) pass(near net.Conn) {
	far, err := net.Dial("tcp", r.to)
	if err != nil {
		_ = near.Close()
		return
	}
	r.mu.Lock()
	r.conns[near], r.conns[far] = true, true
	r.accepted++
	r.open++
	r.most = max(r.most, r.open)
	r.mu.Unlock()
	var both sync.WaitGroup
	one := func(to, from net.Conn) {
		defer to.Close()
		b := make([]byte, 32<<10)
		for {
			n, err := from.Read(b)
			select {
			case <-r.frozen:
				<-r.thawed
				return
			default:
			}
			if err != nil {
				return
			}
			if _, err := to.Write(b[:n]); err != nil {
				_, _ = io.Copy(io.Discard, from)
				return
			}
		}
	}
	both.Go(func() { one(far, near) })
	both.Go(func() { one(near, far) })
	both.Wait()
	r.mu.Lock()
	r.open--
	delete(r.conns, near)
	delete(r.conns, far)
	r.mu.Unlock()
}
