package pooling

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"
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
	id := rand.Text()
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
