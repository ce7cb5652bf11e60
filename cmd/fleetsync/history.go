package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report"
	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/journal"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/session"
)

// runView is a run as --json shows it: the snapshot, and what is known beside it. It is documented in docs/snapshot.md.
type runView struct {
	*rollout.Snapshot
	Journal    string              `json:"journal"`
	Trees      []rollout.LastTree  `json:"trees,omitempty"`      // what is last known of every host, in the fleet's order
	Quarantine *session.Quarantine `json:"quarantine,omitempty"` // who is in it now; nil: there is no shared store
	Elsewhere  *session.Others     `json:"elsewhere,omitempty"`  // what other masters do; nil: there is no shared store
}

// pastView is a run in the list that history prints with --json.
type pastView struct {
	Run      string              `json:"run"`
	Fleet    string              `json:"fleet,omitempty"`
	Mode     inventory.Mode      `json:"mode,omitempty"`
	Standing rollout.RunStanding `json:"standing,omitempty"`
	Began    time.Time           `json:"began,omitzero"`
	Stage    string              `json:"stage,omitempty"`
	Held     []string            `json:"held,omitempty"`
	Running  []*rollout.Flight   `json:"running,omitempty"`
	Counts   *rollout.Counts     `json:"counts,omitempty"`
	Outcome  *rollout.Outcome    `json:"outcome,omitempty"`
	Journal  string              `json:"journal"`
	Error    string              `json:"error,omitempty"` // why the journal cannot be read; then no more is known of the run than its name
}

// read returns where a run of the store stands.
func (a *app) read(s *setup, run string) (report.RunReport, error) {
	alive := s.store.Alive(run) // before the journal is read: what ended in between has ended
	state, err := s.history().Run(run)
	if err != nil {
		return report.RunReport{}, err
	}
	now := state.Snapshot()
	if !alive {
		now = now.Died()
	}
	return report.RunReport{Now: now, Journal: s.store.JournalPath(run), Log: s.store.LogPath(run), Command: a.command()}, nil
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
			return a.history(s, runs[:min(len(runs), most)])
		},
	}
	c.Flags().IntVar(&most, "most", most, "list at most this many `runs`")
	return c
}

// history lists runs, those that cannot be read among them. The error says what is wrong with these.
func (a *app) history(s *setup, runs []string) error {
	var all []report.Past
	var bad error
	for _, run := range runs {
		r, err := a.read(s, run)
		past := report.Past{Run: run, Now: r.Now}
		if err != nil {
			past.Unread = unread(err)
			bad = errors.Join(bad, err)
		}
		all = append(all, past)
	}
	if !a.json {
		report.History(a.stdout, all)
		return bad
	}
	for _, past := range all {
		v := pastView{Run: past.Run, Journal: s.store.JournalPath(past.Run), Error: past.Unread}
		if now := past.Now; now != nil {
			v.Fleet, v.Mode, v.Standing, v.Began, v.Stage = now.Fleet, now.Mode, now.Standing, now.Began, now.Stage
			v.Held, v.Running, v.Counts, v.Outcome = now.Held, now.Running, &now.Counts, &now.Outcome
		}
		if err := printJSON(a.stdout, v); err != nil {
			return err
		}
	}
	return bad
}

// unread says why a journal cannot be read, without its path.
func unread(err error) string {
	if newer, ok := errors.AsType[*journal.NewerError](err); ok {
		return newer.Reason()
	}
	if corrupt, ok := errors.AsType[*journal.CorruptError](err); ok {
		return fmt.Sprintf("corrupt: line %d: %v", corrupt.Line, corrupt.Err)
	}
	if other, ok := errors.AsType[*session.JournalError](err); ok {
		return other.Err.Error()
	}
	return err.Error()
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
	events := false
	c := &cobra.Command{
		Use:     "show RUN",
		GroupID: groupSee,
		Short:   "Show all about one run: where every host stands and why",
		Long: `Show all about one run, from its journal: its outcome, every host, what to type
next. RUN may be shortened as long as it is one run. With --json all of it is one
JSON object, as docs/snapshot.md describes it; --events prints the run's events
instead, as they are in the journal, one JSON object a line.

` + exitCodes,
		Example:           "  fleetsync show 20260203-1412\n  fleetsync show 20260203-141205-9f3c --json\n  fleetsync show 20260203-1412 --events",
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
			if events {
				return a.showEvents(s, run)
			}
			r, err := a.read(s, run)
			if err != nil {
				return err
			}
			if a.json {
				return printJSON(a.stdout, runView{Snapshot: r.Now, Journal: r.Journal})
			}
			report.Run(a.stdout, r)
			report.RunHosts(a.stdout, r)
			return nil
		},
	}
	c.Flags().BoolVar(&events, "events", false, "print the run's events, one JSON object a line")
	return c
}

// showEvents prints the events of a run as they are in its journal.
func (a *app) showEvents(s *setup, run string) error {
	events, err := journal.Read(s.store.JournalPath(run))
	if err != nil {
		return err
	}
	for _, e := range events {
		if err := printJSON(a.stdout, e); err != nil {
			return err
		}
	}
	return nil
}
