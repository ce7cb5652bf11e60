package transporttest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fleetsync/fleetsync/transport"
)

// Conformance tests that a connection keeps the contract of transport.Conn. The host must be this
// machine and the user the current one, because it looks at processes and files. The connection's
// grace period should be short: some tests wait for it.
func Conformance(t *testing.T, conn transport.Conn) {
	run := func(t *testing.T, c transport.Command) transport.Result {
		t.Helper()
		r, err := conn.Run(t.Context(), c)
		if err != nil {
			t.Fatalf("%q: %v", c.Args, err)
		}
		return r
	}

	t.Run("exit codes", func(t *testing.T) {
		for _, code := range []int{0, 1, 2, 5, 12, 24, 75, 126, 127, 128, 137, 143, 200, 254} {
			if r := run(t, transport.Command{Args: []string{"sh", "-c", "exit " + strconv.Itoa(code)}}); r.ExitCode != code {
				t.Errorf("exit %d is reported as %d", code, r.ExitCode)
			}
		}
		if r := run(t, transport.Command{Args: []string{"sh", "-c", "exit 255"}}); r.ExitCode != 254 {
			t.Errorf("exit 255 is reported as %d, not 254", r.ExitCode)
		}
		for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGINT} {
			r := run(t, transport.Command{Args: []string{"sh", "-c", fmt.Sprintf("kill -%d $$", signal)}})
			if r.ExitCode != 128+int(signal) || r.Stderr != "" {
				t.Errorf("the end by %v is reported as %d, %q", signal, r.ExitCode, r.Stderr)
			}
		}
		// A name that a shell might take for an option (bash, seen) or for one of its own commands.
		for _, name := range []string{"-c", "--help", "-a", "source"} {
			if r := run(t, transport.Command{Args: []string{name, "x"}}); r.ExitCode != 127 || r.Stderr == "" {
				t.Errorf("%s: %+v", name, r)
			}
		}
		if r := run(t, transport.Command{Args: []string{"no-such-program-here"}}); r.ExitCode != 127 || r.Stderr == "" {
			t.Errorf("a missing program is reported as %d, %q", r.ExitCode, r.Stderr)
		}
	})

	t.Run("arguments arrive intact", func(t *testing.T) {
		arg := rapid.OneOf(
			rapid.String(),
			rapid.StringMatching(`[-'"\\$*?\[\]{}~!#&|;<>()%=@:^ \t\n\r`+"`"+`a]{0,12}`),
			rapid.Custom(func(t *rapid.T) string { return string(rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "bytes")) }),
		)
		rapid.Check(t, func(rt *rapid.T) {
			// Many words in one command: a command costs a connection.
			var args []string
			for _, a := range rapid.SliceOfN(arg, 1, 60).Draw(rt, "args") {
				args = append(args, strings.ReplaceAll(a, "\x00", ""))
			}
			var out bytes.Buffer
			_, err := conn.Run(t.Context(), transport.Command{Args: append([]string{"printf", `%s\0`}, args...), Stdout: &out})
			if err != nil {
				rt.Fatal(err)
			}
			if want := strings.Join(args, "\x00") + "\x00"; out.String() != want {
				rt.Fatalf("%q arrived as %q", want, out.String())
			}
		})
		for _, bad := range [][]string{nil, {""}, {"echo", "a\x00b"}, {"A=b"}} {
			_, err := conn.Run(t.Context(), transport.Command{Args: bad})
			if e := (*transport.Error)(nil); !errors.As(err, &e) || e.Class != transport.ClassPermanent {
				t.Errorf("%q is not refused: %v", bad, err)
			}
		}
	})

	t.Run("input", func(t *testing.T) {
		if r := run(t, transport.Command{Args: []string{"cat"}}); r.ExitCode != 0 || len(r.Stdout) != 0 {
			t.Errorf("no input: exit %d, %q", r.ExitCode, r.Stdout)
		}
		big := bytes.Repeat([]byte("\x00\xff\n a'\r"), 60_000)
		var out bytes.Buffer
		if r := run(t, transport.Command{Args: []string{"cat"}, Stdin: big, Stdout: &out}); r.ExitCode != 0 || !bytes.Equal(out.Bytes(), big) {
			t.Errorf("exit %d, %d of %d bytes", r.ExitCode, out.Len(), len(big))
		}
		// A command that never reads is not held up.
		if r := run(t, transport.Command{Args: []string{"true"}, Stdin: big}); r.ExitCode != 0 {
			t.Errorf("exit %d", r.ExitCode)
		}
	})

	t.Run("output", func(t *testing.T) {
		var log []string
		r := run(t, transport.Command{
			Args: []string{"sh", "-c", `printf out; printf 'one\n\033[31mtwo\033[0m\n\342\200\256three' >&2`},
			Log:  func(line string) { log = append(log, line) },
		})
		if string(r.Stdout) != "out" {
			t.Errorf("stdout: %q", r.Stdout)
		}
		if want := "one\n[31mtwo[0m\nthree"; r.Stderr != want || strings.Join(log, "\n") != want {
			t.Errorf("stderr: %q, log: %q", r.Stderr, log)
		}
		r = run(t, transport.Command{Args: []string{"sh", "-c",
			`i=0; while [ $i -lt 20000 ]; do echo "line $i"; echo "error $i" >&2; i=$((i+1)); done`}})
		if n := len(r.Stdout); n != 64<<10 || !strings.HasSuffix(string(r.Stdout), "line 19999\n") {
			t.Errorf("%d bytes of stdout kept", n)
		}
		if got := strings.Split(r.Stderr, "\n"); len(got) != 20 || got[19] != "error 19999" {
			t.Errorf("kept of stderr: %q", got)
		}
	})

	t.Run("large binary output", func(t *testing.T) {
		part := make([]byte, 1<<20)
		random := rand.NewChaCha8([32]byte{1})
		_, _ = random.Read(part) // never fails
		name := filepath.Join(t.TempDir(), "part")
		if err := os.WriteFile(name, part, 0o600); err != nil {
			t.Fatal(err)
		}
		got, want := sha256.New(), sha256.New()
		for range 50 {
			want.Write(part)
		}
		r := run(t, transport.Command{Args: []string{"sh", "-c", `i=0; while [ $i -lt 50 ]; do cat "$1"; i=$((i+1)); done; exit 7`,
			"sh", name}, Stdout: got})
		if r.ExitCode != 7 || !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
			t.Errorf("exit %d, and the output is not what was printed", r.ExitCode)
		}
	})

	t.Run("a writer that fails", func(t *testing.T) {
		r, err := conn.Run(t.Context(), transport.Command{Args: []string{"sh", "-c", `while echo x; do :; done`}, Stdout: broken{}})
		if err == nil && r.ExitCode == 0 {
			t.Error("a command whose output is lost is done")
		}
	})

	// More than sshd's MaxSessions, 10.
	t.Run("many at once", func(t *testing.T) {
		var wg sync.WaitGroup
		for i := range 24 {
			wg.Go(func() {
				r, err := conn.Run(t.Context(), transport.Command{Args: []string{"echo", strconv.Itoa(i)}})
				if err != nil || string(r.Stdout) != strconv.Itoa(i)+"\n" {
					t.Errorf("%d: %q, %v", i, r.Stdout, err)
				}
			})
		}
		wg.Wait()
	})

	// The first line a command prints is its process id; then the context ends.
	cancelled := func(t *testing.T, script string) int {
		t.Helper()
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		reason := errors.New("the reason")
		pids := &firstLine{then: func() { cancel(reason) }}
		_, err := conn.Run(ctx, transport.Command{Args: []string{"sh", "-c", script}, Stdout: pids})
		if e := (*transport.Error)(nil); !errors.As(err, &e) || e.Class != transport.ClassStopped || !errors.Is(err, reason) {
			t.Errorf("a cancelled command gives %v", err)
		}
		pid, err := strconv.Atoi(pids.line())
		if err != nil {
			t.Fatal(err)
		}
		return pid
	}

	t.Run("cancel is polite first", func(t *testing.T) {
		mark := filepath.Join(t.TempDir(), "mark")
		pid := cancelled(t, `trap 'echo polite >`+mark+`; exit 3' TERM; echo $$; while :; do sleep 0.01; done`)
		Gone(t, pid)
		if b, err := os.ReadFile(mark); err != nil || string(b) != "polite\n" {
			t.Errorf("no SIGTERM came: %q, %v", b, err)
		}
	})
	t.Run("cancel is hard in the end", func(t *testing.T) {
		Gone(t, cancelled(t, `trap '' TERM; echo $$; while :; do sleep 0.1; done`))
	})
	t.Run("cancel ends children", func(t *testing.T) {
		Gone(t, cancelled(t, `sleep 1000 & echo $!; wait`))
	})
	t.Run("cancel ends children that outlive the command", func(t *testing.T) {
		Gone(t, cancelled(t, `(trap '' TERM; exec sleep 1000 >/dev/null 2>&1) & echo $!; wait`))
	})
	t.Run("cancelled before the start", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := conn.Run(ctx, transport.Command{Args: []string{"true"}}); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// broken is a writer that fails.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("the disk is full") }

// Gone waits until a process has ended and fails the test if it does not.
func Gone(t testing.TB, pid int) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for {
		if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) || zombie(pid) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("process %d is still there", pid)
		}
	}
}

// zombie tells whether a process has ended but nobody waited for it: what is orphaned may stay so
// for long in a container without an init.
func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && bytes.Contains(b, []byte(") Z "))
}

// firstLine is a writer that keeps what it gets and says when a line is complete.
type firstLine struct {
	then func()
	mu   sync.Mutex
	buf  bytes.Buffer
}

func (f *firstLine) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.buf.Write(p)
	if bytes.ContainsRune(f.buf.Bytes(), '\n') {
		f.then()
	}
	return len(p), nil
}

func (f *firstLine) line() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	line, _, _ := strings.Cut(f.buf.String(), "\n")
	return line
}
