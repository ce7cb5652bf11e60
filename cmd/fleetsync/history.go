package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report"
	"github.com/fleetsync/fleetsync/orchestrator/journal"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/session"
)

// runView is a run as --json shows it.
type runView struct {
	Run      string               `json:"run"`
	Mode     string               `json:"mode"`
	Standing string               `json:"standing"` // running, finished or died
	Stage    string               `json:"stage,omitempty"`
	Held     []string             `json:"held,omitempty"` // out of their pools because of the run
	Running  []rollout.Running    `json:"running,omitempty"`
	Outcome  rollout.Outcome      `json:"outcome"`
	Hosts    []rollout.HostReport `json:"hosts,omitempty"`
	Journal  string               `json:"journal"`

	Elsewhere *session.Others `json:"elsewhere,omitempty"`
}

func view(r report.RunReport) runView {
	s := r.State
	v := runView{
		Run: s.Plan.Run, Mode: string(s.Plan.Mode), Standing: "died", Held: s.Held(), Running: s.Running(),
		Outcome: s.Outcome(), Journal: r.Journal,
	}
	if stage, _, ok := s.Stage(); ok {
		v.Stage = stage.Name
	}
	switch finished := s.Finished(); {
	case finished != nil:
		v.Standing, v.Outcome = "finished", *finished
	case r.Alive:
		v.Standing = "running"
	}
	return v
}

// read returns where a run of the store stands.
func (a *app) read(s *setup, run string) (report.RunReport, error) {
	alive := s.store.Alive(run) // before the journal is read: what ended in between has ended
	state, err := s.history().Run(run)
	if err != nil {
		return report.RunReport{}, err
	}
	return report.RunReport{
		State: state, Alive: alive, Journal: s.store.JournalPath(run), Log: s.store.LogPath(run), Command: a.command(),
	}, nil
}

// find returns the one run of this machine whose name is or begins with a name.
func (s *setup) find(name string) (string, error) {
	run, err := s.store.Find(name)
	if err != nil {
		return "", noRunError{err}
	}
	return run, nil
}

func (a *app) historyCommand() *cobra.Command {
	most := 20
	c := &cobra.Command{
		Use:     "history",
		GroupID: groupSee,
		Short:   "List the runs of the fleet, newest first",
		Long:    "List the runs of the fleet that this machine knows, newest first: they are read from\ntheir journals.\n\n" + exitCodes,
		Example: "  fleetsync history\n  fleetsync history --most 100 --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if most < 1 {
				return usage(errors.New("--most must be at least 1"), "")
			}
			s, err := a.load()
			if err != nil {
				return err
			}
			runs, err := session.Journals{Store: s.store}.Runs()
			if err != nil {
				return err
			}
			var reports []report.RunReport
			var bad error
			for _, run := range runs[:min(len(runs), most)] {
				r, err := a.read(s, run)
				if err != nil {
					bad = errors.Join(bad, err) // the others are still worth showing
					continue
				}
				reports = append(reports, r)
			}
			if !a.json {
				report.History(a.stdout, reports)
				return bad
			}
			for _, r := range reports {
				if err := printJSON(a.stdout, view(r)); err != nil {
					return err
				}
			}
			return bad
		},
	}
	c.Flags().IntVar(&most, "most", most, "list at most this many `runs`")
	return c
}

// completeRuns lists the runs for a shell's completion.
func (a *app) completeRuns(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	s, err := a.load()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	runs, _ := s.store.Runs() // completion has nobody to tell
	return runs, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) showCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show RUN",
		GroupID: groupSee,
		Short:   "Show all about one run: where every host stands and why",
		Long: `Show all about one run, from its journal: its outcome, every host, what to type
next. RUN may be shortened as long as it is one run. With --json its events are
printed as they are in the journal.

` + exitCodes,
		Example:           "  fleetsync show 20260203-1412\n  fleetsync show 20260203-141205-9f3c --json",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeRuns,
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := a.load()
			if err != nil {
				return err
			}
			run, err := s.find(args[0])
			if err != nil {
				return err
			}
			if a.json {
				events, err := journal.Read(s.store.JournalPath(run))
				if err != nil {
					return err
				}
				return printJSON(a.stdout, events...)
			}
			r, err := a.read(s, run)
			if err != nil {
				return err
			}
			report.Run(a.stdout, r)
			report.RunHosts(a.stdout, r)
			return nil
		},
	}
}
