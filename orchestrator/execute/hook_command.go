package execute

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/transport"
)

// maxHookLines bounds what the log gets of each stream of a hook.
const maxHookLines = 200

// runHook runs one hook and returns how it failed; nil: it did not. What it prints goes to the log. A hook that exits with an error, or
// does not end in its time, has failed for good; one whose end is not known may be run again.
func (x *Executor) runHook(
	ctx context.Context, conn transport.Conn, hook inventory.Hook, expand *strings.Replacer, log func(string),
) *rollout.Event {
	args := make([]string, len(hook.Command))
	for i, arg := range hook.Command {
		args[i] = expand.Replace(arg)
	}
	limit := cmp.Or(hook.Timeout, inventory.DefaultHookTimeout)
	attempt, cancel := context.WithTimeoutCause(ctx, limit, errAttemptTimeout)
	defer cancel()
	lines := 0
	result, err := conn.Run(attempt, transport.Command{Args: args, Log: func(line string) {
		if lines++; lines <= maxHookLines { // the log is beside the journal, which must not run out of disk
			log(line)
		}
	}})
	said := strings.Split(strings.TrimSpace(string(result.Stdout)), "\n")
	for _, line := range said[max(0, len(said)-maxHookLines):] {
		if line != "" {
			log(transport.Neutral(line))
		}
	}
	switch {
	case err == nil && result.ExitCode == 0:
		return nil
	case stopped(ctx):
		return hookFailure(rollout.Stopped, context.Cause(ctx))
	case attempt.Err() != nil:
		return hookFailure(rollout.Permanent, fmt.Errorf("hook %q did not end in %s", hook.Name, limit))
	case err != nil:
		e := hookFailure(rollout.Transient, fmt.Errorf("hook %q: %w", hook.Name, err))
		var wrong *transport.Error
		if errors.As(err, &wrong) {
			e.Class = class(wrong.Class)
		}
		return e
	}
	why := strings.TrimSpace(result.Stderr)
	if why == "" {
		why = transport.Neutral(said[len(said)-1]) // there is always one, which may be empty
	}
	if at := strings.LastIndexByte(why, '\n'); at >= 0 {
		why = why[at+1:]
	}
	e := hookFailure(rollout.Permanent, fmt.Errorf("hook %q: exit code %d: %s", hook.Name, result.ExitCode, why))
	e.Error = strings.TrimSuffix(e.Error, ": ")
	return e
}

// hookFailure is how a hook failed; where one did not, nil stands in its place.
func hookFailure(class rollout.Class, err error) *rollout.Event {
	e := failure(class, err)
	return &e
}
