package guard

import (
	"context"

	"github.com/fleetsync/fleetsync/orchestrator/manifest"
)

// Tree is a tree that can be looked at. Paths are relative to it, unless they are said to be absolute, and their bytes
// are as they are on its machine. Its methods may be called by several goroutines at once.
type Tree interface {
	// List returns the manifest of what is not excluded, without hashes, and when it was Taken. It is ErrChanging if
	// something went away meanwhile.
	List(ctx context.Context) (*manifest.Manifest, error)

	// Hash returns the hashes of the files, in their order. It is ErrChanging if one of them is not a file (any more),
	// or changed while it was read; symlinks are not followed.
	Hash(ctx context.Context, paths []string) ([]manifest.Hash, error)

	// Read returns a file from its beginning, and at most so many bytes of it.
	Read(ctx context.Context, path string, most int) ([]byte, error)

	// Exists tells for each of the absolute paths whether anything is there.
	Exists(ctx context.Context, paths ...string) ([]bool, error)

	// Checkouts returns the folders that hold something called .git, sorted; "." if it is the tree itself. Whether
	// .git is excluded does not matter, but nothing below what else is excluded counts.
	Checkouts(ctx context.Context) ([]string, error)

	// Git runs git in a folder of the tree and returns what it printed. No variable whose name begins with GIT_ is in its
	// environment, and it has no terminal to ask on. It is an error if git exits other than 0, with what it said, neutralised.
	Git(ctx context.Context, dir string, args ...string) ([]byte, error)
}

// ErrChanging is wrapped by the error that names what has changed in a tree while it was read. What was read then is
// no tree that ever was.
var ErrChanging = manifest.ErrChanging
