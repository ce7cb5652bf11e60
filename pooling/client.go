package pooling

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// DefaultTimeout is how long an operation may take where Config does not say.
const DefaultTimeout = 10 * time.Second

// Config says which pools of a store a Client is for.
type Config struct {
	Prefix  string        // of the objects' keys
	Timeout time.Duration // of one operation, however many calls of the store it takes; 0 is DefaultTimeout
	Select  Selection
}

// Client reads and changes pool objects. It is safe for concurrent use.
type Client struct {
	store     Store
	prefix    string // "/conftool/v1/pools"
	timeout   time.Duration
	selection Selection
}

// NewClient checks a configuration; it asks the store nothing. If there is no error, Close closes the store.
func NewClient(store Store, c Config) (*Client, error) {
	prefix, err := checkPrefix(c.Prefix)
	if err == nil {
		err = checkTimeout(c.Timeout)
	}
	if err != nil {
		return nil, err
	}
	return &Client{store: store, prefix: prefix, timeout: cmp.Or(c.Timeout, DefaultTimeout), selection: c.Select}, nil
}

func checkTimeout(d time.Duration) error {
	if d < 0 {
		return fmt.Errorf("timeout %s: must be positive", d)
	}
	return nil
}

// Close closes the store.
func (c *Client) Close() { c.store.Close() }

// deadline bounds one operation. The caller must call cancel.
func deadline(ctx context.Context, d time.Duration) (_ context.Context, cancel context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("%w within %s", ErrUnavailable, d))
}

// Pools reads all selected pools at one moment. The error is ErrNotFound if nothing is under the prefix.
func (c *Client) Pools(ctx context.Context) (Snapshot, error) {
	ctx, cancel := deadline(ctx, c.timeout)
	defer cancel()
	return c.tree(ctx, c.prefix, c.selection)
}

// Observe returns all selected objects of the host of exactly that name, sorted by key: none if it has none.
func (c *Client) Observe(ctx context.Context, host string) ([]Object, error) {
	s, err := c.Pools(ctx)
	return s.Hosts[host], err
}

// object returns an entry as an object; false if its key is not that of a pool object.
func (c *Client) object(e Entry) (Object, bool) {
	key, below := strings.CutPrefix(e.Key, c.prefix+"/")
	_, err := splitKey(key)
	return Object{Key: key, Value: e.Value, Index: e.Index}, below && err == nil
}

// tree reads the selected objects under a path, which is the prefix or a pool.
func (c *Client) tree(ctx context.Context, path string, selection Selection) (Snapshot, error) {
	l, err := c.store.List(ctx, path)
	if err != nil {
		return Snapshot{}, fmt.Errorf("cannot read %s: %w", Clean(path), err)
	}
	s := Snapshot{Index: l.Index, Hosts: map[string][]Object{}, Pools: map[string][]Object{}}
	for _, e := range l.Entries {
		if o, ok := c.object(e); ok && selection.has(o) {
			s.Hosts[o.Host()] = append(s.Hosts[o.Host()], o)
			s.Pools[o.Pool()] = append(s.Pools[o.Pool()], o)
		}
	}
	return s, nil
}

// read reads one object.
func (c *Client) read(ctx context.Context, key string) (Object, error) {
	if _, err := splitKey(key); err != nil {
		return Object{}, err
	}
	e, err := c.store.Get(ctx, c.prefix+"/"+key)
	if err != nil {
		return Object{}, fmt.Errorf("cannot read %s: %w", Clean(key), err)
	}
	return Object{Key: key, Value: e.Value, Index: e.Index}, nil
}

// swap writes a value if the object has not changed since o.Index, and returns the object as it is then.
// If the store says that it has changed, it may be our own write that did it, the reply to which was lost: then
// the value is what we wrote, and that is success. Otherwise the error is ErrConflict and the object is
// what somebody else made of it.
func (c *Client) swap(ctx context.Context, o Object, value string) (Object, error) {
	if err := o.writable(); err != nil {
		return Object{}, err
	}
	index, err := c.store.Swap(ctx, c.prefix+"/"+o.Key, value, o.Index)
	if errors.Is(err, ErrConflict) {
		now, readErr := c.read(ctx, o.Key)
		switch {
		case readErr != nil:
			return Object{}, readErr
		case now.Value == value:
			return now, nil
		}
		return now, fmt.Errorf("%s: %w", Clean(o.Key), err)
	}
	if err != nil {
		return Object{}, fmt.Errorf("cannot write %s: %w", Clean(o.Key), err)
	}
	return Object{Key: o.Key, Value: value, Index: index}, nil
}
