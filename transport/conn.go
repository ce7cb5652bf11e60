package transport

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// Conn runs commands on one host. It is safe for concurrent use.
type Conn interface {
	// Run runs c on the host and waits for its end. A command that ran to its end is a Result with
	// its exit code, whatever the code, and no error. An error is always an *Error and means that
	// it was not started or that its end is not known: the host cannot be reached (ClassTransient),
	// a program is missing on this machine (ClassMissing), the command cannot be passed on or the
	// host's key is not trusted (ClassPermanent), or ctx ended first (ClassStopped, wrapping the
	// context's cause).
	//
	// When ctx ends, the command and all its children in its process group get SIGTERM, and
	// SIGKILL after a grace period; Run returns when they have ended, or a little later when they
	// cannot be reached any more. The same happens on the host when this process dies.
	//
	// A command that leaves a daemon behind must not leave it its output: ssh waits until that is
	// closed (measured), hence until ctx ends.
	Run(ctx context.Context, c Command) (Result, error)
}

// Command is one command of a host.
type Command struct {
	// Args are the program, looked up in the PATH of the host, and its arguments. They arrive as
	// they are: no shell expands them. They hold no NUL; the program's name holds no "=".
	Args []string
	// Stdin is what the command reads before it sees the end of its input. It is not started
	// before all of it has arrived on the host.
	Stdin []byte
	// Stdout gets the command's standard output as it comes. Nil: the last 64 KiB are kept for the
	// Result. A writer that blocks stops the command.
	Stdout io.Writer
	// Log gets every line of standard error as it comes, neutralised and without its end. It may
	// be nil; one that blocks stops the command.
	Log func(line string)
}

// Result is how a command ended.
type Result struct {
	ExitCode int    // 128+n: ended by signal n. 255 is reported as 254, because ssh keeps 255 for itself: 255 with an error is not known
	Stdout   []byte // the last 64 KiB, when Command.Stdout is nil
	Stderr   string // the last lines, at most 20 and 4 KiB, neutralised
}

// DefaultGrace is the time between the polite and the hard end of a cancelled command.
const DefaultGrace = 5 * time.Second

// Local runs commands on this machine. The zero Local runs them as the current user.
type Local struct {
	Become string        // run every command as this user, by sudo -n -u; empty is off
	Grace  time.Duration // DefaultGrace when 0
}

// Run implements Conn.
func (l Local) Run(ctx context.Context, c Command) (Result, error) {
	argv, err := Wrap(c, l.Become, l.Grace)
	if err != nil {
		return Result{}, err
	}
	return RunWrapped(ctx, argv, c, l.Grace)
}

// MissingError tells which programs are missing on this machine. It is an ErrMissing.
type MissingError struct{ Programs []string }

// ErrMissing is what a MissingError wraps.
var ErrMissing = fmt.Errorf("missing on this machine")

func (e *MissingError) Error() string {
	return strings.Join(e.Programs, ", ") + ": " + ErrMissing.Error()
}

// Unwrap returns ErrMissing.
func (e *MissingError) Unwrap() error { return ErrMissing }

// Packages returns the Debian packages that the programs are in.
func (e *MissingError) Packages() []string {
	known := map[string]string{"flock": "util-linux", "ssh": "openssh-client", "env": "coreutils", "sh": "dash"}
	names := make([]string, len(e.Programs))
	for i, program := range e.Programs {
		names[i] = cmp.Or(known[program], program)
	}
	return names
}

// Missing returns a *MissingError with those of the programs that are not in the PATH, or nil.
func Missing(programs ...string) error {
	var missing []string
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing = append(missing, p)
		}
	}
	if missing == nil {
		return nil
	}
	return &MissingError{Programs: missing}
}
