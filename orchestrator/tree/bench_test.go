package tree_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/fleetsync/fleetsync/orchestrator/tree"
	"github.com/fleetsync/fleetsync/transport/rsync"
)

// BenchmarkSync is a sync that changes nothing, of 100,000 files in 1,000 folders: alone, with the digest after it, and with
// what it would replace kept, by its first attempt and by a later one.
func BenchmarkSync(b *testing.B) {
	h := newHost(b)
	for d := range 1000 {
		dir := fmt.Sprintf("%s/%d/%d", h.source, d%20, d)
		must(b, os.MkdirAll(dir, 0o755))
		for f := range 100 {
			must(b, os.WriteFile(filepath.Join(dir, fmt.Sprintf("some-file-%d.php", f)), []byte("<?php\n"), 0o644))
		}
	}
	_, err := h.sync(b.Context(), "r0", 1)
	must(b, err)
	n := 0
	for _, bench := range []struct {
		name   string
		around func() *tree.Around
	}{
		{"alone", func() *tree.Around { return nil }},
		{"record", func() *tree.Around { return &tree.Around{Run: "r1", Attempt: 1} }},
		{"digest", func() *tree.Around { return &tree.Around{Run: "r1", Attempt: 1, Digest: true} }},
		{"keep", func() *tree.Around {
			n++
			return &tree.Around{Run: fmt.Sprintf("r%d", 1000+n), Attempt: 1, Backup: &tree.Retention{Runs: 2}}
		}},
		{"keep again", func() *tree.Around { return &tree.Around{Run: "r2000", Attempt: 1, Backup: &tree.Retention{Runs: 2}} }},
		{"keep and digest", func() *tree.Around {
			n++
			return &tree.Around{Run: fmt.Sprintf("r%d", 3000+n), Attempt: 1, Backup: &tree.Retention{Runs: 2}, Digest: true}
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			for b.Loop() {
				p := h.pull
				if a := bench.around(); a != nil {
					p, err = h.Around(p, *a)
					must(b, err)
				}
				_, err := rsync.Sync(b.Context(), h.Conn, p, rsync.Watch{})
				must(b, err)
			}
		})
	}
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			_, err := h.List(b.Context())
			must(b, err)
		}
	})
	b.Run("undo of nothing", func(b *testing.B) {
		for b.Loop() {
			n++
			run := fmt.Sprintf("r%d", 5000+n)
			b.StopTimer()
			_, err := h.sync(b.Context(), run, 1)
			must(b, err)
			b.StartTimer()
			_, err = h.Undo(b.Context(), run)
			must(b, err)
		}
	})
}
