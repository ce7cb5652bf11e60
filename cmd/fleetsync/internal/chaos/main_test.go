package chaos

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/transport"
)

// background is the context of what ends with a test's own clean-up.
var background = context.Background()

// lanes is how many fleets are tried at once. Most of a round is waiting for leases to run out.
const lanes = 8

// TestMain removes what was built.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", strconv.Itoa(lanes)); err != nil {
		panic(err)
	}
	code := m.Run()
	if built.folder != "" {
		_ = os.RemoveAll(built.folder)
	}
	os.Exit(code)
}

// built is the program, once it is.
var built struct {
	once   sync.Once
	folder string
	path   string
	err    error
}

// fleetsync returns the path of the program, built as it is shipped.
func fleetsync(t *testing.T) string {
	t.Helper()
	if err := transport.Missing("rsync", "flock"); err != nil {
		skip(t, err)
	}
	if _, err := exec.LookPath("etcd"); err != nil {
		skip(t, fmt.Errorf("%w: apt-get install etcd-server", err))
	}
	built.once.Do(func() {
		// Not t.TempDir: the tests that come after this one use it, too.
		if built.folder, built.err = os.MkdirTemp("", "fleetsync-chaos-"); built.err != nil { //nolint:usetesting // see above
			return
		}
		built.path = filepath.Join(built.folder, "fleetsync")
		out, err := exec.CommandContext(background, "go", "build", "-o", built.path,
			"github.com/fleetsync/fleetsync/cmd/fleetsync").CombinedOutput()
		if err != nil {
			built.err = errors.Join(err, errors.New(string(out)))
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// skip skips the test for want of a program, and fails it in CI.
func skip(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(err)
	}
	t.Skip(err)
}

// number returns the number in an environment variable, or another.
func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// wholeTable says whether no cell of a table is to be left out.
func wholeTable() bool { return os.Getenv("CHAOS_TABLE") == "all" }

// seed returns what all chance comes from, and says it.
func seed(t *testing.T) uint64 {
	t.Helper()
	n := number(t, "CHAOS_SEED", rand.Uint64()>>32)
	t.Logf("CHAOS_SEED=%d", n)
	return n
}

// each does n things on as many fleets at once as there are lanes, each on one fleet after the other.
func each(t *testing.T, n int, up func(t *testing.T) *world, do func(t *testing.T, w *world, i int)) {
	t.Helper()
	next := maker(n)
	// To bring a fleet up and down costs as much as a run on it (measured): no lane has less than three things to do.
	for lane := range min(lanes, (n+2)/3) {
		t.Run(fmt.Sprintf("lane%d", lane), func(t *testing.T) {
			t.Parallel()
			w := up(t)
			for {
				i, ok := next()
				if !ok {
					return
				}
				do(t, w, i)
				if t.Failed() {
					return // the fleet may not be what the next one expects
				}
			}
		})
	}
}

// maker returns a function that returns the numbers below n, once each.
func maker(n int) func() (int, bool) {
	var mu sync.Mutex
	i := -1
	return func() (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		i++
		return i, i < n
	}
}

// eventually waits for what no event tells, and says whether it came to be.
func eventually(limit time.Duration, is func() bool) bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(limit)
	for !is() {
		select {
		case <-tick.C:
		case <-late:
			return is()
		}
	}
	return true
}
