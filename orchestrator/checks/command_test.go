package checks

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Planted faults that this saw: 255 a fail; 127 a fail; every exit code a pass; the exit code of a
// command that was being killed believed; an error from Run taken for exit 0; the head of the output
// quoted instead of its tail; output quoted with its control characters.
func TestCommandProbe(t *testing.T) {
	long := strings.Repeat("noise\n", 5000)
	for _, c := range []struct {
		name    string
		code    int
		output  string
		err     error
		verdict Verdict
		detail  string
	}{
		{"zero", 0, "fine", nil, Pass, "exit 0"},
		{"one", 1, "PHP Fatal error", nil, Fail, "exit 1, expected 0: PHP Fatal error"},
		{"silent", 3, "", nil, Fail, "exit 3, expected 0"},
		{"killed", 137, "", nil, Fail, "exit 137, expected 0"},
		{"negative", -1, "", nil, Fail, "exit -1, expected 0"},
		{"not executable", 126, "Permission denied", nil, Unknown, "could not be started: Permission denied"},
		{"not found", 127, "php: not found", nil, Unknown, "could not be started: php: not found"},
		{"ssh", 255, "Connection timed out", nil, Unknown, "ssh failed, or the command did: Connection timed out"},
		{"error", 0, "", errors.New("fork: no memory"), Unknown, "could not be run: fork: no memory"},
		{"error with output", 1, "half", errors.New("lost"), Unknown, "could not be run: lost: half"},
		{"hostile", 1, "\x1b[2J\x1b]0;pwned\x07gone\r\nnow", nil, Fail, "exit 1, expected 0: [2J]0;pwnedgone now"},
		{"long", 1, long + "the reason\n", nil, Fail, "noise the reason"},
		{"hostile error", 1, "", errors.New(strings.Repeat("\x1bé", 5000)), Unknown, "éé"},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := []string{"php", "-r", "exit(0);"}
			got := Command{Args: args, Run: func(_ context.Context, got []string) (int, string, error) {
				if !slices.Equal(got, args) {
					t.Errorf("ran %q, want %q", got, args)
				}
				return c.code, c.output, c.err
			}}.Probe(t.Context())
			checkResult(t, got, c.verdict, c.detail)
		})
	}
}

func TestCommandWithNothingToRun(t *testing.T) {
	checkResult(t, Command{}.Probe(t.Context()), Unknown, "no command")
	checkResult(t, Command{Args: []string{"true"}}.Probe(t.Context()), Unknown, "no command")
}

// A hung command is unknown after the timeout, whatever it exits with when it is killed.
func TestCommandTimeout(t *testing.T) {
	for _, c := range []struct {
		name    string
		timeout time.Duration
		code    int
		err     error
		took    time.Duration
	}{
		{"trapped the signal", 3 * time.Second, 0, nil, 3 * time.Second},
		{"killed", 3 * time.Second, -1, nil, 3 * time.Second},
		{"killed with an error", 3 * time.Second, -1, context.DeadlineExceeded, 3 * time.Second},
		{"default timeout", 0, -1, nil, DefaultTimeout},
		{"negative timeout", -1, -1, nil, DefaultTimeout},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := Command{Args: []string{"sleep", "60"}, Timeout: c.timeout,
					Run: func(ctx context.Context, _ []string) (int, string, error) {
						<-ctx.Done()
						return c.code, "", c.err
					}}.Probe(t.Context())
				checkResult(t, got, Unknown, "had not ended after "+c.took.String())
				if got.Took != c.took {
					t.Errorf("took %s, want %s", got.Took, c.took)
				}
			})
		})
	}
}

func TestCommandCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	got := Command{Args: []string{"true"}, Run: func(context.Context, []string) (int, string, error) {
		cancel()
		return 1, "", nil
	}}.Probe(ctx)
	checkResult(t, got, Unknown, "stopped before")
}

// checkResult checks the verdict, that the detail contains a text, and what every detail promises.
func checkResult(t *testing.T, got Result, verdict Verdict, detail string) {
	t.Helper()
	if got.Verdict != verdict || !strings.Contains(got.Detail, detail) {
		t.Errorf("got %s: %s\nwant %s: %s", got.Verdict, got.Detail, verdict, detail)
	}
	checkClean(t, got.Detail, MaxDetail)
	if got.Took < 0 {
		t.Errorf("took %s", got.Took)
	}
}
