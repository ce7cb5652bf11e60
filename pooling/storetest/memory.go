package storetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fleetsync/fleetsync/pooling"
)

// Memory is a pooling.Store in memory, without directories. The zero Memory is empty and ready. It is safe for concurrent use.
type Memory struct {
	mu      sync.Mutex
	index   uint64
	keys    map[string]kept
	history []pooling.Event // the last maxHistory
	changed chan struct{}   // closed with the next change; nil: nobody waits
	ahead   time.Duration   // of the machine's clock
}

var _ pooling.Store = (*Memory)(nil)

// maxHistory is how many changes are known one by one, as of etcd.
const maxHistory = 1000

// kept is what is known of a key.
type kept struct {
	value   string
	index   uint64
	expires time.Time // zero: never
}

// Advance moves the store's clock forward. Keys whose time has come are gone when it returns.
func (m *Memory) Advance(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ahead += d
	m.expire()
}

// Put sets a key, whatever its value was, as somebody else may who asks for no condition.
func (m *Memory) Put(key, value string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire()
	m.set(key, kept{value: value}, false)
}

// Values returns the values of all keys of a directory, by key.
func (m *Memory) Values(dir string) map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire()
	values := map[string]string{}
	for key, k := range m.keys {
		if below(dir, key) {
			values[key] = k.value
		}
	}
	return values
}

// Get implements pooling.Store.
func (m *Memory) Get(ctx context.Context, key string) (e pooling.Entry, err error) {
	return e, m.do(ctx, func() error {
		k, ok := m.keys[key]
		if !ok {
			return notFound(key)
		}
		e = m.entry(key, k)
		return nil
	})
}

// List implements pooling.Store.
func (m *Memory) List(ctx context.Context, dir string) (l pooling.Listing, err error) {
	return l, m.do(ctx, func() error {
		l.Index = m.index
		for key, k := range m.keys {
			if below(dir, key) {
				l.Entries = append(l.Entries, m.entry(key, k))
			}
		}
		if l.Entries == nil {
			return notFound(dir)
		}
		slices.SortFunc(l.Entries, func(a, b pooling.Entry) int { return strings.Compare(a.Key, b.Key) })
		return nil
	})
}

// Create implements pooling.Store.
func (m *Memory) Create(ctx context.Context, key, value string, ttl time.Duration) error {
	return m.do(ctx, func() error {
		if k, ok := m.keys[key]; ok {
			return conflict(key, k)
		}
		m.set(key, kept{value: value, expires: m.after(ttl)}, false)
		return nil
	})
}

// Swap implements pooling.Store.
func (m *Memory) Swap(ctx context.Context, key, value string, index uint64) (now uint64, err error) {
	return now, m.at(ctx, key, index, func(kept) {
		now = m.set(key, kept{value: value}, false)
	})
}

// Delete implements pooling.Store.
func (m *Memory) Delete(ctx context.Context, key string, index uint64) error {
	return m.at(ctx, key, index, func(kept) { m.delete(key) })
}

// Refresh implements pooling.Store. The index changes, as in etcd v2.
func (m *Memory) Refresh(ctx context.Context, key, value string, ttl time.Duration) error {
	return m.with(ctx, key, value, func(k kept) {
		m.set(key, kept{value: k.value, expires: m.after(ttl)}, true)
	})
}

// DeleteValue implements pooling.Store.
func (m *Memory) DeleteValue(ctx context.Context, key, value string) error {
	return m.with(ctx, key, value, func(kept) { m.delete(key) })
}

// Wait implements pooling.Store.
func (m *Memory) Wait(ctx context.Context, dir string, after uint64) (pooling.Event, error) {
	for {
		e, found, changed, expiry, err := m.next(ctx, dir, after)
		if err != nil || found {
			return e, err
		}
		timer := time.NewTimer(expiry)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// next returns the next event after an index; or, if it has not happened yet, what is closed when something does, and when the
// next key runs out.
func (m *Memory) next(ctx context.Context, dir string, after uint64) (e pooling.Event, found bool, changed <-chan struct{},
	expiry time.Duration, err error) {
	err = m.do(ctx, func() error {
		if m.index-min(after, m.index) > uint64(len(m.history)) {
			return fmt.Errorf("after %d: %w", after, pooling.ErrIndexCleared)
		}
		for _, e = range m.history {
			if found = e.Entry.Index > after && below(dir, e.Entry.Key); found {
				return nil
			}
		}
		if m.changed == nil {
			m.changed = make(chan struct{})
		}
		changed, expiry = m.changed, time.Hour
		for _, k := range m.keys {
			if !k.expires.IsZero() {
				expiry = min(expiry, k.expires.Sub(m.now()))
			}
		}
		return nil
	})
	return e, found, changed, expiry, err
}

// Close implements pooling.Store.
func (m *Memory) Close() {}

// do does something while nothing else happens.
func (m *Memory) do(ctx context.Context, f func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	m.expire()
	return f()
}

// at does something to a key that has an index.
func (m *Memory) at(ctx context.Context, key string, index uint64, f func(kept)) error {
	if index == 0 {
		return fmt.Errorf("%s: index 0: %w", key, pooling.ErrMalformed)
	}
	return m.where(ctx, key, func(k kept) bool { return k.index == index }, f)
}

// with does something to a key that has a value.
func (m *Memory) with(ctx context.Context, key, value string, f func(kept)) error {
	if value == "" {
		return fmt.Errorf("%s: an empty value to compare: %w", key, pooling.ErrMalformed)
	}
	return m.where(ctx, key, func(k kept) bool { return k.value == value }, f)
}

func (m *Memory) where(ctx context.Context, key string, is func(kept) bool, f func(kept)) error {
	return m.do(ctx, func() error {
		k, ok := m.keys[key]
		switch {
		case !ok:
			return notFound(key)
		case !is(k):
			return conflict(key, k)
		}
		f(k)
		return nil
	})
}

func notFound(key string) error { return fmt.Errorf("%s: %w", key, pooling.ErrNotFound) }

func conflict(key string, k kept) error {
	return fmt.Errorf("%s is at %d: %w", key, k.index, pooling.ErrConflict)
}

func below(dir, key string) bool { return strings.HasPrefix(key, dir+"/") }

func (m *Memory) now() time.Time { return time.Now().Add(m.ahead) }

// after returns when a time to live is over, in whole seconds.
func (m *Memory) after(ttl time.Duration) time.Time {
	if ttl == 0 {
		return time.Time{}
	}
	return m.now().Add((ttl + time.Second - 1).Truncate(time.Second))
}

func (m *Memory) entry(key string, k kept) pooling.Entry {
	e := pooling.Entry{Key: key, Value: k.value, Index: k.index}
	if !k.expires.IsZero() {
		e.TTL = max(time.Second, (k.expires.Sub(m.now()) + time.Second - 1).Truncate(time.Second))
	}
	return e
}

// set changes a key, and tells of it unless that is silent.
func (m *Memory) set(key string, k kept, silent bool) (index uint64) {
	if m.keys == nil {
		m.keys = map[string]kept{}
	}
	m.index++
	k.index = m.index
	m.keys[key] = k
	event := pooling.Event{Entry: pooling.Entry{Key: key, Value: k.value, Index: k.index}}
	if silent {
		event.Entry.Key = "" // below no directory
	}
	m.tell(event)
	return k.index
}

func (m *Memory) delete(key string) {
	m.index++
	delete(m.keys, key)
	m.tell(pooling.Event{Entry: pooling.Entry{Key: key, Index: m.index}, Deleted: true})
}

func (m *Memory) tell(e pooling.Event) {
	m.history = append(m.history, e)
	m.history = m.history[max(0, len(m.history)-maxHistory):]
	if m.changed != nil {
		close(m.changed)
		m.changed = nil
	}
}

// expire deletes what has run out.
func (m *Memory) expire() {
	for key, k := range m.keys {
		if !k.expires.IsZero() && !k.expires.After(m.now()) {
			m.delete(key)
		}
	}
}
