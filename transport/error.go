package transport

import (
	"fmt"
	"strings"
)

// Class is what to do about a failure.
type Class string

// The classes. The table in the package comment says which exit code has which.
const (
	ClassBusy      Class = "busy"      // another rsync holds the destination: wait and try again, it does not count
	ClassTransient Class = "transient" // may pass on another try, or from another source
	ClassPermanent Class = "permanent" // will not pass before somebody changes something
	ClassStopped   Class = "stopped"   // ended by us or by somebody
	ClassMissing   Class = "missing"   // a program is missing on this machine; wraps a *MissingError
)

// Error is why a command could not be run or a sync failed.
type Error struct {
	Class    Class
	Program  string // that ended with ExitCode: rsync, ssh, "script before the sync", "script after the sync"; empty if none was started
	ExitCode int
	Source   bool   // the source may be at fault: try another one
	Message  string // one line, neutralised
	Err      error  // the cause; may be nil
}

func (e *Error) Error() string {
	if e.Program == "" {
		return e.Message
	}
	s := fmt.Sprintf("%s exit %d", e.Program, e.ExitCode)
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// The exit codes that are not rsync's own.
const (
	ExitIO      = 74  // sysexits.h: EX_IOERR, of a Script
	ExitBusy    = 75  // flock -E 75
	ExitMissing = 127 // sh(1): command not found
)

// summary returns what matters of the last lines that a program said, as one bounded line.
func Summary(stderr string) string {
	var said, ends []string
	for line := range strings.Lines(stderr) {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
		case strings.HasPrefix(line, "rsync error:"), strings.HasPrefix(line, "rsync warning:"):
			ends = append(ends, line) // repeats the exit code in words
		default:
			said = append(said, line)
		}
	}
	if len(said) == 0 {
		said = ends
	}
	s := strings.Join(said[max(0, len(said)-3):], "; ")
	if len(s) > 500 {
		s = strings.ToValidUTF8(s[:500], "") + "…"
	}
	return s
}
