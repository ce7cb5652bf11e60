package pooling

import (
	"time"

	"golang.org/x/sys/unix"
)

// sinceBoot returns how long the machine has been up, time in suspend included: CLOCK_MONOTONIC, which time.Now
// uses, "does not count time that the system is suspended", CLOCK_BOOTTIME does (clock_gettime(2)). A lease must
// not outlive a closed lid. Nobody can set either clock.
func sinceBoot() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) // fails only where the clock is unknown, before Linux 2.6.39
	return time.Duration(t.Nano())
}
