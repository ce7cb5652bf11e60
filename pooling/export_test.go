package pooling

import "time"

// SetClock replaces the clock that the store's leases are judged by. Call it before the first lease.
func (s *Shared) SetClock(clock func() time.Duration) { s.clock = clock }

// SetStore replaces the store, and the time that one operation may take.
func (s *Shared) SetStore(store Store, d time.Duration) { s.store, s.timeout = store, d }

// EscapeName has properties of its own.
var EscapeName = escapeName
