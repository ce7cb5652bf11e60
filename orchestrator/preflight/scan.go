package preflight

import (
	"context"
	"fmt"
	"regexp"
	"strconv"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/guard"
	"github.com/fleetsync/fleetsync/orchestrator/manifest"
)

// scan finds out what a tree holds. What did not change since the last scan is not read again, unless full.
func (s Sources) scan(ctx context.Context, host string, full bool) (guard.Tree, *manifest.Manifest, error) {
	t, err := s.Trees.Tree(host)
	if err != nil {
		return nil, nil, err
	}
	m, _, err := guard.Scan(ctx, t, s.Trees.Scanned(host), full, s.Policy.Guard.Sparse)
	if err != nil {
		return t, nil, err
	}
	s.Trees.Keep(host, m)
	return t, m, nil
}

// origin finds out what the guard has against the tree of a master, or of a host that a lost one is rebuilt from.
func (s Sources) origin(ctx context.Context, host string, full bool) *Origin {
	t, m, err := s.scan(ctx, host, full)
	if err != nil {
		return &Origin{Failed: TreeUnread, Err: err}
	}
	o := &Origin{Manifest: m}
	fail := func(kind Kind, err error) *Origin {
		o.Failed, o.Err = kind, err
		return o
	}
	rules, err := rulesOf(s.Policy.Guard)
	if err != nil {
		return fail(BadRule, err)
	}
	if _, master := s.Fleet.Master(host); !master { // what a master must have beside the tree, a host need not
		rules.Provisioned, rules.SkipGit = "", true
	} else if rules.Owners, err = s.owners(ctx, host); err != nil {
		return fail(OwnersUnknown, err)
	}
	if o.Report, err = guard.Inspect(ctx, t, m, rules, s.History.LastGood()); err != nil {
		return fail(TreeUnjudged, err)
	}
	if o.Record, err = s.Hosts.Record(ctx, host); err != nil {
		return fail(RecordUnread, err)
	}
	return o
}

// rulesOf returns what a policy asks of a master's tree.
func rulesOf(g inventory.Guard) (guard.Rules, error) {
	r := guard.Rules{
		MaxShrink: g.MaxShrink.BasisPoints, Provisioned: g.Provisioned,
		SkipGit: !g.Git, Untracked: g.Untracked, Sparse: g.Sparse,
	}
	for _, f := range g.Required {
		required := guard.Required{Path: f.Path}
		if f.Match != "" {
			match, err := regexp.Compile(f.Match)
			if err != nil {
				return r, fmt.Errorf("%s: %w", f.Path, err)
			}
			required.Match = match
		}
		r.Required = append(r.Required, required)
	}
	return r, nil
}

// owners returns the user IDs that may own what is in a master's tree, as that master knows their names.
func (s Sources) owners(ctx context.Context, master string) ([]uint32, error) {
	var ids []uint32
	for _, name := range s.Policy.Guard.Owners {
		id, err := strconv.ParseUint(name, 10, 32)
		if err != nil {
			known, err := s.Trees.UserID(ctx, master, name)
			if err != nil {
				return nil, err
			}
			id = uint64(known)
		}
		ids = append(ids, uint32(id))
	}
	return ids, nil
}
