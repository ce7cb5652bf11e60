package testfleet

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
)

// copyTree copies a tree to a directory; the parent of that exists. Nothing is shared with the original, and
// whoever made the copy owns it and may write all of it; set-id bits are not copied. What is neither a file, a directory nor
// a symlink is an error.
func copyTree(ctx context.Context, from, to string) error {
	// Paths begin with a slash, so that rsync can take none for an option or a host's.
	c := exec.CommandContext(ctx, "rsync", "--recursive", "--links", "--hard-links", "--perms", "--times",
		"--chmod=u+rwX,a-s", from+"/", to+"/")
	said, err := c.CombinedOutput()
	switch said = bytes.TrimSpace(said); {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("%w: %s", err, said)
	case len(said) > 0: // of what it leaves out rsync only tells
		return fmt.Errorf("rsync cannot copy all of it: %s", said)
	default:
		return nil
	}
}
