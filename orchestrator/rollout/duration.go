package rollout

import (
	"fmt"
	"time"
)

// Duration is a time.Duration that reads well in JSON: "20s".
type Duration time.Duration

// MarshalText writes d as time.Duration prints it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("duration %q: %w", text, err)
	}
	*d = Duration(v)
	return nil
}

// String returns d as time.Duration prints it.
func (d Duration) String() string { return time.Duration(d).String() }
