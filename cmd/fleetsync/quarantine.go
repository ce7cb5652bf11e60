package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/transport"
)

// outcast is a host that is out of pools because it had no good tree, as --json shows it.
type outcast struct {
	Host    string    `json:"host"`
	Run     string    `json:"run"` // that took it out
	Machine string    `json:"machine,omitempty"`
	Since   time.Time `json:"since"`
	Out     []string  `json:"out"`          // its objects that the run took out
	In      []string  `json:"in,omitempty"` // those that serve
}

// quarantine is who is in quarantine now, whatever runs said when they ended.
type quarantine struct {
	Hosts []outcast `json:"hosts"`           // null: nobody can tell
	Error string    `json:"error,omitempty"` // why it cannot be told; empty: those are all
	asked bool      // the pools were; else what keeps the shared store from telling anything is told once, for all
}

func (q *quarantine) ask(ctx context.Context, s *setup, shared *pooling.Shared) {
	receipts, err := shared.Receipts(ctx)
	hosts, _, err := s.inQuarantine(ctx, receipts, err)
	if err != nil {
		q.Error = err.Error()
		return
	}
	q.Hosts = []outcast{}
	for _, c := range hosts {
		q.Hosts = append(q.Hosts, outcast{Host: c.Host, Run: c.Run, Machine: c.Machine, Since: c.Since, Out: keys(c.Out), In: keys(c.In)})
	}
}

func keys(objects []pooling.Object) []string {
	var keys []string
	for _, o := range objects {
		keys = append(keys, o.Key)
	}
	return keys
}

// print tells people who is in quarantine, a line for each run that took hosts out, and what puts them back; and who of those that a
// run said are in it is there no more.
func (q *quarantine) print(w io.Writer, command string, said []rollout.Named) {
	if q == nil || !q.asked {
		return
	}
	say := func(format string, args ...any) {
		_, _ = fmt.Fprintln(w, transport.Neutral(fmt.Sprintf(format, args...)))
	}
	if q.Error != "" {
		say("quarantine: the pools do not tell who is in it: %s", q.Error)
		return
	}
	var left []string
	for _, n := range said {
		if !slices.ContainsFunc(q.Hosts, func(o outcast) bool { return o.Host == n.Host }) {
			left = append(left, n.Host)
		}
	}
	if len(left) > 0 {
		say("quarantine: not in it any more: %s", inventory.FoldNames(left))
	}
	type group struct {
		outcast
		hosts []string
	}
	var groups []group
	for _, o := range q.Hosts {
		// Hosts of one run are beside each other. One that partly serves has a line to itself.
		if n := len(groups); n > 0 && groups[n-1].Run == o.Run && len(o.In)+len(groups[n-1].In) == 0 {
			groups[n-1].hosts = append(groups[n-1].hosts, o.Host)
			continue
		}
		groups = append(groups, group{o, []string{o.Host}})
	}
	for i, g := range groups {
		if i == maxCasts {
			say("quarantine: and hosts of %d runs more", len(groups)-i)
			break
		}
		what := "out of the pools"
		if len(g.In) > 0 {
			what = "out of " + strings.Join(g.Out, ", ") + ", but in " + strings.Join(g.In, ", ")
		}
		say("quarantine: %s: %s since run %s of %sZ: no good tree", inventory.FoldNames(g.hosts), what, g.Run, g.Since.UTC().Format("2006-01-02 15:04"))
	}
	if len(groups) > 0 {
		say("  %s sync --behind  # puts back those that have a good tree then", command)
	}
}

// maxCasts bounds the lines about who is in quarantine.
const maxCasts = 10

// inQuarantine returns the hosts that are in quarantine now, by receipts and pools, sorted by run and host; and the receipts that say so of
// hosts that are not. All receipts are given, or what was the matter with them.
func (s *setup) inQuarantine(ctx context.Context, all []pooling.Receipt, unread error) (outcasts []pooling.Outcast, over []pooling.Receipt, err error) {
	receipts, err := pooling.Quarantines(all, unread)
	if err != nil || len(receipts) == 0 {
		return nil, nil, err
	}
	pools, err := s.pools()
	if err != nil || pools == nil {
		return nil, nil, err
	}
	defer pools.Close()
	snapshot, err := pools.Pools(ctx)
	if err != nil {
		return nil, nil, err
	}
	outcasts, over = snapshot.Outcasts(receipts)
	return outcasts, over, nil
}

// quarantined returns the hosts that are in quarantine, and the runs that took them out.
func (s *setup) quarantined(ctx context.Context) (map[string]string, error) {
	shared, err := s.shared()
	if err != nil || shared == nil {
		return nil, err
	}
	defer shared.Close()
	receipts, err := shared.Receipts(ctx)
	all, _, err := s.inQuarantine(ctx, receipts, err)
	if err != nil {
		return nil, fail(exitInvalid, fmt.Errorf("it cannot be read which hosts are in quarantine: %w", err), "nothing was touched")
	}
	hosts := map[string]string{}
	for _, c := range all {
		hosts[c.Host] = transport.Neutral(c.Run)
	}
	return hosts, nil
}
