package pooling

import "time"

// SetClock replaces the clock that the store's leases are judged by. Call it before the first lease.
func (s *Shared) SetClock(clock func() time.Duration) { s.clock = clock }

// EscapeName has properties of its own.
var EscapeName = escapeName
