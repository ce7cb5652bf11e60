package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/manifest"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/tree"
	"github.com/fleetsync/fleetsync/transport"
)

// TreeOf returns the tree of a host: on a master it is where it is taken from, on any other host where
// it is put.
func TreeOf(fleet *inventory.Fleet, host inventory.Host, conn transport.Conn) tree.Tree {
	root := host.Destination
	if _, master := fleet.Master(host.Name); master {
		root = host.Source
	}
	return tree.Tree{Conn: conn, Root: root, Scratch: host.Scratch, Exclude: fleet.Tree.Exclude}
}

// treeOn connects to a host and returns its tree.
func (h *Hands) treeOn(name string) (tree.Tree, error) {
	hosts, err := h.hosts(name)
	if err != nil {
		return tree.Tree{}, err
	}
	conn, err := h.conn(h.Dialer, hosts[0])
	if err != nil {
		return tree.Tree{}, err
	}
	return TreeOf(h.Fleet, hosts[0], conn), nil
}

// lookTimeout bounds one look at a master: a tree of 200,000 files takes less than a second.
const lookTimeout = 2 * time.Minute

// look compares what a master holds with the run's tree.
func (h *Hands) look(ctx context.Context, step rollout.Step) rollout.Event {
	t, err := h.treeOn(step.Host)
	if err != nil {
		return failure(rollout.Permanent, err)
	}
	attempt, cancel := context.WithTimeoutCause(ctx, lookTimeout, errAttemptTimeout)
	defer cancel()
	digest, err := t.Digest(attempt, h.Plan.Paths)
	switch {
	case stopped(ctx):
		return failure(rollout.Stopped, context.Cause(ctx))
	case err != nil:
		return failure(rollout.Transient, fmt.Errorf("cannot be looked at: %w", err))
	case digest != h.Plan.Tree.Digest:
		return failure(rollout.Changed, fmt.Errorf("the tree of %s is not the one that the run began with", step.Host))
	default:
		return rollout.Event{Kind: rollout.StepDone}
	}
}

// rollback puts back the tree that a host had before the run, or before the run that this one undoes.
func (h *Hands) rollback(ctx context.Context, step rollout.Step) rollout.Event {
	return h.around(ctx, step.Host, func() rollout.Event { return h.undo(ctx, step) })
}

func (h *Hands) undo(ctx context.Context, step rollout.Step) rollout.Event {
	t, err := h.treeOn(step.Host)
	if err != nil {
		return failure(rollout.Permanent, err)
	}
	run := h.Plan.Undoes
	if run == "" {
		run = h.Plan.Run
	}
	limit := time.Duration(h.Plan.Limits.Timeout)
	attempt, cancel := context.WithTimeoutCause(ctx, limit, errAttemptTimeout)
	defer cancel()
	undone, err := t.Undo(attempt, run)
	if errors.Is(err, tree.ErrNoKeep) && h.Plan.Undoes == "" {
		// What is kept is kept before the tree's record says that the run begins to write.
		if last, lastErr := t.Last(attempt); lastErr == nil && (last == nil || last.Run != run) {
			return rollout.Event{Kind: rollout.StepDone} // nothing had been changed
		}
	}
	if err == nil && h.Log != nil {
		h.Log(step.Host, undone.String())
	}
	return h.treeEnded(ctx, attempt, limit, err, rollout.Event{Kind: rollout.StepDone})
}

// treeEnded says how a change of a host's tree ended.
func (h *Hands) treeEnded(ctx, attempt context.Context, limit time.Duration, err error, done rollout.Event) rollout.Event {
	if err == nil {
		return done
	}
	if attempt.Err() != nil && !stopped(attempt) {
		e := failure(rollout.Transient, fmt.Errorf("gave up after %s: %w", limit, errAttemptTimeout))
		e.Blame = true
		return e
	}
	e := failure(rollout.Transient, err)
	var wrong *transport.Error
	if errors.As(err, &wrong) {
		e.Class, e.Blame = class(wrong.Class), wrong.Source
	}
	if stopped(ctx) {
		e.Class, e.Blame = rollout.Stopped, false
	}
	return e
}

// Digest returns the metadata digest of a host's tree, or of those paths of it.
func (h *Hands) Digest(ctx context.Context, name string, paths []string) (string, error) {
	t, err := h.treeOn(name)
	if err != nil {
		return "", err
	}
	return t.Digest(ctx, paths)
}

// Last returns what a host itself knows of its tree; nil: it knows of no sync.
func (h *Hands) Last(ctx context.Context, name string) (*tree.Record, error) {
	t, err := h.treeOn(name)
	if err != nil {
		return nil, err
	}
	return t.Last(ctx)
}

// PreviewUndo tells what putting back a host's tree would do, and names at most most of the paths that somebody has made or
// changed since; it changes nothing.
func (h *Hands) PreviewUndo(ctx context.Context, name, run string, most int) (tree.Preview, error) {
	t, err := h.treeOn(name)
	if err != nil {
		return tree.Preview{}, err
	}
	return t.Preview(ctx, run, most)
}

// Probe asks a host what syncs of its tree need.
func (h *Hands) Probe(ctx context.Context, name string) (tree.Probe, error) {
	t, err := h.treeOn(name)
	if err != nil {
		return tree.Probe{}, err
	}
	return t.Probe(ctx)
}

// Free returns how many bytes are free where a host's tree is.
func (h *Hands) Free(ctx context.Context, name string) (int64, error) {
	t, err := h.treeOn(name)
	if err != nil {
		return 0, err
	}
	return t.Free(ctx)
}

// Manifest returns what is in a host's tree; with content, the hashes of its files too.
func (h *Hands) Manifest(ctx context.Context, name string, content bool) (*manifest.Manifest, error) {
	t, err := h.treeOn(name)
	if err != nil {
		return nil, err
	}
	m, err := t.List(ctx)
	if err != nil || !content {
		return m, err
	}
	var files []string
	var at []int
	for i, e := range m.Entries {
		if e.Type == manifest.File {
			files, at = append(files, e.Path), append(at, i)
		}
	}
	hashes, err := t.Hash(ctx, files)
	if err != nil {
		return nil, err
	}
	for i, hash := range hashes {
		m.Entries[at[i]].Hash = hash
	}
	return m, nil
}

// DryRun tells what a sync from a source would do to a host, and names at most most of the paths that would go.
func (h *Hands) DryRun(ctx context.Context, name, source string, most int) (*rollout.HostDelta, error) {
	hosts, err := h.hosts(name, source)
	if err != nil {
		return nil, err
	}
	conn, err := h.conn(h.Dialer, hosts[0])
	if err != nil {
		return nil, err
	}
	d, err := transport.DryRun(ctx, conn, h.pull(hosts[0], hosts[1]), most)
	if err != nil {
		return nil, err
	}
	out := &rollout.HostDelta{Host: name, Create: d.Create, Change: d.Change, Delete: d.Delete, Bytes: d.Bytes}
	for _, top := range d.Top {
		out.Top = append(out.Top, rollout.TopDelta{Name: transport.Neutral(top.Name), Create: top.Create, Change: top.Change, Delete: top.Delete})
	}
	for _, path := range d.Deleted {
		out.Gone = append(out.Gone, transport.Neutral(path))
	}
	return out, nil
}

// Kept returns the run before which a host's tree can be had back: the one that is asked for, if nothing has changed the
// tree since, or the last one that did.
func (h *Hands) Kept(ctx context.Context, name, run string) (string, error) {
	t, err := h.treeOn(name)
	if err != nil {
		return "", err
	}
	keeps, err := t.Keeps(ctx)
	if err != nil {
		return "", err
	}
	keeps = slices.DeleteFunc(keeps, func(k tree.Keep) bool { return !k.Whole || k.Undone })
	if len(keeps) == 0 {
		return "", errors.New("nothing is kept of what syncs have replaced")
	}
	last := keeps[len(keeps)-1].Run
	if run == "" || run == last {
		return last, nil
	}
	if slices.ContainsFunc(keeps, func(k tree.Keep) bool { return k.Run == run }) {
		return "", fmt.Errorf("run %s has changed the tree since run %s: take that back first", last, run)
	}
	return "", fmt.Errorf("nothing is kept of what run %s has replaced; the last that is kept is of run %s", run, last)
}
