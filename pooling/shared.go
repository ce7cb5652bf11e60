package pooling

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// DefaultSharedPrefix is what the shared store is below where SharedConfig does not say.
const DefaultSharedPrefix = "/fleetsync/v1"

// SharedConfig says where a fleet's shared store is. Of Config, Prefix is that of all fleets' stores
// (empty: DefaultSharedPrefix) and Select means nothing.
type SharedConfig struct {
	Config
	Fleet string
}

// Shared is what all masters of a fleet share, in an etcd v2: the lock, the receipts, and a list of the runs that have
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
	client *Client
	fleet  string
	dir    string               // "/fleetsync/v1/mediawiki"
	clock  func() time.Duration // of leases
}

// NewShared checks a configuration and reads its files; it connects to nothing.
func NewShared(c SharedConfig) (*Shared, error) {
	if err := checkName("fleet", c.Fleet); err != nil {
		return nil, err
	}
	c.Prefix = cmp.Or(c.Prefix, DefaultSharedPrefix)
	client, err := NewClient(c.Config)
	if err != nil {
		return nil, err
	}
	return &Shared{client: client, fleet: c.Fleet, dir: client.prefix + "/" + escapeName(c.Fleet), clock: sinceBoot}, nil
}

// Close closes idle connections. The store stays usable.
func (s *Shared) Close() { s.client.Close() }

// Writable proves that keys can be created and deleted beside the lock, by doing so. Its errors are those of
// Client's reads and writes: ErrReadOnly, ErrUnauthorized, ErrUnavailable.
func (s *Shared) Writable(ctx context.Context) error {
	ctx, cancel := s.client.deadline(ctx)
	defer cancel()
	id := randomID()
	probe := s.dir + "/probe-" + id
	_, err := s.client.call(ctx, http.MethodPut, probe, url.Values{"value": {id}, "prevExist": {"false"}, "ttl": {"60"}})
	if err == nil || errors.Is(err, ErrConflict) { // nobody else has that name: the reply was lost
		_, err = s.client.call(ctx, http.MethodDelete, probe, url.Values{"prevValue": {id}})
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
	ctx, cancel := s.client.deadline(ctx)
	defer cancel()
	path, value := s.dir+"/"+name, string(text)
	for range tries {
		form := url.Values{"value": {value}}
		var a answer
		a, err = s.client.call(ctx, http.MethodGet, path, url.Values{"quorum": {"true"}})
		switch {
		case errors.Is(err, ErrNotFound):
			form.Set("prevExist", "false")
		case err != nil:
			return fmt.Errorf("cannot read %s: %w", Clean(path), err)
		case a.Node.Value != nil && *a.Node.Value == value:
			return nil // put before, or just now by a write of which the reply was lost
		default:
			form.Set("prevExist", "true")
			form.Set("prevIndex", strconv.FormatUint(a.Node.Index, 10))
		}
		_, err = s.client.call(ctx, http.MethodPut, path, form)
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrConflict) && !errors.Is(err, ErrNotFound) {
			break
		}
	}
	return fmt.Errorf("cannot write %s: %w", Clean(path), err)
}

// drop deletes a record, if it is there.
func (s *Shared) drop(ctx context.Context, name string) error {
	ctx, cancel := s.client.deadline(ctx)
	defer cancel()
	path := s.dir + "/" + name
	err := ErrConflict
	for range tries {
		if !errors.Is(err, ErrConflict) {
			break
		}
		var a answer
		a, err = s.client.call(ctx, http.MethodGet, path, url.Values{"quorum": {"true"}})
		if err == nil {
			_, err = s.client.call(ctx, http.MethodDelete, path, url.Values{"prevIndex": {strconv.FormatUint(a.Node.Index, 10)}})
		}
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("cannot delete %s: %w", Clean(path), err)
	}
	return nil
}

// list reads all records of a directory, in the order of their names. check returns the name that a record belongs
// under. The error joins what is wrong with records that are not in the list.
func list[T any](ctx context.Context, s *Shared, dir string, check func(T) (name string, err error)) (records []T, err error) {
	ctx, cancel := s.client.deadline(ctx)
	defer cancel()
	path := s.dir + "/" + dir
	a, err := s.client.call(ctx, http.MethodGet, path, url.Values{"recursive": {"true"}, "quorum": {"true"}})
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", Clean(path), err)
	}
	slices.SortFunc(a.Node.Nodes, func(a, b node) int { return strings.Compare(a.Key, b.Key) })
	var errs []error
	for _, n := range a.Node.Nodes {
		var record T
		err := fmt.Errorf("%w: a directory", ErrMalformed)
		if n.Value != nil {
			err = nil
			if json.Unmarshal([]byte(*n.Value), &record) != nil {
				err = fmt.Errorf("%w: not the JSON of such a record", ErrMalformed)
			}
		}
		var name string
		if err == nil {
			name, err = check(record)
		}
		if err == nil && n.Key != path+"/"+name {
			err = fmt.Errorf("%w: it says that it is %s", ErrMalformed, Clean(name))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", Clean(n.Key), err))
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
