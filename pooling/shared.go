package pooling

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// DefaultSharedPrefix is what the shared store is below where SharedConfig does not say.
const DefaultSharedPrefix = "/fleetsync/v1"

// SharedConfig says where in a store the fleet's part is.
type SharedConfig struct {
	Fleet   string
	Prefix  string        // of all fleets' parts; empty is DefaultSharedPrefix
	Timeout time.Duration // of one operation, however many calls of the store it takes; 0 is DefaultTimeout
}

// Shared is what all masters of a fleet share, in a store: the lock, the receipts, and a list of the runs that have
// not ended. It is safe for concurrent use. Below PREFIX/FLEET the keys are
//
//	lock               the Holder, with a time to live
//	receipts/RUN,HOST  a Receipt each
//	runs/RUN           a RunRecord each
//	inventory/last     the InventoryRecord
//
// where in every name all but letters, digits, "-" and "." is escaped, so that none can name another key.
//
// Every write is conditional, on absence or on what was read, because a request of which the reply was lost, or that
// a stopped etcd finds in its socket when it goes on, has its effect late.
type Shared struct {
	store   Store
	timeout time.Duration
	fleet   string
	dir     string               // "/fleetsync/v1/mediawiki"
	clock   func() time.Duration // of leases
}

// NewShared checks a configuration; it asks the store nothing. If there is no error, Close closes the store.
func NewShared(store Store, c SharedConfig) (*Shared, error) {
	if err := checkName("fleet", c.Fleet); err != nil {
		return nil, err
	}
	prefix, err := checkPrefix(cmp.Or(c.Prefix, DefaultSharedPrefix))
	if err == nil {
		err = checkTimeout(c.Timeout)
	}
	if err != nil {
		return nil, err
	}
	return &Shared{
		store: store, timeout: cmp.Or(c.Timeout, DefaultTimeout), fleet: c.Fleet, dir: prefix + "/" + escapeName(c.Fleet), clock: sinceBoot,
	}, nil
}

// Close closes the store.
func (s *Shared) Close() { s.store.Close() }

// Writable proves that keys can be created and deleted beside the lock, by doing so. Its errors are those of the
// store: ErrReadOnly, ErrUnauthorized, ErrUnavailable.
func (s *Shared) Writable(ctx context.Context) error {
	ctx, cancel := deadline(ctx, s.timeout)
	defer cancel()
	id := randomID()
	probe := s.dir + "/probe-" + id
	err := s.store.Create(ctx, probe, id, time.Minute)
	if err == nil || errors.Is(err, ErrConflict) { // nobody else has that name: the reply was lost
		err = s.store.DeleteValue(ctx, probe, id)
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("cannot write below %s: %w", Clean(s.dir), err)
	}
	return nil
}

// tries is how often a write is tried again because somebody else's came between.
const tries = 10

// put writes a record, whatever is there.
func (s *Shared) put(ctx context.Context, name string, record any) error {
	text, err := json.Marshal(record)
	if err != nil {
		return err
	}
	ctx, cancel := deadline(ctx, s.timeout)
	defer cancel()
	key, value := s.dir+"/"+name, string(text)
	for range tries {
		var e Entry
		e, err = s.store.Get(ctx, key)
		switch {
		case errors.Is(err, ErrNotFound):
			err = s.store.Create(ctx, key, value, 0)
		case err != nil:
			return fmt.Errorf("cannot read %s: %w", Clean(key), err)
		case e.Value == value:
			return nil // put before, or just now by a write of which the reply was lost
		default:
			_, err = s.store.Swap(ctx, key, value, e.Index)
		}
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrConflict) && !errors.Is(err, ErrNotFound) {
			break
		}
	}
	return fmt.Errorf("cannot write %s: %w", Clean(key), err)
}

// drop deletes a record, if it is there.
func (s *Shared) drop(ctx context.Context, name string) error {
	ctx, cancel := deadline(ctx, s.timeout)
	defer cancel()
	key := s.dir + "/" + name
	err := ErrConflict
	for range tries {
		if !errors.Is(err, ErrConflict) {
			break
		}
		var e Entry
		e, err = s.store.Get(ctx, key)
		if err == nil {
			err = s.store.Delete(ctx, key, e.Index)
		}
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("cannot delete %s: %w", Clean(key), err)
	}
	return nil
}

// list reads all records of a directory, in the order of their keys. check returns the name that a record belongs
// under. The error joins what is wrong with records that are not in the list.
func list[T any](ctx context.Context, s *Shared, name string, check func(T) (name string, err error)) (records []T, err error) {
	ctx, cancel := deadline(ctx, s.timeout)
	defer cancel()
	dir := s.dir + "/" + name
	l, err := s.store.List(ctx, dir)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", Clean(dir), err)
	}
	var errs []error
	for _, e := range l.Entries {
		var record T
		err := fmt.Errorf("%w: not the JSON of such a record", ErrMalformed)
		if json.Unmarshal([]byte(e.Value), &record) == nil {
			var name string
			if name, err = check(record); err == nil && e.Key != dir+"/"+name {
				err = fmt.Errorf("%w: it says that it is %s", ErrMalformed, Clean(name))
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", Clean(e.Key), err))
			continue
		}
		records = append(records, record)
	}
	return records, errors.Join(errs...)
}

// checkName returns an error unless a name can be part of a key.
func checkName(what, name string) error {
	if name == "" {
		return fmt.Errorf("%w: no name of a %s", ErrMalformed, what)
	}
	return checkText(what, name)
}

// checkText returns an error unless a text is one line that can be shown as it is.
func checkText(what, text string) error {
	const most = 1024
	if len(text) > most || !utf8.ValidString(text) || strings.ContainsFunc(text, unfit) {
		return fmt.Errorf("%w: %s %q: want one line of at most %d bytes", ErrMalformed, what, Clean(text), most)
	}
	return nil
}

// escapeName returns a name as part of a key: different names become different parts, which hold neither "/" nor ",",
// do not begin with "_", which etcd hides, or ".", and need no escaping in a URL.
func escapeName(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	return b.String()
}
