package hosts

import (
	"context"
	"fmt"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/manifest"
	"github.com/fleetsync/fleetsync/orchestrator/tree"
	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/rsync"
	"github.com/fleetsync/fleetsync/transport/ssh"
)

// Asker asks the hosts of a fleet. Its fields must not change after the first question. It is safe for concurrent use.
type Asker struct {
	Fleet  *inventory.Fleet
	Rsync  inventory.Rsync
	Dialer *ssh.Dialer // the caller's to close
}

// Host returns the host of that name. A plan or a journal may name one that the inventory has no more: that is an error.
func (a *Asker) Host(name string) (inventory.Host, error) {
	host, ok := a.Fleet.Host(name)
	if !ok {
		return host, fmt.Errorf("%s is in the plan, but not in the inventory any more", name)
	}
	return host, nil
}

// Dial returns a connection to a host, which the Dialer closes.
func (a *Asker) Dial(name string) (transport.Conn, error) {
	host, err := a.Host(name)
	if err != nil {
		return nil, err
	}
	return a.Dialer.Dial(reach(host))
}

// Tree returns the tree of a host. An Asker only asks it; who changes it through this holds the fleet's lock.
func (a *Asker) Tree(name string) (tree.Tree, error) {
	host, err := a.Host(name)
	if err != nil {
		return tree.Tree{}, err
	}
	conn, err := a.Dial(name)
	return TreeOf(a.Fleet, host, conn), err
}

// Answers says whether a host is there: nil is that its ssh daemon answers, which is found out without logging in.
func (a *Asker) Answers(ctx context.Context, name string) error {
	host, err := a.Host(name)
	if err != nil {
		return err
	}
	return a.Dialer.Probe(ctx, reach(host))
}

// Serves says whether a source serves: nil is that its rsync daemon answers.
func (a *Asker) Serves(ctx context.Context, name string) error {
	host, err := a.Host(name)
	if err != nil {
		return err
	}
	return rsync.ProbeDaemon(ctx, host.Endpoint)
}

// Digest returns the metadata digest of a host's tree, or of those paths of it.
func (a *Asker) Digest(ctx context.Context, name string, paths []string) (string, error) {
	t, err := a.Tree(name)
	if err != nil {
		return "", err
	}
	return t.Digest(ctx, paths)
}

// Record returns what a host itself says of its tree; nil: it knows of no sync.
func (a *Asker) Record(ctx context.Context, name string) (*tree.Record, error) {
	t, err := a.Tree(name)
	if err != nil {
		return nil, err
	}
	return t.Record(ctx)
}

// PreviewUndo tells what putting back a host's tree would do, and names at most most of the paths that somebody has made or
// changed since; it changes nothing.
func (a *Asker) PreviewUndo(ctx context.Context, name, run string, most int) (tree.Preview, error) {
	t, err := a.Tree(name)
	if err != nil {
		return tree.Preview{}, err
	}
	return t.Preview(ctx, run, most)
}

// Probe asks a host what syncs of its tree need.
func (a *Asker) Probe(ctx context.Context, name string) (tree.Probe, error) {
	t, err := a.Tree(name)
	if err != nil {
		return tree.Probe{}, err
	}
	return t.Probe(ctx)
}

// Free returns how many bytes are free where a host's tree is.
func (a *Asker) Free(ctx context.Context, name string) (int64, error) {
	t, err := a.Tree(name)
	if err != nil {
		return 0, err
	}
	return t.Free(ctx)
}

// Manifest returns what is in a host's tree; with content, the hashes of its files too.
func (a *Asker) Manifest(ctx context.Context, name string, content bool) (*manifest.Manifest, error) {
	t, err := a.Tree(name)
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
