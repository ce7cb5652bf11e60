package incident

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fleetsync/fleetsync/cmd/internal/testfleet"
	"github.com/fleetsync/fleetsync/orchestrator/manifest"
)

// compare holds every tree and the pools against what they must be.
func (r *Replay) compare(ctx context.Context, a act) error {
	was := r.now
	var err error
	if r.now, err = r.snapshots(); err != nil {
		return err
	}
	for _, h := range r.known.Hosts {
		moment, before := "before", was
		switch {
		case !slices.Contains(a.changes, h.Name):
		case a.back == "":
			continue
		default:
			moment, before = "when it was "+a.back, r.marks[a.back]
		}
		want, is := before[h.Name], r.now[h.Name]
		if err := unlike("what it was "+moment, want.Differ(is), want, is); err != nil {
			return fmt.Errorf("the tree of %s is %w", h.Name, err)
		}
	}
	if a.like != "" {
		if err := r.alike(a.like, a.changes); err != nil {
			return err
		}
	}
	if a.mark != "" {
		r.marks[a.mark] = r.now
	}
	now, err := r.fleet.Objects(ctx)
	if err == nil && !maps.Equal(now, r.before) {
		err = errors.New("the pools are not what they were")
	}
	return err
}

// alike compares hosts' trees with that of another, as far as syncs are about them.
func (r *Replay) alike(with string, names []string) error {
	excluded := manifest.Excluded(r.known.Tree.Exclude)
	want, err := testfleet.TakeSnapshot(r.tree(with), excluded)
	if err != nil {
		return err
	}
	for _, name := range names {
		is, err := testfleet.TakeSnapshot(r.tree(name), excluded)
		if err != nil {
			return err
		}
		dropKeptFolders(want, is)
		if err := unlike("that of "+with, want.DifferSynced(is), want, is); err != nil {
			return fmt.Errorf("the tree of %s is %w", name, err)
		}
	}
	return nil
}

// dropKeptFolders drops from a snapshot the folders that a sync from another tree could not delete, because they hold
// excluded files. Those are not in the snapshot, so that such a folder is an empty one that the other tree has not.
func dropKeptFolders(from, is testfleet.Snapshot) {
	for _, path := range slices.Backward(slices.Sorted(maps.Keys(is))) {
		_, known := from[path]
		if known || !strings.HasPrefix(is[path].Synced, "d") {
			continue
		}
		holds := func(other string) bool { return strings.HasPrefix(other, path+"/") }
		if !slices.ContainsFunc(slices.Collect(maps.Keys(is)), holds) {
			delete(is, path)
		}
	}
}

// unlike returns what is wrong with a tree of which paths differ from what they must be.
func unlike(what string, paths []string, want, is testfleet.Snapshot) error {
	if len(paths) == 0 {
		return nil
	}
	return fmt.Errorf("not %s: %d paths differ:\n%s", what, len(paths), testfleet.Tell(paths, want, is))
}

// snapshots reads the tree of every host.
func (r *Replay) snapshots() (map[string]testfleet.Snapshot, error) {
	all := map[string]testfleet.Snapshot{}
	for _, h := range r.known.Hosts {
		var err error
		if all[h.Name], err = testfleet.TakeSnapshot(r.tree(h.Name), nil); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (r *Replay) isMaster(name string) bool {
	_, is := r.known.Master(name)
	return is
}

// tree returns where a host has its tree: a master where it is taken from.
func (r *Replay) tree(name string) string {
	h, _ := r.known.Host(name)
	if r.isMaster(name) {
		return h.Source
	}
	return h.Destination
}

// endpoint returns what an rsync without us takes a master's tree from.
func (r *Replay) endpoint(name string) string {
	h, _ := r.known.Host(name)
	return h.Endpoint + "/" + r.known.Tree.Module + "/"
}
