package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/fleetsync/fleetsync/transport"
)

// app is the program with everything of the world that it uses by itself, so that a test can run it.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	exit           func(code int) // for the third Ctrl-C, which does not wait for anything
	name           string         // by which the program was called

	config string // --config
	json   bool   // --json

	atEnd []func() // what closes connections when the command has ended
}

// run executes one command line and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	// That nobody reads any more (fleetsync sync --json | head) must not end a run while hosts are out
	// of their pools: to ask for the signal turns it into a failed write. Its children do not inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	code := a.report(root.ExecuteContext(ctx))
	for _, end := range a.atEnd {
		end()
	}
	return code
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "fleetsync",
		Short: "Put one directory tree on every host of a fleet, safely and fast",
		Long: `fleetsync puts one directory tree on every host of a fleet: canaries first, judged
at a gate; then proxies, taken out of their pools while they serve; then the
fleet, in bounded batches. Every pool is put back exactly as it was.

Try it without a fleet:  fleetsync demo

` + exitCodes,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.PersistentFlags().StringVar(&a.config, "config", a.defaultConfig(), "policy `file`; FLEETSYNC_CONFIG sets another default")
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print events or results to stdout, one JSON object a line")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage(err, c.CommandPath()+" --help")
	})
	root.AddGroup(
		&cobra.Group{ID: groupRun, Title: "Sync the fleet:"},
		&cobra.Group{ID: groupSee, Title: "See what will be, is and was:"},
		&cobra.Group{ID: groupHand, Title: "By hand:"},
	)
	root.AddCommand(a.runCommands()...)
	root.AddCommand(
		a.rollbackCommand(), a.resumeCommand(), a.recoverCommand(),
		a.checkCommand(), a.planCommand(), a.verifyCommand(), a.statusCommand(), a.historyCommand(), a.showCommand(),
		a.mastersCommand(), a.poolCommand(), a.lockCommand(), a.unlockCommand(), a.demoCommand(),
	)
	return root
}

// The groups of commands in help.
const (
	groupRun  = "run"
	groupSee  = "see"
	groupHand = "hand"
)

func (a *app) defaultConfig() string {
	if path := a.getenv("FLEETSYNC_CONFIG"); path != "" {
		return path
	}
	return "/etc/fleetsync/fleetsync.yaml"
}

// command returns how the program is called on this fleet, for lines that people can paste.
func (a *app) command() string {
	name := "fleetsync"
	if _, err := exec.LookPath(name); err != nil && a.name != "" {
		name = transport.Word(a.name) // it is not installed: make demo leaves it in bin
	}
	if a.config == a.defaultConfig() {
		return name
	}
	return name + " --config " + transport.Word(a.config)
}

// terminal says whether people see stderr live.
func (a *app) terminal() bool {
	file, ok := a.stderr.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
