//go:build linux

package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/cmd/fleetlab/lab"
)

func (a *app) downCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "End a lab from outside, and delete what remains of it",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), time.Minute)
			defer cancel()
			return lab.Down(ctx, a.dir)
		},
	}
}

// hostCommand is a command that does one thing to each of the hosts it names. It goes on after one that
// fails.
func (a *app) hostCommand(name, short string, do func(*lab.Lab, context.Context, string) error) *cobra.Command {
	return &cobra.Command{
		Use:   name + " HOST...",
		Short: short,
		Args:  cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, hosts []string) error {
			l, err := lab.Open(a.dir)
			if err != nil {
				return err
			}
			var errs []error
			for _, h := range hosts {
				errs = append(errs, do(l, c.Context(), h))
			}
			return errors.Join(errs...)
		},
	}
}

func (a *app) slowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "slow HOST RATE",
		Short: "Bound the link of a host, each way: 1mbit, 500kbit, or none for no bound",
		Args:  cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			l, err := lab.Open(a.dir)
			if err != nil {
				return err
			}
			rate := args[1]
			if rate == "none" {
				rate = ""
			}
			return l.Slow(c.Context(), args[0], rate)
		},
	}
}

func (a *app) delayCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "delay HOST DURATION",
		Short: "Make round trips over the link of a host take longer: 200ms; 0s for no longer",
		Args:  cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			l, err := lab.Open(a.dir)
			if err != nil {
				return err
			}
			d, err := time.ParseDuration(args[1])
			if err != nil {
				return errUsage{err}
			}
			return l.Delay(c.Context(), args[0], d)
		},
	}
}

func (a *app) skewCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "skew HOST DURATION",
		Short: "Set the clock of a host wrong: 1h is ahead, -1h behind; 0s for right (needs libfaketime)",
		Long: `Sets the wall clock of a host wrong, for what runs in new sessions of its sshd and under exec.
Programs that do not ask libc, such as Go's, see the right time, and the times that the
kernel puts on files stay right.`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			l, err := lab.Open(a.dir)
			if err != nil {
				return err
			}
			d, err := time.ParseDuration(args[1])
			if err != nil {
				return errUsage{err}
			}
			return l.Skew(c.Context(), args[0], d)
		},
	}
	c.Flags().SetInterspersed(false) // -1h is no flag
	return c
}

func (a *app) execCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "exec HOST -- COMMAND [ARGUMENT...]",
		Short: "Run a command on a host, as root, on this terminal",
		Long: `Runs a command on a host, as root and in the current directory, and ends as it does.
Signals are handed on. Where FLEETSYNC_CONFIG is not set it is the lab's.`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			l, err := lab.Open(a.dir)
			if err != nil {
				return err
			}
			host, argv := args[0], args[1:]
			if argv[0] == "--" { // the parser leaves what follows the host alone
				argv = argv[1:]
			}
			if len(argv) == 0 {
				return errUsage{errors.New("exec needs a command")}
			}
			return l.Become(host, argv...)
		},
	}
	c.Flags().SetInterspersed(false) // what comes after the host is the command's
	return c
}
