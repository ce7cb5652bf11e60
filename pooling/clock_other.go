//go:build !linux

package pooling

import (
	"time"

	"golang.org/x/sys/unix"
)

// sinceBoot returns a time that nobody can set. Outside Linux CLOCK_MONOTONIC counts suspend too (macOS, clock_gettime(3)).
func sinceBoot() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return time.Duration(t.Nano())
}
