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

// exitError is an error with what the program is to make of it. Use typed errors instead, which endingOf knows.
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

// usageError is what was typed wrong.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usage(err error, hint string) error { return withHint(usageError{err}, hint) }

// hintedError is an error with what to type next, where that depends on the command and not on the error alone.
type hintedError struct {
	error
	hint string
}

func (e hintedError) Unwrap() error { return e.error }

// withHint says what to type next about an error, in the place of what endingOf would say; nil stays nil.
func withHint(err error, hint string) error {
	if err == nil {
		return nil
	}
	return hintedError{err, hint}
}

// toldError is an error that people have been told about already: it only says how the program ends.
type toldError struct{ error }

func (e toldError) Unwrap() error { return e.error }

// ended is how a command says that it ended with a code and has told people why already.
type ended int

func (e ended) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// report tells people about an error and returns the exit code.
func (a *app) report(err error) int {
	if err == nil {
		return exitDone
	}
	code, hint := a.endingOf(err)
	if _, told := errors.AsType[toldError](err); told {
		return code
	}
	if _, told := errors.AsType[ended](err); told {
		return code
	}
	message := err.Error()
	if problems, ok := errors.AsType[inventory.Problems](err); ok {
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
	if hint != "" {
		_, _ = fmt.Fprintf(a.stderr, "hint: %s\n", hint)
	}
	return code
}

// endingOf is the one place that knows which error ends the program with which code, and what to type next unless the command has said.
func (a *app) endingOf(err error) (code int, hint string) {
	code, hint = a.ending(err)
	if hinted, ok := errors.AsType[hintedError](err); ok {
		hint = hinted.hint
	}
	return code, hint
}

func (a *app) ending(err error) (code int, hint string) {
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code, e.hint
	}
	if code, ok := errors.AsType[ended](err); ok {
		return int(code), ""
	}
	switch {
	case is[usageError](err):
		return exitUsage, ""
	case is[inventory.Problems](err):
		return exitInvalid, ""
	case errors.Is(err, transport.ErrMissing):
		return exitMissing, installHint(err)
	case is[*journal.CorruptError](err), errors.Is(err, journal.ErrNoRun):
		return exitJournal, a.command() + " history"
	case errors.Is(err, journal.ErrLocked):
		return exitLocked, a.command() + " status"
	case errors.Is(err, rollout.ErrNoProxyFits):
		return exitInvalid, "repool hosts that are out (fleetsync pool get), or lower pooling.threshold"
	case errors.Is(err, rollout.ErrDown):
		return exitGuard, "fleetsync check --reach tells of each; --limit leaves hosts out, and batches: {down: try} asks nobody before"
	case isUsage(err):
		return exitUsage, "fleetsync help"
	default:
		return exitInternal, ""
	}
}

// is says whether an error of type T is in the tree of err.
func is[T error](err error) bool {
	_, ok := errors.AsType[T](err)
	return ok
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
	missing, ok := errors.AsType[*transport.MissingError](err)
	if !ok {
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
