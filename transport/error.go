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
	exitIO      = 74  // sysexits.h: EX_IOERR, of a Script
	exitBusy    = 75  // flock -E 75
	exitMissing = 127 // sh(1): command not found
)

// classify returns the class of an exit code of a sync's command, and whether the source may be at
// fault. The package comment gives the evidence.
func classify(code int, stderr string) (class Class, source bool) {
	switch code {
	case exitBusy:
		return ClassBusy, false
	case 5:
		// A full daemon says "max connections (N) reached -- try again later", one that asks first
		// "pre-xfer exec returned failure" (clientserver.c; the connection's end may be seen before
		// that and gives 10). All else is a refusal: unknown module, authentication, hosts deny.
		if strings.Contains(stderr, "max connections") || strings.Contains(stderr, "pre-xfer exec") {
			return ClassTransient, true
		}
		return ClassPermanent, true
	case 10, 12, 30, 35:
		return ClassTransient, true
	case 23:
		// What --max-delete kept from being deleted may be in the way of what comes, and then 23 hides 25 (measured).
		if strings.Contains(stderr, "--max-delete limit") {
			return ClassPermanent, false
		}
		// The sender names itself: "[sender]" (3.2.5 and later), or its function.
		return ClassTransient, strings.Contains(stderr, "[sender]") || strings.Contains(stderr, "send_files")
	case 3, 11, 13, 14, 15, 16, 21, 66:
		return ClassTransient, false
	case 19, 20:
		// A daemon that gets SIGTERM passes its 20 on to who pulls from it (measured).
		if strings.Contains(stderr, "[sender") {
			return ClassTransient, true
		}
		return ClassStopped, false
	default:
		if code > 128 {
			// Killed by a signal that was not ours: out of memory, somebody, a shutdown.
			return ClassTransient, false
		}
		return ClassPermanent, false
	}
}

// refusal returns why the source refuses to serve: what its pre-xfer exec said, as rsync passes it on, or "".
func refusal(stderr string) string {
	_, said, ok := strings.Cut(stderr, "pre-xfer exec returned failure")
	if !ok {
		return ""
	}
	_, said, _ = strings.Cut(said, "\n") // the exit status of wait(2)
	said = summary(said)
	said, _, _ = strings.Cut(said, "; rsync: ") // that it then hung up
	if said == "" || strings.HasPrefix(said, "rsync") {
		return "the source refuses to serve"
	}
	return "the source refuses to serve: " + said
}

// summary returns what matters of the last lines that a program said, as one bounded line.
func summary(stderr string) string {
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
