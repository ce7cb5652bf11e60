//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/cmd/fleetlab/lab"
)

// The exit codes. That of exec is the command's.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 10
	exitMissing = 15
)

// app is the program with everything of the world that it uses by itself.
type app struct {
	stdout, stderr io.Writer
	getenv         func(string) string

	dir string // --dir
}

// errUsage is what is wrong with a command line.
type errUsage struct{ error }

func (e errUsage) Unwrap() error { return e.error }

func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode() // of exec; what went wrong has been said
	}
	_, _ = fmt.Fprintf(a.stderr, "fleetlab: %v\n", err)
	var missing *lab.MissingError
	var usage errUsage
	switch {
	case errors.As(err, &missing), errors.Is(err, lab.ErrRoot):
		return exitMissing
	case errors.As(err, &usage), isUsage(err):
		_, _ = fmt.Fprintln(a.stderr, "hint: fleetlab help")
		return exitUsage
	default:
		return exitFailed
	}
}

// isUsage says whether the command line parser made the error: it has no type of its own for those.
func isUsage(err error) bool {
	for _, prefix := range []string{"unknown command", "unknown flag", "unknown shorthand", "accepts ", "requires ", "invalid argument",
		"flag needs an argument"} {
		if strings.HasPrefix(err.Error(), prefix) {
			return true
		}
	}
	return false
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "fleetlab",
		Short: "Bring a fleet of real hosts up on this machine, and spoil them",
		Long: `fleetlab brings a fleet up on this machine: hosts with an address, an sshd, an rsync
daemon and an HTTP server of their own, and an etcd with their pool objects. All
of it is in namespaces of its own and ends with fleetlab up, however that ends.

    fleetlab up                                  here, in the foreground
    fleetlab exec deploy1 -- fleetsync check     there, in another terminal

Exit codes:
    0  done
    1  failed
   10  usage
   15  a program, root or namespaces are missing on this machine
    exec ends as the command does; 255 if the host is or goes down`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	dir := a.getenv("FLEETLAB_DIR")
	if dir == "" {
		dir = "lab"
	}
	root.PersistentFlags().StringVar(&a.dir, "dir", dir, "the lab's `directory`; FLEETLAB_DIR sets another default")
	root.AddCommand(a.upCommand(), a.downCommand(), a.execCommand(), a.slowCommand(), a.delayCommand(), a.skewCommand(),
		a.hostCommand("kill", "Cut the power of hosts: all processes end at once, silently; disks stay", (*lab.Lab).Kill),
		a.hostCommand("start", "Boot hosts that were killed", (*lab.Lab).Start),
		a.hostCommand("partition", "Take the links of hosts down", (*lab.Lab).Partition),
		a.hostCommand("heal", "Take back partition, slow, delay, skew and fill-disk", (*lab.Lab).Heal),
		a.hostCommand("fill-disk", "Fill /srv of hosts to the last page (needs up --srv-size)", (*lab.Lab).FillDisk),
	)
	return root
}
