package transport

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// wrapper is what every command runs under, on this machine as on others. Its standard input is a
// lifeline: when it ends (the context ended, ssh died, this process was killed), the command's
// process group is ended. Without it a remote rsync survives its ssh and a local one survives us
// (measured).
//
//go:embed wrapper.sh
var wrapperText string

var wrapper = StripComments(wrapperText)

// Wrap returns the argument vector that runs c under the wrapper as the user become, empty for whoever runs it. Grace is the time
// between SIGTERM and SIGKILL when it is cancelled, DefaultGrace when 0. An error is an *Error.
func Wrap(c Command, become string, grace time.Duration) ([]string, error) {
	if len(c.Args) == 0 || c.Args[0] == "" || strings.Contains(c.Args[0], "=") {
		return nil, &Error{Class: ClassPermanent, Message: fmt.Sprintf("%q names no program", c.Args)}
	}
	for _, a := range c.Args {
		if strings.ContainsRune(a, 0) {
			return nil, &Error{Class: ClassPermanent, Message: fmt.Sprintf("%q holds a NUL byte", a)}
		}
	}
	var argv []string
	if become != "" {
		argv = append(argv, "sudo", "-n", "-u", become, "--")
	}
	slice := strconv.FormatFloat(graceOf(grace).Seconds()/5, 'f', 3, 64)
	argv = append(argv, "sh", "-c", wrapper, "fleetsync", slice, strconv.Itoa(len(c.Stdin)))
	return append(argv, c.Args...), nil
}

func graceOf(d time.Duration) time.Duration {
	if d <= 0 {
		return DefaultGrace
	}
	return d
}

// RunWrapped runs on this machine an argument vector that ends in one of Wrap, such as ssh with a wrapped command, and hands it
// the input and the writers of c. It keeps the contract of Conn.Run.
func RunWrapped(ctx context.Context, argv []string, c Command, grace time.Duration) (Result, error) {
	if ctx.Err() != nil {
		return Result{}, Stopped(ctx)
	}
	stdin, lifeline, err := os.Pipe()
	if err != nil {
		return Result{}, &Error{Class: ClassTransient, Message: err.Error(), Err: err}
	}
	defer lifeline.Close() //nolint:errcheck // a pipe's end; closed before on cancel

	kept := &Tail{Max: KeptOutput}
	said := &Lines{Log: c.Log, Keep: KeptLines}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, kept, said
	if c.Stdout != nil {
		cmd.Stdout = c.Stdout
	}
	// A session of its own, hence a process group of its own, without a terminal: Ctrl-C does not
	// reach it, and a question for a password fails instead of waiting.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	// The wrapper sends the signals; the hard end here is for when it cannot.
	var hard *time.Timer
	last := graceOf(grace) + graceOf(grace)/4
	cmd.Cancel = func() error {
		pid := cmd.Process.Pid
		hard = time.AfterFunc(last, func() { _ = syscall.Kill(-pid, syscall.SIGKILL) })
		return lifeline.Close()
	}
	// Bounds the wait for pipes that grandchildren hold open (os/exec: WaitDelay).
	cmd.WaitDelay = 2 * last

	err = cmd.Start()
	_ = stdin.Close()
	if err != nil {
		return Result{}, startError(argv[0], err)
	}
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		// An error means that the command is gone or stopped; its end tells.
		_, _ = lifeline.Write(c.Stdin)
	}()
	err = cmd.Wait()
	if hard != nil {
		hard.Stop()
	}
	_ = lifeline.Close()
	<-fed
	said.Flush()

	r := Result{ExitCode: cmd.ProcessState.ExitCode(), Stdout: kept.Bytes(), Stderr: said.String()}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		r.ExitCode = 128 + int(ws.Signal())
	}
	if r.ExitCode == 0 {
		// Done is done, even if the context ended meanwhile. What is left of err is a failed
		// write to Stdout, which the caller's writer knows of, or an open pipe of a grandchild.
		if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) && ctx.Err() == nil {
			return r, &Error{Class: ClassPermanent, Message: err.Error(), Err: err}
		}
		return r, nil
	}
	if ctx.Err() != nil {
		return r, Stopped(ctx)
	}
	return r, nil
}

// Stopped returns the error of a command that did not run to its end because ctx has ended.
func Stopped(ctx context.Context) error {
	return &Error{Class: ClassStopped, Message: "stopped", Err: context.Cause(ctx)}
}

func startError(program string, err error) error {
	if errors.Is(err, exec.ErrNotFound) {
		missing := &MissingError{Programs: []string{program}}
		return &Error{Class: ClassMissing, Message: missing.Error(), Err: missing}
	}
	class := ClassTransient // EAGAIN, ENOMEM, EMFILE
	if errors.Is(err, syscall.E2BIG) {
		class = ClassPermanent
	}
	return &Error{Class: class, Message: "cannot start " + program + ": " + err.Error(), Err: err}
}
