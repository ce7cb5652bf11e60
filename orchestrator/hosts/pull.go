package hosts

import (
	"context"

	"github.com/fleetsync/fleetsync/transport/rsync"
)

// Pull says what rsync is to do on a host to bring its tree, or those paths of it, up to date from a source, deleting at most maxDelete
// entries. Nil paths are the whole tree.
func (a *Asker) Pull(name, source string, paths []string, maxDelete int) (rsync.Pull, error) {
	host, err := a.Host(name)
	if err != nil {
		return rsync.Pull{}, err
	}
	from, err := a.Host(source)
	if err != nil {
		return rsync.Pull{}, err
	}
	return rsync.Pull{
		Source:      from.Endpoint + "/" + a.Fleet.Tree.Module,
		Destination: TreeOf(a.Fleet, host, nil).Root, Scratch: host.Scratch,
		Paths: paths, Exclude: a.Fleet.Tree.Exclude,
		Compress: a.Rsync.Compress, BandwidthLimit: a.Rsync.BandwidthLimit, Timeout: a.Rsync.Timeout, Args: a.Rsync.Args,
		MaxDelete: maxDelete,
	}, nil
}

// DryRun tells what a sync from a source would do to a host's tree, or to those paths of it, and names at most most of the paths that
// would go.
func (a *Asker) DryRun(ctx context.Context, name, source string, paths []string, most int) (rsync.Delta, error) {
	pull, err := a.Pull(name, source, paths, rsync.Unlimited)
	if err != nil {
		return rsync.Delta{}, err
	}
	conn, err := a.Dial(name)
	if err != nil {
		return rsync.Delta{}, err
	}
	return rsync.DryRun(ctx, conn, pull, most)
}
