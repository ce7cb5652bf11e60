package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/journal"
	"github.com/fleetsync/fleetsync/orchestrator/preflight"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/session"
	"github.com/fleetsync/fleetsync/pooling"
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

// failuresError says that a command did its work and found hosts that are not as they should be.
type failuresError struct{ error }

// invalidError says what is wrong with the policy or the inventory, beyond their form.
type invalidError struct{ error }

// notFoundError says that this program cannot find itself.
type notFoundError struct{ error }

// noPlanError says that a file holds no plan to carry out.
type noPlanError struct{ error }

// noRunError says that a name is not that of one run of this machine.
type noRunError struct{ error }

// runError says how a run ended.
type runError struct {
	run        string
	outcome    rollout.Outcome
	terminated bool  // the first signal was SIGTERM
	err        error // the run could not do its job; nil: it did, and not all is well
}

func (e *runError) Error() string {
	if e.err != nil {
		return e.err.Error()
	}
	return "the run has " + string(e.outcome.Result)
}

func (e *runError) Unwrap() error { return e.err }

// code returns the exit code of a run that came to its end.
func (e *runError) code() int {
	switch {
	case len(e.outcome.Out) > 0:
		return exitNotRestored
	case e.err != nil:
		return exitInternal
	}
	switch e.outcome.Result {
	case rollout.ResultDone:
		return exitDone
	case rollout.ResultFailed:
		return exitFailures
	case rollout.ResultHalted:
		return exitHalted
	case rollout.ResultAborted:
		if e.terminated {
			return exitTerminated
		}
		return exitInterrupted
	default:
		return exitInternal
	}
}

// report tells people about an error and returns the exit code.
func (a *app) report(err error) int {
	if err == nil {
		return exitDone
	}
	code, hint := a.endingOf(err)
	if _, told := errors.AsType[toldError](err); told {
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
	if refusal, ok := errors.AsType[*preflight.Refusal](err); ok {
		return a.refusalEnding(refusal)
	}
	fleetsync := a.command()
	if run, ok := errors.AsType[*runError](err); ok {
		return run.code(), fleetsync + " show " + run.run
	}
	if e, ok := errors.AsType[*session.RepoolError](err); ok {
		_, hint = a.ending(e.Err)
		return exitNotRestored, cmp.Or(hint, fleetsync+" pool get")
	}
	if e, ok := errors.AsType[*session.DepoolError](err); ok {
		if e.Changed > 0 {
			return exitInternal, fleetsync + " pool get"
		}
		return exitInvalid, fleetsync + " pool get"
	}
	if missing, ok := errors.AsType[*transport.MissingError](err); ok {
		return exitMissing, "apt-get install " + strings.Join(missing.Packages(), " ") + "   (or the like on other systems)"
	}
	if held, ok := errors.AsType[*pooling.HeldError](err); ok && held.Holder.Run == "" {
		return exitLocked, fleetsync + " unlock   (once " + held.Holder.Owner + " agrees), or --wait"
	}
	if e, ok := errors.AsType[*session.NotFrozenError](err); ok {
		if e.Holder.Run == "" {
			return exitLocked, "it runs out by itself if that died"
		}
		return exitLocked, fleetsync + " recover, if the run died"
	}
	if e, ok := errors.AsType[*journal.NewerError](err); ok {
		writer := cmp.Or(e.Writer, "the fleetsync that wrote it")
		return exitJournal, "install " + writer + " or a newer one on this machine; nothing is wrong with the journal"
	}
	if e, ok := errors.AsType[*session.OvertakenError](err); ok {
		return exitInvalid, fleetsync + " sync; what run " + e.Run + " has left out of its pools is put back by: " + fleetsync + " recover"
	}
	if e, ok := errors.AsType[*session.GoneHostsError](err); ok {
		return exitInvalid, "put them back into " + e.Inventory + ", or plan anew: " + fleetsync + " recover, then sync"
	}
	switch {
	case is[*session.NotRestoredError](err):
		return exitNotRestored, ""
	case is[failuresError](err):
		return exitFailures, ""
	case errors.Is(err, session.ErrInterrupted):
		return exitInterrupted, ""
	case is[usageError](err):
		return exitUsage, ""
	case is[inventory.Problems](err), is[invalidError](err):
		return exitInvalid, ""
	case is[noPlanError](err):
		return exitInvalid, "fleetsync plan -o FILE writes one"
	case is[notFoundError](err):
		return exitMissing, "call it by its path"
	case errors.Is(err, pooling.ErrHeld), errors.Is(err, journal.ErrLocked):
		return exitLocked, fleetsync + " status, or --wait"
	case is[*session.LockError](err):
		return exitInvalid, "check lock.endpoints; nothing was touched"
	case is[*session.WriteError](err):
		return exitInvalid, "receipts of what is taken out of the pools are kept there; check lock.endpoints and lock.prefix. Nothing was touched"
	case is[*session.StoreError](err):
		return exitInvalid, "nothing was touched"
	case is[*session.PoolsError](err):
		return exitInvalid, "check pooling.endpoints and pooling.prefix"
	case errors.Is(err, pooling.ErrNoObjects):
		return exitInvalid, "check pooling.select and pooling.prefix"
	case errors.Is(err, session.ErrNoPools):
		return exitInvalid, "add pooling: to " + a.config
	case errors.Is(err, session.ErrNoShared):
		return exitInvalid, "add pooling.endpoints or lock.endpoints to " + a.config
	case is[*session.StateError](err):
		return exitJournal, stateHint
	case is[*session.JournalError](err), is[*journal.CorruptError](err), is[noRunError](err):
		return exitJournal, fleetsync + " history"
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

// refusalEnding is what ending says of a run that may not begin.
func (a *app) refusalEnding(r *preflight.Refusal) (code int, hint string) {
	fleetsync := a.command()
	switch r.Kind {
	case preflight.UnknownMaster, preflight.UnknownTarget:
		return exitUsage, "the inventory lists them under roles: masters"
	case preflight.UnknownSource:
		return exitUsage, "masters restore --from-host takes a tree from any other host"
	case preflight.UnknownHost:
		return exitUsage, "masters sync takes a tree from another master"
	case preflight.SameMaster, preflight.BadSelection:
		return exitUsage, ""
	case preflight.Unplannable, preflight.BadRule, preflight.CannotUndo, preflight.PlanChanged:
		return exitInvalid, ""
	case preflight.Unrestored:
		return exitLocked, fleetsync + " recover"
	case preflight.ReceiptsUnread, preflight.QuarantineUnread:
		return exitInvalid, "nothing was touched"
	case preflight.PoolsUnread:
		return exitInvalid, "check pooling.endpoints and pooling.prefix; nothing was touched"
	case preflight.BalancersUnread:
		return exitInvalid, "check pooling.balancers; nothing was touched"
	case preflight.NoPoolObjects:
		return exitInvalid, "check pooling.select and pooling.prefix, or say pooled: false for a proxy that is in no pool"
	case preflight.HistoryUnread:
		if code, hint = a.ending(r.Err); code == exitJournal {
			return code, hint
		}
		return exitJournal, fleetsync + " history"
	case preflight.TreeUnread, preflight.TreeUnjudged, preflight.NoDryRun:
		return exitGuard, fleetsync + " masters status"
	case preflight.MayNotServe, preflight.OwnersUnknown, preflight.RecordUnread, preflight.TreeChanged:
		return exitGuard, ""
	case preflight.BadTree:
		return exitGuard, `mend it, or go on with --override "REASON"`
	case preflight.NoSpace:
		return exitGuard, "make room there; guard: min_free is part of what is needed"
	case preflight.WrongNumber:
		return exitGuard, "leave the number out to see what would go"
	case preflight.Deletions:
		return exitGuard, fmt.Sprintf("if that is what you want: --confirm-deletions %d", r.Number)
	case preflight.IsRollback:
		return exitInvalid, fleetsync + " sync brings the tree of the origin"
	case preflight.Overtaken:
		return exitInvalid, "take that back first: " + fleetsync + " rollback " + r.Run
	case preflight.NoBackup:
		hint = "keep: {hosts: all} in the policy lets every host keep its tree from now on"
		if len(r.Others) > 0 {
			hint = fleetsync + " rollback " + r.Run + " --limit " + transport.Word(inventory.FoldNames(r.Others)) + "   # the others; " + hint
		}
		return exitInvalid, hint
	case preflight.NoChange:
		return exitInvalid, fleetsync + " show " + r.Run
	}
	return exitInternal, ""
}

// is says whether an error of type T is in the tree of err.
func is[T error](err error) bool {
	_, ok := errors.AsType[T](err)
	return ok
}

// isUsage says whether the command line parser made the error: it has no type of its own for those.
func isUsage(err error) bool {
	for _, prefix := range []string{
		"unknown command", "unknown flag", "unknown shorthand", "accepts ", "requires ", "invalid argument", "required flag",
		"if any flags in the group", "flag needs an argument",
	} {
		if strings.HasPrefix(err.Error(), prefix) {
			return true
		}
	}
	return false
}
