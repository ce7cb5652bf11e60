package orchestrator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/transport"
)

// hooks is what a run does around the syncs of its hosts, made once from the policy.
type hooks struct {
	once                 sync.Once
	pre, post, onFailure []hostHook
	err                  error
}

// hostHook is one hook, and where it runs.
type hostHook struct {
	inventory.Hook
	on    map[string]bool // nil: on every host
	slots chan struct{}   // nil: on as many hosts at once as are synced
}

// HooksOf returns the hosts for which the policy has one of these hooks, which is said by name.
func HooksOf(fleet *inventory.Fleet, hooks []inventory.Hook) (map[string]bool, error) {
	hosts := map[string]bool{}
	for _, hook := range hooks {
		on, err := hostsOf(fleet, hook)
		if err != nil {
			return nil, err
		}
		for _, h := range fleet.Hosts {
			hosts[h.Name] = hosts[h.Name] || on == nil || on[h.Name]
		}
	}
	return hosts, nil
}

// hostsOf returns where a hook runs; nil is everywhere.
func hostsOf(fleet *inventory.Fleet, hook inventory.Hook) (map[string]bool, error) {
	if hook.Hosts == "" {
		return nil, nil
	}
	names, err := fleet.Select(hook.Hosts)
	if err != nil {
		return nil, fmt.Errorf("hook %q: hosts: %w", hook.Name, err)
	}
	on := map[string]bool{}
	for _, name := range names {
		on[name] = true
	}
	return on, nil
}

// hostHooks returns the hooks of hosts.
func (h *Hands) hostHooks() (*hooks, error) {
	h.hooks.once.Do(func() {
		resolve := func(all []inventory.Hook) []hostHook {
			var out []hostHook
			for _, hook := range all {
				on, err := hostsOf(h.Fleet, hook)
				h.hooks.err = errors.Join(h.hooks.err, err)
				one := hostHook{Hook: hook, on: on}
				if hook.Parallel > 0 {
					one.slots = make(chan struct{}, hook.Parallel)
				}
				out = append(out, one)
			}
			return out
		}
		h.hooks.pre, h.hooks.post, h.hooks.onFailure = resolve(h.Hooks.Hosts.Pre), resolve(h.Hooks.Hosts.Post), resolve(h.Hooks.Hosts.OnFailure)
	})
	return &h.hooks, h.hooks.err
}

// after runs what is to be done on a host once it has the tree, or when it will not get it.
func (h *Hands) after(ctx context.Context, step rollout.Step) rollout.Event {
	hooks, err := h.hostHooks()
	if err != nil {
		return failure(rollout.Permanent, err)
	}
	all := hooks.post
	if step.Kind == rollout.StepOnFailure {
		all = hooks.onFailure
	}
	said, e := h.runOn(ctx, step.Host, all)
	if e != nil {
		return *e
	}
	return rollout.Event{Kind: rollout.StepDone, Detail: said}
}

// before runs what comes before each attempt to sync a host. It must bear to be run again: the attempt after may fail.
func (h *Hands) before(ctx context.Context, name string) (said string, failed *rollout.Event) {
	hooks, err := h.hostHooks()
	if err != nil {
		return "", amiss(rollout.Permanent, err)
	}
	return h.runOn(ctx, name, hooks.pre)
}

// around runs what comes before and after a sync around something else that changes a host's tree. That has the last word: what fails
// of the hooks is named in the outcome, and changes nothing.
func (h *Hands) around(ctx context.Context, name string, change func() rollout.Event) rollout.Event {
	hooks, err := h.hostHooks()
	if err != nil {
		return failure(rollout.Permanent, err)
	}
	var trouble []string
	tell := func(all []hostHook) {
		said, failed := h.runOn(ctx, name, all)
		if failed != nil {
			said = failed.Error
		}
		if said != "" {
			trouble = append(trouble, said)
		}
	}
	tell(hooks.pre)
	e := change()
	if e.Kind == rollout.StepDone {
		tell(hooks.post)
		e.Detail = strings.Join(trouble, "; ")
	}
	return e
}

// runOn runs those of some hooks on a host that are for it. A master has none.
func (h *Hands) runOn(ctx context.Context, name string, all []hostHook) (said string, failed *rollout.Event) {
	hosts, err := h.hosts(name)
	if err != nil {
		return "", amiss(rollout.Permanent, err)
	}
	var hooks []hostHook
	for _, hook := range all {
		if hook.on == nil || hook.on[name] {
			hooks = append(hooks, hook)
		}
	}
	if host, ok := h.planned(name); !ok || host.Role == rollout.RoleMaster || len(hooks) == 0 {
		return "", nil
	}
	conn, err := h.conn(h.Dialer, hosts[0])
	if err != nil {
		return "", amiss(rollout.Permanent, err)
	}
	return h.inOrder(ctx, conn, hooks, h.expand("{host}", name, "{destination}", hosts[0].Destination), func(string) string { return name })
}

// moment runs what is to be done at a moment of the run, on this machine.
func (h *Hands) moment(ctx context.Context, step rollout.Step) rollout.Event {
	var all []inventory.Hook
	switch step.Moment {
	case rollout.MomentPre:
		all = h.Hooks.Run.Pre
	case rollout.MomentPost:
		all = h.Hooks.Run.Post
	case rollout.MomentOnFailure:
		all = h.Hooks.Run.OnFailure
	}
	hooks := make([]hostHook, len(all))
	for i, hook := range all {
		hooks[i] = hostHook{Hook: hook}
	}
	said, failed := h.inOrder(ctx, transport.Local{}, hooks, h.expand(), func(hook string) string { return "hook " + hook })
	if failed != nil {
		return *failed
	}
	return rollout.Event{Kind: rollout.StepDone, Detail: said}
}

// expand returns what replaces the placeholders in a hook's arguments: those of the run, and more.
func (h *Hands) expand(more ...string) *strings.Replacer {
	return strings.NewReplacer(append(more, "{run}", h.Plan.Run, "{fleet}", h.Plan.Fleet, "{mode}", string(h.Plan.Mode))...)
}

// inOrder runs hooks one after the other, until one fails that may not. It returns what those had to say that may. The log has what a
// hook says in the name of whom says so.
func (h *Hands) inOrder(ctx context.Context, conn transport.Conn, hooks []hostHook, expand *strings.Replacer, whom func(hook string) string) (said string, failed *rollout.Event) {
	var ignored []string
	for _, hook := range hooks {
		if hook.slots != nil {
			select {
			case hook.slots <- struct{}{}:
			case <-ctx.Done():
				return "", amiss(rollout.Stopped, context.Cause(ctx))
			}
		}
		e := h.runHook(ctx, conn, hook.Hook, expand, func(line string) {
			if h.Log != nil {
				h.Log(whom(hook.Name), line)
			}
		})
		if hook.slots != nil {
			<-hook.slots
		}
		switch {
		case e == nil:
		case e.Class != rollout.Stopped && hook.Failure == inventory.HookIgnored:
			ignored = append(ignored, e.Error)
		default:
			return "", e
		}
	}
	return strings.Join(ignored, "; "), nil
}

// amiss is a failure where nil is that all went well.
func amiss(class rollout.Class, err error) *rollout.Event {
	e := failure(class, err)
	return &e
}

// maxHookLines bounds what the log gets of each stream of a hook.
const maxHookLines = 200

// runHook runs one hook; nil: it went well. What it says goes to the log. A hook that says no, or does not end in its time, is not run
// again; one of which the end is not known is.
func (h *Hands) runHook(ctx context.Context, conn transport.Conn, hook inventory.Hook, expand *strings.Replacer, log func(string)) *rollout.Event {
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
		return amiss(rollout.Stopped, context.Cause(ctx))
	case attempt.Err() != nil:
		return amiss(rollout.Permanent, fmt.Errorf("hook %q did not end in %s", hook.Name, limit))
	case err != nil:
		e := amiss(rollout.Transient, fmt.Errorf("hook %q: %w", hook.Name, err))
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
	e := amiss(rollout.Permanent, fmt.Errorf("hook %q: exit code %d: %s", hook.Name, result.ExitCode, why))
	e.Error = strings.TrimSuffix(e.Error, ": ")
	return e
}
