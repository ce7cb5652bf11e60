package main

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report"
	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/session"
)

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
		RunE:    func(c *cobra.Command, _ []string) error { return a.status(c.Context()) },
	}
}

func (a *app) status(ctx context.Context) error {
	s, err := a.load()
	if err != nil {
		return err
	}
	runs, err := session.Journals{Store: s.store}.Runs()
	if err != nil {
		return err
	}
	c, err := a.session(s)
	if err != nil {
		return err
	}
	others, quarantine := c.Others(ctx)
	if len(runs) == 0 {
		if a.json {
			return printJSON(a.stdout, runView{Snapshot: &rollout.Snapshot{}, Elsewhere: others, Quarantine: quarantine})
		}
		report.Status(a.stdout, nil)
		printQuarantine(a.stdout, quarantine, a.command(), nil)
		printOthers(a.stdout, others, quarantine)
		return nil
	}
	r, err := a.read(s, runs[0])
	if err != nil {
		return err
	}
	var last []rollout.LastTree
	known, err := s.history().Known()
	if err != nil { // the run itself is worth showing all the same
		a.say().Warn("%v", err)
	} else {
		for _, h := range s.fleet.Hosts {
			if !s.isMaster(h.Name) {
				last = append(last, known.Trees.Of(h.Name))
			}
		}
	}
	if a.json {
		return printJSON(a.stdout, runView{Snapshot: r.Now, Journal: r.Journal, Trees: last, Quarantine: quarantine, Elsewhere: others})
	}
	report.Status(a.stdout, &r)
	if known != nil && known.Newest != nil {
		report.Trees(a.stdout, last, known.Newest, known.NewestRun, a.command())
	}
	printQuarantine(a.stdout, quarantine, a.command(), r.Now.Outcome.Quarantined)
	printOthers(a.stdout, others, quarantine)
	return nil
}

// printOthers tells what other masters do.
func printOthers(w io.Writer, o *session.Others, q *session.Quarantine) {
	if o == nil {
		return
	}
	say := printer{w}.Say
	switch {
	case o.Error != "" && !q.Asked:
		say("other masters, and who is in quarantine: the shared store does not tell: %s", o.Error)
	case o.Error != "":
		say("other masters: the shared store does not tell: %s", o.Error)
	}
	if o.Lock != nil {
		who := "run " + o.Lock.Run
		if o.Lock.Run == "" {
			who = o.Lock.Owner
		}
		say("lock: held by %s on %s since %sZ: %s", who, o.Lock.Host, o.Lock.Since.UTC().Format(time.DateTime), o.Lock.Reason)
	}
	for _, r := range o.Unfinished {
		since := r.Since.UTC().Format(time.DateTime)
		say("other masters: run %s (%s) of %s on %s, since %sZ, has not finished", r.Run, r.Mode, r.Owner, r.Machine, since)
	}
	for _, out := range o.Out {
		say("other masters: %s is out: %s", out.Host, out.Error)
	}
}

// maxQuarantines bounds the lines about who is in quarantine.
const maxQuarantines = 10

// printQuarantine tells who is in quarantine, a line for each run that took hosts out, and what puts them back; and who of those that
// a run said are in it is there no more.
func printQuarantine(w io.Writer, q *session.Quarantine, command string, said []rollout.Named) {
	if q == nil || !q.Asked {
		return
	}
	say := printer{w}.Say
	if q.Error != "" {
		say("quarantine: the pools do not tell who is in it: %s", q.Error)
		return
	}
	var left []string
	for _, n := range said {
		if !slices.ContainsFunc(q.Hosts, func(h session.QuarantinedHost) bool { return h.Host == n.Host }) {
			left = append(left, n.Host)
		}
	}
	if len(left) > 0 {
		say("quarantine: not in it any more: %s", inventory.FoldNames(left))
	}
	type group struct {
		session.QuarantinedHost
		hosts []string
	}
	var groups []group
	for _, h := range q.Hosts {
		// Hosts of one run are beside each other. One that partly serves has a line to itself.
		if n := len(groups); n > 0 && groups[n-1].Run == h.Run && len(h.In)+len(groups[n-1].In) == 0 {
			groups[n-1].hosts = append(groups[n-1].hosts, h.Host)
			continue
		}
		groups = append(groups, group{h, []string{h.Host}})
	}
	for i, g := range groups {
		if i == maxQuarantines {
			say("quarantine: and hosts of %d runs more", len(groups)-i)
			break
		}
		what := "out of the pools"
		if len(g.In) > 0 {
			what = "out of " + strings.Join(g.Out, ", ") + ", but in " + strings.Join(g.In, ", ")
		}
		since := g.Since.UTC().Format("2006-01-02 15:04")
		say("quarantine: %s: %s since run %s of %sZ: no good tree", inventory.FoldNames(g.hosts), what, g.Run, since)
	}
	if len(groups) > 0 {
		say("  %s sync --behind  # puts back those that have a good tree then", command)
	}
}
