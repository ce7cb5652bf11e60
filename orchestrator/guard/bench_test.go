package guard

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fleetsync/fleetsync/orchestrator/manifest"
)

// BenchmarkScan measures a scan of 100,000 files with 350 MB against what find and sha256sum take for the same, in the
// same run, from a warm page cache. The ratios are scan/peer: of the shortest times, and of the processor's time, which
// says more on a machine that does other things too.
//
//	go test -run '^$' -bench Scan -benchtime 5x ./orchestrator/guard
func BenchmarkScan(b *testing.B) {
	need(b, "find", "xargs", "sha256sum")
	root := b.TempDir()
	grow(b, root, 100_000, 350_000_000)
	tree := &Local{Root: root, Exclude: []string{"**/.git", "/scap", "**/cache/l10n/*.cdb", "*.swp"}}
	whole, _, err := Scan(b.Context(), tree, nil, true, false) // warms up
	if err != nil {
		b.Fatal(err)
	}
	whole.Taken += int64(time.Hour) // nothing is racy

	list := append([]string{"."}, manifest.Expression(tree.Exclude, manifest.ListFormat)...)
	find := least(b, 3, func() error { return runIn(b.Context(), root, nil, append([]string{"find"}, list...)...) })
	hash := least(b, 3, func() error {
		return runIn(b.Context(), root, nil, "sh", "-c", "find . -type f -print0 | xargs -0 -P 2 -n 2000 sha256sum")
	})
	b.Run("full", func(b *testing.B) {
		full := least(b, b.N, func() error {
			if _, work, err := Scan(b.Context(), tree, nil, true, false); err != nil || work.Hashed != 100_000 {
				return fmt.Errorf("%+v: %w", work, err)
			}
			return nil
		})
		full.report(b, hash, "sha256sum")
	})
	b.Run("unchanged", func(b *testing.B) {
		unchanged := least(b, b.N, func() error {
			m, work, err := Scan(b.Context(), tree, whole, false, false)
			if err != nil || work.Hashed != 0 || !m.Hashed() {
				return fmt.Errorf("%+v: %w", work, err)
			}
			return nil
		})
		unchanged.report(b, find, "find")
	})
	b.Run("inspect", func(b *testing.B) {
		for b.Loop() {
			if _, err := Inspect(b.Context(), tree, whole, Rules{SkipGit: true}, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("digest and fingerprint", func(b *testing.B) {
		for b.Loop() {
			if whole.Digest(nil) == whole.Fingerprint() {
				b.Fatal("they are the same")
			}
		}
	})
	b.Logf("find -printf took %v, find and sha256sum %v", find, hash)
}

// cost is what something took.
type cost struct{ wall, processor time.Duration }

func (c cost) String() string {
	return fmt.Sprintf("%v (%v of the processor)", c.wall.Round(time.Millisecond), c.processor.Round(time.Millisecond))
}

func (c cost) report(b *testing.B, peer cost, name string) {
	b.ReportMetric(float64(c.wall.Milliseconds()), "least-ms")
	b.ReportMetric(c.wall.Seconds()/peer.wall.Seconds(), "of-"+name)
	b.ReportMetric(c.processor.Seconds()/peer.processor.Seconds(), "cpu-of-"+name)
}

// least returns the least cost of so many times.
func least(b *testing.B, times int, do func() error) cost {
	best := cost{time.Hour, time.Hour}
	for range times {
		began, used := time.Now(), processor(b)
		if err := do(); err != nil {
			b.Fatal(err)
		}
		best.wall, best.processor = min(best.wall, time.Since(began)), min(best.processor, processor(b)-used)
	}
	return best
}

// processor returns what this process and the children that it waited for have had of the processor.
func processor(b *testing.B) time.Duration {
	var total int64
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var usage unix.Rusage
		if err := unix.Getrusage(who, &usage); err != nil {
			b.Fatal(err)
		}
		total += usage.Utime.Nano() + usage.Stime.Nano()
	}
	return time.Duration(total)
}

func runIn(ctx context.Context, dir string, stdin io.Reader, args ...string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Stdin, cmd.Stdout = dir, stdin, io.Discard
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	return cmd.Run()
}

// grow makes a tree with so many files of so many bytes together, 25 in a folder; most are small, as in a tree of code.
func grow(b *testing.B, root string, files int, size int64) {
	random := rand.New(rand.NewPCG(1, 2))
	content := make([]byte, 1<<20)
	for i := range content {
		content[i] = byte(random.Uint32())
	}
	mean := float64(size) / float64(files)
	for i := range files {
		folder := filepath.Join(root, fmt.Sprintf("php-1.27.0-wmf.%d/extensions/E%d/includes/F%d", i%3, i/3%100, i/7500))
		if err := os.MkdirAll(folder, 0o755); err != nil {
			b.Fatal(err)
		}
		n := min(int(random.ExpFloat64()*mean), len(content))
		if err := os.WriteFile(filepath.Join(folder, strings.Repeat("x", i%9)+fmt.Sprint(i)+".php"), content[len(content)-n:],
			0o644); err != nil {
			b.Fatal(err)
		}
	}
}
