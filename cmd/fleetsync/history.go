package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report"
	"github.com/fleetsync/fleetsync/orchestrator/journal"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
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

	Elsewhere *elsewhere `json:"elsewhere,omitempty"`
}

// statusView is what status tells with --json.
type statusView struct {
	runView
	Trees      []rollout.LastTree `json:"trees,omitempty"`      // what is last known of every host, in the fleet's order
	Quarantine *quarantine        `json:"quarantine,omitempty"` // who is in it now; nil: there is no shared store
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
	events, err := journal.Read(s.store.JournalPath(run))
	if err != nil {
		return report.RunReport{}, fail(exitJournal, err, "fleetsync history")
	}
	state, err := journal.Fold(events)
	if err != nil {
		return report.RunReport{}, fail(exitJournal, fmt.Errorf("%s: %w", s.store.JournalPath(run), err), "fleetsync history")
	}
	return report.RunReport{State: state, Alive: alive, Journal: s.store.JournalPath(run), Log: s.store.LogPath(run), Command: a.command()}, nil
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
			runs, err := s.store.Runs()
			if err != nil {
				return fail(exitJournal, err, "")
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
		Use:               "show RUN",
		GroupID:           groupSee,
		Short:             "Show all about one run: where every host stands and why",
		Long:              "Show all about one run, from its journal: its outcome, every host, what to type\nnext. RUN may be shortened as long as it is one run. With --json its events are\nprinted as they are in the journal.\n\n" + exitCodes,
		Example:           "  fleetsync show 20260203-1412\n  fleetsync show 20260203-141205-9f3c --json",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeRuns,
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := a.load()
			if err != nil {
				return err
			}
			run, err := s.store.Find(args[0])
			if err != nil {
				return fail(exitJournal, err, "fleetsync history")
			}
			if a.json {
				events, err := journal.Read(s.store.JournalPath(run))
				if err != nil {
					return fail(exitJournal, err, "")
				}
				for _, e := range events {
					if err := printJSON(a.stdout, e); err != nil {
						return err
					}
				}
				return nil
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

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		GroupID: groupSee,
		Short:   "Show where the current or last run stands, and what every host holds",
		Long: `Show where the current or last run stands: its stage, its hosts, what is out of
its pools, and what to type next; what is last known of every host's tree, by the
journals of this machine; which hosts are in quarantine now, by receipts and
pools; and what other masters have not finished.

` + exitCodes,
		Example: "  fleetsync status\n  watch -n 2 fleetsync status",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := a.load()
			if err != nil {
				return err
			}
			runs, err := s.store.Runs()
			if err != nil {
				return fail(exitJournal, err, "")
			}
			others, outcasts := s.elsewhere(c.Context())
			if len(runs) == 0 {
				if a.json {
					return printJSON(a.stdout, statusView{runView: runView{Elsewhere: others}, Quarantine: outcasts})
				}
				report.Status(a.stdout, nil)
				outcasts.print(a.stdout, a.command(), nil)
				others.print(a.stdout, outcasts)
				return nil
			}
			r, err := a.read(s, runs[0])
			if err != nil {
				return err
			}
			var last []rollout.LastTree
			trees, newest, err := a.trees(s)
			if err != nil { // the run itself is worth showing all the same
				a.say().Warn("%v", err)
			} else {
				for _, h := range s.fleet.Hosts {
					if !s.isMaster(h.Name) {
						last = append(last, trees.Of(h.Name))
					}
				}
			}
			if a.json {
				v := statusView{runView: view(r), Trees: last, Quarantine: outcasts}
				v.Hosts, v.Elsewhere = r.State.Report(), others
				return printJSON(a.stdout, v)
			}
			report.Status(a.stdout, &r)
			if newest != nil {
				report.Trees(a.stdout, last, newest.Tree, newest.Run, a.command())
			}
			outcasts.print(a.stdout, a.command(), view(r).Outcome.Quarantined)
			others.print(a.stdout, outcasts)
			return nil
		},
	}
}
