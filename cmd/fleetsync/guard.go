package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report"
	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/guard"
	"github.com/fleetsync/fleetsync/orchestrator/manifest"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/transport"
)

// treeAt returns the tree of a master, or of a host that a lost one is rebuilt from. One that is on this machine is read directly, which is faster than what
// programs print.
func (s *setup) treeAt(name string) (guard.Tree, error) {
	host, ok := s.fleet.Host(name)
	if !ok {
		return nil, fmt.Errorf("%s is not in the inventory", name)
	}
	t, err := s.asker().Tree(name)
	if err != nil {
		return nil, err
	}
	if host.Connection == inventory.ConnectionLocal && host.Become == "" {
		return &guard.Local{Root: t.Root, Exclude: t.Exclude}, nil
	}
	return t, nil
}

// scan finds out what a master holds. What did not change since the last scan is not read again, unless full.
func (s *setup) scan(ctx context.Context, master string, full bool) (guard.Tree, *manifest.Manifest, error) {
	t, err := s.treeAt(master)
	if err != nil {
		return nil, nil, err
	}
	path := s.store.ScanPath(master)
	previous, err := manifest.Load(path)
	if err != nil {
		previous = nil // it only saves time
	}
	m, _, err := guard.Scan(ctx, t, previous, full, s.policy.Guard.Sparse)
	if err != nil {
		return t, nil, err
	}
	// Before the fleet's first run there is no folder to keep it in, and who only looks does not make one.
	if err := os.Mkdir(filepath.Dir(path), 0o755); err == nil || errors.Is(err, fs.ErrExist) {
		_ = manifest.Save(path, m) // likewise
	}
	return t, m, nil
}

// treeOf says what a manifest is, as far as a run is about it: the whole of it, or some paths.
func treeOf(m *manifest.Manifest, paths []string) *rollout.Tree {
	files, bytes := m.Count()
	return &rollout.Tree{Fingerprint: m.Fingerprint(), Digest: m.Digest(paths), Files: files, Bytes: bytes}
}

// rules returns what the policy asks of a master's tree.
func (s *setup) rules() (guard.Rules, error) {
	g := s.policy.Guard
	r := guard.Rules{
		MaxShrink: g.MaxShrink.BasisPoints, Provisioned: g.Provisioned,
		SkipGit: !g.Git, Untracked: g.Untracked, Sparse: g.Sparse,
	}
	for _, f := range g.Required {
		required := guard.Required{Path: f.Path}
		if f.Match != "" {
			match, err := regexp.Compile(f.Match)
			if err != nil {
				return r, fail(exitInvalid, fmt.Errorf("guard: required: %s: %w", f.Path, err), "")
			}
			required.Match = match
		}
		r.Required = append(r.Required, required)
	}
	return r, nil
}

// owners returns the user IDs that may own what is in a master's tree, as that master knows their names.
func (s *setup) owners(ctx context.Context, master string) ([]uint32, error) {
	if _, ok := s.fleet.Host(master); !ok || len(s.policy.Guard.Owners) == 0 {
		return nil, nil
	}
	conn, err := s.asker().Dial(master)
	if err != nil {
		return nil, err
	}
	var ids []uint32
	for _, name := range s.policy.Guard.Owners {
		id, err := strconv.ParseUint(name, 10, 32)
		if err == nil {
			ids = append(ids, uint32(id))
			continue
		}
		r, err := conn.Run(ctx, transport.Command{Args: []string{"id", "-u", "--", name}})
		if err != nil {
			return nil, err
		}
		if id, err = strconv.ParseUint(strings.TrimSpace(string(r.Stdout)), 10, 32); r.ExitCode != 0 || err != nil {
			return nil, fmt.Errorf("%s knows no user %s", master, quoted(name))
		}
		ids = append(ids, uint32(id))
	}
	return ids, nil
}

// lastGood returns what the last good full run put on its hosts, of those that nobody has taken back; nil if none is known.
func (a *app) lastGood(s *setup) *guard.Last {
	runs, err := s.store.Runs()
	if err != nil {
		return nil
	}
	undone := map[string]bool{}
	for _, run := range runs[:min(len(runs), maxTold)] {
		r, err := a.read(s, run)
		if err != nil {
			continue
		}
		undone[r.State.Plan.Undoes] = true
		if good(r.State) && !undone[run] {
			t := r.State.Plan.Tree
			return &guard.Last{Files: t.Files, Bytes: t.Bytes}
		}
	}
	return nil
}

// good says whether a run put its whole tree on the fleet.
func good(s *rollout.State) bool {
	o := s.Finished()
	if o == nil || s.Plan.Tree == nil || len(s.Plan.Paths) > 0 || s.Plan.Mode == inventory.ModeCanary || s.Plan.Mode == rollout.ModeMasters {
		return false
	}
	return o.Result == rollout.ResultDone || o.Result == rollout.ResultFailed
}

// errRefused is that the guard does not let something begin.
var errRefused = errors.New("refused by the guard")

// inspection is what the guard has found on a master.
type inspection struct {
	master   string
	manifest *manifest.Manifest
	guard.Report
}

// inspect scans a master, holds it against the policy's rules, and tells people what was found.
func (a *app) inspect(ctx context.Context, s *setup, master string, o runOptions) (*manifest.Manifest, error) {
	found, err := a.examine(ctx, s, master, o)
	if err != nil {
		return nil, err
	}
	return found.manifest, a.judge(found, o)
}

// examine finds out what the guard has against a master, and tells nobody.
func (a *app) examine(ctx context.Context, s *setup, master string, o runOptions) (*inspection, error) {
	t, m, err := s.scan(ctx, master, o.full)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fail(exitGuard, fmt.Errorf("the tree of %s cannot be read: %w", master, err), a.command()+" masters status")
	}
	rules, err := s.rules()
	if err != nil {
		return nil, err
	}
	if !s.isMaster(master) { // what a master must have beside the tree, a host need not
		rules.Provisioned, rules.SkipGit = "", true
	} else if rules.Owners, err = s.owners(ctx, master); err != nil {
		return nil, fail(exitGuard, fmt.Errorf("guard: owners: %w", err), "")
	}
	found, err := guard.Inspect(ctx, t, m, rules, a.lastGood(s))
	if err != nil {
		return nil, fail(exitGuard, fmt.Errorf("the tree of %s cannot be judged: %w", master, err), a.command()+" masters status")
	}
	more, err := s.leftHalfWay(ctx, master, m)
	if err != nil {
		return nil, fail(exitGuard, fmt.Errorf("%s cannot be asked what it knows of its tree: %w", master, err), "")
	}
	found.Refusals = append(found.Refusals, more...)
	return &inspection{master, m, found}, nil
}

// judge tells people what was found. Refusals are an error, which says how many there are, unless they are overridden.
func (a *app) judge(found *inspection, o runOptions) error {
	refused := len(found.Refusals) > 0 && o.override == ""
	if a.json && refused {
		if err := printJSON(a.stdout, refusal{Refused: "guard", Master: found.master, Refusals: found.Refusals, Warnings: found.Warnings}); err != nil {
			return err
		}
	}
	report.Guard(a.stderr, found.master, findings(found.Refusals), findings(found.Warnings), o.override)
	if refused {
		return fail(exitGuard, fmt.Errorf("%w: %s may not be synced from as it is", errRefused, found.master),
			`mend it, or go on with --override "REASON"`)
	}
	return nil
}

// refusal is what --json tells of what the guard does not let begin.
type refusal struct {
	Refused  string          `json:"refused"` // guard or deletions
	Master   string          `json:"master"`
	Refusals []guard.Finding `json:"refusals,omitempty"`
	Warnings []guard.Finding `json:"warnings,omitempty"`
	Delta    *rollout.Delta  `json:"delta,omitempty"`
	Confirm  int             `json:"confirm,omitempty"` // the number of deletions that would have to be confirmed
}

// leftHalfWay says what a host's own record has against its tree: a sync or an undo that did not end well has left it as
// nobody wanted it; and a host that a lost tree is rebuilt from must hold what a run left there.
func (s *setup) leftHalfWay(ctx context.Context, name string, m *manifest.Manifest) ([]guard.Finding, error) {
	last, err := s.asker().Record(ctx, name)
	if err != nil || last == nil {
		return nil, err
	}
	run := transport.Neutral(last.Run)
	switch {
	case last.Partial:
		return []guard.Finding{{Rule: "partial", Text: "run " + run + " has changed the tree and did not end well: nobody knows what it is", Hint: "put back what it had, or sync it again"}}, nil
	case !s.isMaster(name) && len(last.Paths) == 0 && last.Digest != "" && last.Digest != m.Digest(nil):
		return []guard.Finding{{Rule: "drift", Text: "the tree is not what run " + run + " left there", Hint: "fleetsync verify names what drifted; take another host"}}, nil
	}
	return nil, nil
}

func findings(found []guard.Finding) []report.Finding {
	out := make([]report.Finding, len(found))
	for i, f := range found {
		out[i] = report.Finding{Rule: string(f.Rule), Path: f.Path, Text: f.Text, Hint: f.Hint}
	}
	return out
}

// saveManifest keeps the manifest of the tree that a run puts on its hosts, which says later what drifted.
func (s *setup) saveManifest(run string, m *manifest.Manifest) error {
	if err := manifest.Save(s.store.ManifestPath(run), m); err != nil {
		return fail(exitJournal, fmt.Errorf("the manifest cannot be kept: %w", err), stateHint)
	}
	return nil
}

// pruneManifests deletes the manifests that nobody needs any more: those of runs that are not among the newest, and
// that left no host as it is.
func (a *app) pruneManifests(s *setup) {
	runs, err := s.store.Runs()
	if err != nil || len(runs) <= s.policy.Keep.Manifests {
		return
	}
	trees, _, err := a.trees(s)
	if err != nil {
		return
	}
	needed := map[string]bool{}
	for _, h := range s.fleet.Hosts {
		needed[trees.Of(h.Name).Run] = true
	}
	left := s.policy.Keep.Manifests
	counts := func(i int, run string) bool {
		if i == 0 {
			return true // it is of the run that has just ended, good or not
		}
		r, err := a.read(s, run)
		return err == nil && good(r.State)
	}
	for i, run := range runs {
		if _, err := os.Stat(s.store.ManifestPath(run)); err != nil {
			continue
		}
		if left > 0 && counts(i, run) {
			left--
			continue
		}
		if !needed[run] {
			if err := os.Remove(s.store.ManifestPath(run)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				a.say().Warn("an old manifest cannot be deleted: %v", err)
			}
		}
	}
}
