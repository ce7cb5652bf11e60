package transport

import "fmt"

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
