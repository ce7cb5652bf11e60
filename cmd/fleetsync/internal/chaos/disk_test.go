package chaos

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fleetsync/fleetsync/cmd/internal/testfleet"
)

// The journal's disk is full at any append: pools are put back all the same. A limit to the size of
// files stands for the disk (setrlimit(2), RLIMIT_FSIZE: writing beyond it is EFBIG): it needs no root,
// and falls at the byte. The tree is of files that are too small to meet it.
//
// Seen to fail with: a loop that ends at the first append that fails.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	tree := t.TempDir()
	for i := range 20 {
		write(t, filepath.Join(tree, fmt.Sprintf("file%d", i)), fmt.Sprintf("text %d\n", i))
	}
	o := small()
	o.Tree = tree
	first := newWorld(t, o)
	if code, _ := first.here.run(t, "sync"); code != 0 {
		first.fail(t, "sync: exit %d", code)
	}
	journals, err := filepath.Glob(filepath.Join(first.here.state, "*", "*", "journal.jsonl"))
	if err != nil || len(journals) != 1 {
		t.Fatal(journals, err)
	}
	lines := slices.Collect(strings.Lines(read(t, journals[0])))
	step := 8
	switch {
	case testing.Short():
		step = 16
	case wholeTable():
		step = 1
	}
	start := int(seed(t)) % step
	var limits []int // in the middle of a line each
	size := 0
	for i, line := range lines {
		if i%step == start {
			limits = append(limits, size+len(line)/2)
		}
		size += len(line)
	}
	each(t, len(limits), func(t *testing.T) *world { return newWorld(t, o) }, func(t *testing.T, w *world, i int) {
		w.story = nil
		w.tell("files of at most %d bytes", limits[i])
		if _, err := testfleet.Edit(w.Source, 1); err != nil {
			t.Fatal(err)
		}
		p := w.here.startAfter(t, []string{"prlimit", fmt.Sprintf("--fsize=%d", limits[i])}, nil, "--json", "sync")
		// A run may take fewer bytes than the first, as it looks at the origin less often, and end well.
		const fewer = 3000
		if code := p.wait(t); code != 1 && (code != 0 || limits[i] < size-fewer) {
			w.fail(t, "exit %d, want 1", code)
		}
		w.wantPools(t, "with a full disk")
		recoverOn(t, w.here)
		w.wantClean(t)
	})
}
