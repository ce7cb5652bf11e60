package checks

import (
	"context"
	"time"
)

// Exit codes of a command on a host that say nothing about what it was to find out.
const (
	exitNotExecutable = 126 // POSIX, "Exit Status for Commands": found, but could not be executed
	exitNotFound      = 127 // POSIX, same place: not found
	exitSSH           = 255 // ssh(1), EXIT STATUS: 255 if an error occurred
)

// Command runs a command on a host and passes when it exits 0. The zero Timeout is DefaultTimeout.
type Command struct {
	Args    []string // already expanded
	Timeout time.Duration

	// Run runs args on the host, without a shell that could read them differently, and returns what
	// the command exited with and printed. An error means that the command did not run to its end. Run
	// returns soon after ctx has ended, and need not bound the output's content, only its size.
	Run func(ctx context.Context, args []string) (exitCode int, output string, err error)
}

// Probe runs the command once. Exit codes 126, 127 and 255 are unknown: by them a shell says that
// the command could not be started, and ssh that it failed itself, which cannot be told from a
// command that exits with the same. It returns when Run has returned.
func (c Command) Probe(ctx context.Context) Result {
	start := time.Now()
	verdict, detail := c.judge(ctx)
	return Result{Verdict: verdict, Detail: detail, Took: time.Since(start)}
}

func (c Command) judge(parent context.Context) (Verdict, string) {
	if len(c.Args) == 0 || c.Run == nil {
		return Unknown, "there is no command to run"
	}
	timeout := orDefault(c.Timeout)
	ctx, cancel := context.WithTimeout(parent, timeout)
	defer cancel()

	code, output, err := c.Run(ctx, c.Args)
	output = tail(output, maxExcerpt)
	if output != "" {
		output = ": " + output
	}
	switch {
	// Whatever a command that is being killed exits with, 0 included, is no answer.
	case parent.Err() != nil:
		return Unknown, "stopped before the command had ended"
	case ctx.Err() != nil:
		return Unknown, detailf("the command had not ended after %s", timeout)
	case err != nil:
		return Unknown, detailf("the command could not be run: %v%s", err, output)
	}
	switch code {
	case 0:
		return Pass, "exit 0"
	case exitNotExecutable, exitNotFound:
		return Unknown, detailf("exit %d, expected 0: the command could not be started%s", code, output)
	case exitSSH:
		return Unknown, detailf("exit %d, expected 0: ssh failed, or the command did%s", code, output)
	default:
		return Fail, detailf("exit %d, expected 0%s", code, output)
	}
}

func orDefault(timeout time.Duration) time.Duration {
	if timeout <= 0 {
		return DefaultTimeout
	}
	return timeout
}
