package main

import (
	"context"
	"fmt"
	"path"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/transport"
)

// origin returns the host that the tree is taken from and a connection to it; nil if there is none.
func (j *job) origin(plan *rollout.Plan) (origin inventory.Host, conn transport.Conn, done func()) {
	dialer := &transport.Dialer{}
	done = func() { _ = dialer.Close() } // it has said what it can
	origin, ok := j.setup.fleet.Host(plan.Origin)
	if !ok {
		return origin, nil, done
	}
	conn, err := dialer.Dial(orchestrator.Reach(origin))
	if err != nil {
		return origin, nil, done
	}
	return origin, conn, done
}

// maxAsked bounds the paths of a run that the origin is asked about one by one.
const maxAsked = 20

// warnOfPaths tells of paths that the origin does not have. That is no error, since a path that has
// vanished there is to vanish from the hosts; but it is how a typing error looks too. Whatever keeps
// the origin from answering will be seen by the run itself.
func (j *job) warnOfPaths(ctx context.Context, plan *rollout.Plan) {
	origin, conn, done := j.origin(plan)
	defer done()
	if conn == nil {
		return
	}
	for _, p := range plan.Paths[:min(len(plan.Paths), maxAsked)] {
		at := path.Join(origin.Source, p)
		result, err := conn.Run(ctx, transport.Command{Args: []string{"test", "-e", at, "-o", "-L", at}})
		if err == nil && result.ExitCode == 1 {
			_, _ = fmt.Fprintf(j.app.stderr, "warning: %s has no %s: hosts that have it will lose it\n", origin.Name, quoted(p))
		}
	}
}
