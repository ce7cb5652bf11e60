package journal_test

import (
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/orchestrator/journal"
)

// TestNewRun: a run's name sorts after all that the store has, whatever the clock and chance say.
//
// Seen to fail with: names of time and chance alone; a last number that wraps.
func TestNewRun(t *testing.T) {
	s := journal.Store{Dir: t.TempDir()}
	now := time.Date(2016, 2, 2, 12, 0, 0, 0, time.UTC)
	last := ""
	for i, c := range []struct {
		now    time.Time
		random [2]byte
		want   string
	}{
		{now, [2]byte{0xab, 1}, "20160202-120000-ab01"},
		{now, [2]byte{0xab, 0}, "20160202-120000-ab02"},
		{now, [2]byte{0xff, 0xff}, "20160202-120000-ffff"},
		{now, [2]byte{3, 4}, "20160202-120001-0000"},
		{now.Add(-time.Hour), [2]byte{3, 4}, "20160202-120001-0001"},
		{now.Add(time.Hour), [2]byte{3, 4}, "20160202-130000-0304"},
	} {
		run := s.NewRun(c.now, c.random)
		if run != c.want || run <= last {
			t.Errorf("%d: %s after %s, want %s", i, run, last, c.want)
		}
		last = run
		j, err := s.Create(run)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}
}
