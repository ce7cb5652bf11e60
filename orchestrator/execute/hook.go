package execute

import (
	"context"
	"errors"
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

// hostHooks returns what is run on hosts, and where.
func (x *Executor) hostHooks() (*hooks, error) {
	x.hooks.once.Do(func() {
		resolve := func(all []inventory.Hook) []hostHook {
			var out []hostHook
			for _, hook := range all {
				on, err := hook.On(x.Hosts.Fleet)
				x.hooks.err = errors.Join(x.hooks.err, err)
				one := hostHook{Hook: hook, on: on}
				if hook.Parallel > 0 {
					one.slots = make(chan struct{}, hook.Parallel)
				}
				out = append(out, one)
			}
			return out
		}
		set := x.Hooks.Hosts
		x.hooks.pre, x.hooks.post, x.hooks.onFailure = resolve(set.Pre), resolve(set.Post), resolve(set.OnFailure)
	})
	return &x.hooks, x.hooks.err
}

// post runs what is to be done on a host once it has the tree.
func (x *Executor) post(ctx context.Context, step rollout.Step) rollout.Event {
	hooks, err := x.hostHooks()
	return x.after(ctx, step.Host, hooks.post, err)
}

// onFailure runs what is to be done on a host that will not get the tree.
func (x *Executor) onFailure(ctx context.Context, step rollout.Step) rollout.Event {
	hooks, err := x.hostHooks()
	return x.after(ctx, step.Host, hooks.onFailure, err)
}

func (x *Executor) after(ctx context.Context, name string, all []hostHook, err error) rollout.Event {
	if err != nil {
		return failure(rollout.Permanent, err)
	}
	ignored, failed := x.runOn(ctx, name, all)
	if failed != nil {
		return *failed
	}
	return rollout.Event{Kind: rollout.StepDone, Detail: ignored}
}

// before runs what comes before each attempt to sync a host. It must bear to be run again: the attempt after may fail.
func (x *Executor) before(ctx context.Context, name string) (ignored string, failed *rollout.Event) {
	hooks, err := x.hostHooks()
	if err != nil {
		return "", hookFailure(rollout.Permanent, err)
	}
	return x.runOn(ctx, name, hooks.pre)
}

// around runs what comes before and after a sync around something else that changes a host's tree. How that ended is how the step
// ends: what fails of the hooks is only named in its detail.
func (x *Executor) around(ctx context.Context, name string, change func() rollout.Event) rollout.Event {
	hooks, err := x.hostHooks()
	if err != nil {
		return failure(rollout.Permanent, err)
	}
	var failures []string
	run := func(all []hostHook) {
		ignored, failed := x.runOn(ctx, name, all)
		if failed != nil {
			ignored = failed.Error
		}
		if ignored != "" {
			failures = append(failures, ignored)
		}
	}
	run(hooks.pre)
	e := change()
	if e.Kind == rollout.StepDone {
		run(hooks.post)
		e.Detail = strings.Join(failures, "; ")
	}
	return e
}

// runOn runs those of some hooks on a host that are for it. A master has none.
func (x *Executor) runOn(ctx context.Context, name string, all []hostHook) (ignored string, failed *rollout.Event) {
	host, err := x.Hosts.Host(name)
	if err != nil {
		return "", hookFailure(rollout.Permanent, err)
	}
	var hooks []hostHook
	for _, hook := range all {
		if hook.on == nil || hook.on[name] {
			hooks = append(hooks, hook)
		}
	}
	if planned, ok := x.planned(name); !ok || planned.Role == rollout.RoleMaster || len(hooks) == 0 {
		return "", nil
	}
	conn, err := x.Hosts.Dial(name)
	if err != nil {
		return "", hookFailure(rollout.Permanent, err)
	}
	return x.inOrder(ctx, conn, hooks, x.expand("{host}", name, "{destination}", host.Destination), func(string) string { return name })
}

// runHooks runs what is to be done at a moment of the run, on this machine.
func (x *Executor) runHooks(ctx context.Context, step rollout.Step) rollout.Event {
	var all []inventory.Hook
	switch step.Moment {
	case rollout.MomentPre:
		all = x.Hooks.Run.Pre
	case rollout.MomentPost:
		all = x.Hooks.Run.Post
	case rollout.MomentOnFailure:
		all = x.Hooks.Run.OnFailure
	}
	hooks := make([]hostHook, len(all))
	for i, hook := range all {
		hooks[i] = hostHook{Hook: hook}
	}
	ignored, failed := x.inOrder(ctx, transport.Local{}, hooks, x.expand(), func(hook string) string { return "hook " + hook })
	if failed != nil {
		return *failed
	}
	return rollout.Event{Kind: rollout.StepDone, Detail: ignored}
}

// expand returns what replaces the placeholders in a hook's arguments: those of the run, and more.
func (x *Executor) expand(more ...string) *strings.Replacer {
	return strings.NewReplacer(append(more, "{run}", x.Plan.Run, "{fleet}", x.Plan.Fleet, "{mode}", string(x.Plan.Mode))...)
}

// inOrder runs hooks one after the other, until one fails that may not. It returns the failures that are ignored, and the one that is
// not. What a hook prints goes to the log, under the name that speaker gives.
func (x *Executor) inOrder(
	ctx context.Context, conn transport.Conn, hooks []hostHook, expand *strings.Replacer, speaker func(hook string) string,
) (allowed string, failed *rollout.Event) {
	var ignored []string
	for _, hook := range hooks {
		if hook.slots != nil {
			select {
			case hook.slots <- struct{}{}:
			case <-ctx.Done():
				return "", hookFailure(rollout.Stopped, context.Cause(ctx))
			}
		}
		e := x.runHook(ctx, conn, hook.Hook, expand, func(line string) {
			if x.Log != nil {
				x.Log(speaker(hook.Name), line)
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
