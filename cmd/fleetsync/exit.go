package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/journal"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/transport"
)

// The exit codes. From 10 to 99 the fleet was not touched.
const (
	exitDone        = 0
	exitInternal    = 1
	exitFailures    = 3
	exitHalted      = 4
	exitNotRestored = 5
	exitUsage       = 10
	exitInvalid     = 11
	exitLocked      = 12
	exitJournal     = 13
	exitGuard       = 14
	exitMissing     = 15
	exitInterrupted = 130
	exitTerminated  = 143
)

const exitCodes = `Exit codes:
    0  done, pools as they were found
    1  internal failure
    3  done, but some hosts failed or were down, within the budget, or are in
       quarantine; or what comes after the run failed
    4  halted by the gate, the failure budget, the loss of every source or a hook
       that comes before the run
    5  pools not restored (outranks all others)
   10  usage                        from 10 to 99 the fleet was not touched
   11  inventory, policy or plan invalid; pools that cannot be read
   12  another run is under way
   13  journal missing or corrupt
   14  refused by the guard; more hosts are down than may fail
   15  a program is missing on this machine
  130  interrupted, pools restored (143: terminated)`

// exitError is an error with what the program is to make of it.
type exitError struct {
	code int
	err  error
	hint string // what to type next; may be empty
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func fail(code int, err error, hint string) error {
	return &exitError{code: code, err: err, hint: hint}
}

func usage(err error, hint string) error { return fail(exitUsage, err, hint) }

// ended is how a command says that it ended with a code and has told people why already.
type ended int

func (e ended) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// report tells people about an error and returns the exit code: the one place that maps the one to
// the other.
func (a *app) report(err error) int {
	if err == nil {
		return exitDone
	}
	var code ended
	if errors.As(err, &code) {
		return int(code)
	}
	e := a.classify(err)
	message := e.err.Error()
	if problems := (inventory.Problems)(nil); errors.As(e.err, &problems) {
		message = strings.TrimRight(message, "\n") // it has its own form: file:line:column
		_, _ = fmt.Fprintf(a.stderr, "%s\n", message)
		mistakes := "mistakes"
		if len(problems) == 1 {
			mistakes = "mistake"
		}
		_, _ = fmt.Fprintf(a.stderr, "fleetsync: %d %s\n", len(problems), mistakes)
	} else {
		_, _ = fmt.Fprintf(a.stderr, "fleetsync: %s\n", message)
	}
	if e.hint != "" {
		_, _ = fmt.Fprintf(a.stderr, "hint: %s\n", e.hint)
	}
	return e.code
}

// classify gives errors that come without a code theirs.
func (a *app) classify(err error) *exitError {
	var e *exitError
	if errors.As(err, &e) {
		return e
	}
	var problems inventory.Problems
	var corrupt *journal.CorruptError
	switch {
	case errors.As(err, &problems):
		return &exitError{code: exitInvalid, err: err}
	case errors.Is(err, transport.ErrMissing):
		return &exitError{code: exitMissing, err: err, hint: installHint(err)}
	case errors.As(err, &corrupt), errors.Is(err, journal.ErrNoRun):
		return &exitError{code: exitJournal, err: err, hint: a.command() + " history"}
	case errors.Is(err, journal.ErrLocked):
		return &exitError{code: exitLocked, err: err, hint: a.command() + " status"}
	case errors.Is(err, rollout.ErrNoProxyFits):
		return &exitError{code: exitInvalid, err: err, hint: "repool hosts that are out (fleetsync pool get), or lower pooling.threshold"}
	case errors.Is(err, rollout.ErrDown):
		return &exitError{code: exitGuard, err: err, hint: "fleetsync check --reach tells of each; --limit leaves hosts out, and batches: {down: try} asks nobody before"}
	case isUsage(err):
		return &exitError{code: exitUsage, err: err, hint: "fleetsync help"}
	default:
		return &exitError{code: exitInternal, err: err}
	}
}

// isUsage says whether the command line parser made the error: it has no type of its own for those.
func isUsage(err error) bool {
	for _, prefix := range []string{"unknown command", "unknown flag", "unknown shorthand", "accepts ", "requires ", "invalid argument", "required flag", "if any flags in the group", "flag needs an argument"} {
		if strings.HasPrefix(err.Error(), prefix) {
			return true
		}
	}
	return false
}

// packages are the Debian packages that programs come from.
var packages = map[string]string{
	"rsync": "rsync", "flock": "util-linux", "ssh": "openssh-client", "sudo": "sudo", "env": "coreutils", "sh": "dash",
}

func installHint(err error) string {
	var missing *transport.MissingError
	if !errors.As(err, &missing) {
		return ""
	}
	var names []string
	for _, program := range missing.Programs {
		name, ok := packages[program]
		if !ok {
			name = program
		}
		names = append(names, name)
	}
	return "apt-get install " + strings.Join(names, " ") + "   (or the like on other systems)"
}

// codeOf returns the exit code of a run that came to its end.
func codeOf(o rollout.Outcome, terminated bool) int {
	if len(o.Out) > 0 {
		return exitNotRestored
	}
	switch o.Result {
	case rollout.ResultDone:
		return exitDone
	case rollout.ResultFailed:
		return exitFailures
	case rollout.ResultHalted:
		return exitHalted
	case rollout.ResultAborted:
		if terminated {
			return exitTerminated
		}
		return exitInterrupted
	default:
		return exitInternal
	}
}
