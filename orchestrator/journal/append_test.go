package journal

import (
	"errors"
	"os"
	"syscall"
	"testing"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// TestAppendFails sees that after an append that failed, to write or to become durable, none is
// tried again: where the file ends is not known.
func TestAppendFails(t *testing.T) {
	event := []rollout.Event{{Seq: 1, Run: "r1", Kind: rollout.RunResumed}}
	t.Run("no space", func(t *testing.T) {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0) // full(4): writes fail with ENOSPC
		if err != nil {
			t.Skip(err)
		}
		j := &Journal{file: full}
		first := j.Append(event)
		if !errors.Is(first, syscall.ENOSPC) {
			t.Errorf("the error is %v", first)
		}
		if err := full.Close(); err != nil {
			t.Fatal(err)
		}
		if again := j.Append(event); again != first { //nolint:errorlint // the very same error: nothing was tried
			t.Errorf("tried again: %v", again)
		}
	})
	t.Run("not durable", func(t *testing.T) {
		r, w, err := os.Pipe() // fsync(2): EINVAL for what cannot be synced
		if err != nil {
			t.Fatal(err)
		}
		j := &Journal{file: w}
		for range 2 {
			if err := j.Append(event); !errors.Is(err, syscall.EINVAL) {
				t.Errorf("the error is %v", err)
			}
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		text := make([]byte, 1000)
		n, err := r.Read(text)
		if events, _, err := parse(text[:n]); len(events) != 1 || err != nil {
			t.Errorf("written: %q, %v", text[:n], err)
		}
		if err = errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("what cannot be encoded", func(t *testing.T) {
		path := t.TempDir() + "/journal"
		j, err := Create(path)
		if err != nil {
			t.Fatal(err)
		}
		bad := append([]rollout.Event{}, event...)
		bad[0].At = bad[0].At.AddDate(20_000, 0, 0) // time.Time.MarshalJSON: years beyond 9999 are an error
		if err := j.Append(bad); err == nil {
			t.Error("no error")
		}
		// Nothing was written, so the journal goes on.
		if err := errors.Join(j.Append(event), j.Close()); err != nil {
			t.Error(err)
		}
		if events, err := Read(path); len(events) != 1 || err != nil {
			t.Errorf("read %v, %v", events, err)
		}
	})
}
