package poolingtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Balancer imitates the status pages of a PyBal that follows the pool objects of an Etcd: /pools,
// /pools/POOL and /pools/POOL/HOST, in text, with the wording of PyBal's instrumentation.py and server.py. It is an
// http.Handler, safe for concurrent use. Its fields must not be changed while it serves; its methods may be called.
type Balancer struct {
	Etcd  *Etcd
	Pools map[string]string // keys of the directories of pool objects, by PyBal's name of the pool

	mu    sync.Mutex
	shown map[string]*shown // by key of an object
	lag   int
	stuck bool
	keeps bool
	down  map[string]bool
}

// shown is an object as the balancer knows it.
type shown struct {
	pooled string // "" if it is absent or cannot be read
	asked  int    // how often since it has changed
}

// Lag makes the balancer notice a change to an object only when it has been asked n times for it.
func (b *Balancer) Lag(n int) { b.do(func() { b.lag = n }) }

// Stick makes the balancer notice no change any more, or go on. What it has not been asked for before it does not know then.
func (b *Balancer) Stick(stuck bool) { b.do(func() { b.stuck = stuck }) }

// Down makes the monitors say that a host is down, or up.
func (b *Balancer) Down(host string, down bool) {
	b.do(func() {
		if b.down == nil {
			b.down = map[string]bool{}
		}
		b.down[host] = down
	})
}

// KeepDown makes hosts that are down stay pooled, as PyBal does at its own depool threshold.
func (b *Balancer) KeepDown(keep bool) { b.do(func() { b.keeps = keep }) }

func (b *Balancer) do(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

// ServeHTTP answers requests for /pools.
func (b *Balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	var text strings.Builder
	found := parts[0] == "pools" && len(parts) <= 3
	if found && len(parts) > 1 {
		_, found = b.Pools[parts[1]]
	}
	switch {
	case !found:
	case len(parts) == 1:
		for pool := range b.Pools {
			text.WriteString(pool + "\n")
		}
	case len(parts) == 2:
		dir := b.Pools[parts[1]]
		var hosts []string
		for key := range b.Etcd.Values(dir) {
			hosts = append(hosts, strings.TrimPrefix(key, clean(dir)+"/"))
		}
		slices.Sort(hosts)
		for _, host := range hosts {
			if status := b.status(dir, host); status != "" {
				fmt.Fprintf(&text, "%s:\t%s\n", host, status)
			}
		}
	default:
		status := b.status(b.Pools[parts[1]], parts[2])
		found = status != ""
		text.WriteString(status + "\n")
	}
	w.Header().Set("Content-Type", "text/plain")
	if !found {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, "The desired url was not found")
		return
	}
	w.WriteHeader(http.StatusOK)
	_, _ = io.WriteString(w, text.String())
}

// status returns what PyBal says of a host; "" if it does not know it. It is called with the lock held.
func (b *Balancer) status(dir, host string) string {
	key := clean(dir) + "/" + host
	var object struct{ Pooled string }
	if value, _, ok := b.Etcd.Get(key); ok && json.Unmarshal([]byte(value), &object) != nil {
		object.Pooled = ""
	}
	s := b.shown[key]
	switch {
	case s == nil && b.stuck:
		return ""
	case s == nil:
		if b.shown == nil {
			b.shown = map[string]*shown{}
		}
		s = &shown{pooled: object.Pooled}
		b.shown[key] = s
	case b.stuck || s.pooled == object.Pooled:
	case s.asked < b.lag:
		s.asked++
	default:
		*s = shown{pooled: object.Pooled}
	}
	up := !b.down[host]
	switch {
	case s.pooled == "no" && up:
		return "disabled/up/not pooled"
	case s.pooled == "no":
		return "disabled/down/not pooled"
	case s.pooled != "yes":
		return ""
	case up:
		return "enabled/up/pooled"
	case b.keeps:
		return "enabled/down/pooled"
	default:
		return "enabled/down/not pooled"
	}
}
