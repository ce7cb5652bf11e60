//go:build linux

package lab

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestSweep: planted faults seen to fail it: what is older goes, too; any name goes.
func TestSweep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	up := time.Now().Add(-time.Minute)
	for name, made := range map[string]time.Time{
		"faketime_shm_7":         up.Add(time.Second),
		"sem.faketime_sem_7":     up.Add(time.Second),
		"faketime_shm_8":         up.Add(-time.Second),
		"faketime_shm_x":         up.Add(time.Second),
		"another_7":              up.Add(time.Second),
		"sem.faketime_sem_99999": up,
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, made, made); err != nil {
			t.Fatal(err)
		}
	}
	sweep(dir, up)
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range left {
		names = append(names, e.Name())
	}
	if want := []string{"another_7", "faketime_shm_8", "faketime_shm_x"}; !slices.Equal(names, want) {
		t.Errorf("left: %v, want %v", names, want)
	}
}
