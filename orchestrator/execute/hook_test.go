package execute_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/execute"
	"github.com/fleetsync/fleetsync/orchestrator/hosts"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/rollout/rollouttest"
	"github.com/fleetsync/fleetsync/transport/ssh"
)

// hooked returns an Executor with hooks on a fleet of local hosts h1 to h4, of which h3 and h4 are jobrunners; and a folder for them.
func hooked(t *testing.T, hooks inventory.Hooks) (*execute.Executor, string) {
	t.Helper()
	dir := t.TempDir()
	f, err := inventory.ParseFleet("inventory.yaml", []byte(strings.ReplaceAll(`fleet: test
tree: {source: DIR/source, destination: "DIR/of/{host}", module: m, scratch: DIR/scratch}
defaults: {connection: local}
hosts: {m: {}, "h[1-4]": {}}
groups: {jobrunners: ["h[3-4]"]}
roles: {masters: [{host: m, serve: true}]}
`, "DIR", dir)))
	if err != nil {
		t.Fatal(err)
	}
	return &execute.Executor{
		Plan: plan(t, f, rollouttest.Settings()), Hooks: hooks,
		Restorer: execute.Restorer{Hosts: &hosts.Asker{Fleet: f, Dialer: &ssh.Dialer{Grace: 100 * time.Millisecond}}},
	}, dir
}

func after(t *testing.T, x *execute.Executor, kind rollout.StepKind, host string) rollout.Event {
	t.Helper()
	return x.Do(t.Context(), rollout.Step{ID: rollout.StepID(string(kind) + "/" + host), Kind: kind, Host: host, Attempt: 1})
}

// TestHooks: a hook gets its arguments as they are written, on the hosts that it is for, in order, until one fails that may not;
// what is ignored is told. A master has none.
//
// Seen to fail with: arguments through a shell; hooks for everybody; a hook that goes on after one that failed; failures
// that all count, or none; an exit code that is tried again.
func TestHooks(t *testing.T) {
	sh := func(name, script string, args ...string) inventory.Hook {
		return inventory.Hook{Name: name, Command: append([]string{"sh", "-c", script, "hook"}, args...), Failure: inventory.HookFails}
	}
	hostile := []string{"$(touch oh)", "; touch oh", "a b\n'\"\\", "{host}", "-rf", "{destination} of {run} {fleet} {mode}"}
	only := sh("of job runners", `echo "$1" >> "$2"`, "job", "{destination}.said")
	only.Hosts = "@jobrunners"
	says := sh("says no", `echo "first
last" >&2; exit 3`)
	ignored := says
	ignored.Failure = inventory.HookIgnored
	x, dir := hooked(t, inventory.Hooks{Hosts: inventory.HookSet{
		Post: []inventory.Hook{
			sh("args", `mkdir -p "${0%/*}" "$1" && shift && printf "%s|" "$@" > "$0.said"`),
			only, ignored, sh("end", `echo end >> "$1"`, "{destination}.said"),
		},
		OnFailure: []inventory.Hook{says, sh("never", `touch "$1"`, "{destination}.never")},
	}})
	args := &x.Hooks.Hosts.Post[0].Command
	*args = append((*args)[:3], append([]string{"{destination}", "{destination}"}, hostile...)...)
	for _, host := range []string{"h2", "h3"} {
		e := after(t, x, rollout.StepPost, host)
		if want := `hook "says no": exit code 3: last`; e.Kind != rollout.StepDone || e.Detail != want {
			t.Errorf("%s: %+v, want %q", host, e, want)
		}
		at := filepath.Join(dir, "of", host)
		said, err := os.ReadFile(at + ".said")
		want := strings.Join(hostile[:3], "|") + "|" + host + "|-rf|" + at + " of r1 test sync|"
		if host == "h3" {
			want += "job\n"
		}
		if want += "end\n"; err != nil || string(said) != want {
			t.Errorf("%s: %q (%v), want %q", host, said, err, want)
		}
	}
	e := after(t, x, rollout.StepOnFailure, "h1")
	if e.Kind != rollout.StepFailed || e.Class != rollout.Permanent || e.Error != `hook "says no": exit code 3: last` {
		t.Errorf("%+v", e)
	}
	if _, err := os.Stat(filepath.Join(dir, "of", "h1.never")); err == nil {
		t.Error("it went on after a hook that failed")
	}
	if e := after(t, x, rollout.StepPost, "m"); e.Kind != rollout.StepDone || e.Detail != "" {
		t.Errorf("of a master: %+v", e)
	}
}

// TestHookBounds: a hook runs on no more hosts at once than it may, and not for longer than it may: what it has started dies with
// it.
//
// Seen to fail with: no bound; a bound of each host its own; no timeout.
func TestHookBounds(t *testing.T) {
	x, dir := hooked(t, inventory.Hooks{Hosts: inventory.HookSet{Post: []inventory.Hook{{
		Name: "alone", Parallel: 1, Failure: inventory.HookFails,
		Command: []string{"sh", "-c", `mkdir "$1" && rmdir "$1"`, "hook", "LOCK"},
	}}, OnFailure: []inventory.Hook{{
		Name: "hangs", Timeout: time.Second, Failure: inventory.HookFails,
		Command: []string{"sh", "-c", `sleep 1000 & echo $! > "$1"; wait`, "hook", "{destination}"},
	}}}})
	x.Hooks.Hosts.Post[0].Command[4] = filepath.Join(dir, "lock")
	if err := os.MkdirAll(filepath.Join(dir, "of"), 0o755); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			if e := after(t, x, rollout.StepPost, fmt.Sprintf("h%d", 1+i%4)); e.Kind != rollout.StepDone {
				t.Errorf("two at once: %+v", e)
			}
		})
	}
	all.Wait()
	e := after(t, x, rollout.StepOnFailure, "h1")
	if e.Class != rollout.Permanent || e.Error != `hook "hangs" did not end in 1s` {
		t.Errorf("%+v", e)
	}
	said, err := os.ReadFile(filepath.Join(dir, "of", "h1"))
	if err != nil || len(said) == 0 {
		t.Fatalf("%q: %v", said, err)
	}
	// If there is none, it has ended; of a zombie it is empty.
	if command, err := os.ReadFile("/proc/" + strings.TrimSpace(string(said)) + "/cmdline"); err == nil && len(command) > 0 {
		t.Errorf("what it has started lives on: %q", command)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if e := x.Do(ctx, rollout.Step{Kind: rollout.StepOnFailure, Host: "h1", Attempt: 1}); e.Class != rollout.Stopped {
		t.Errorf("stopped: %+v", e)
	}
}

// TestRunHooks: what a run has to do runs here, as it is written.
//
// Seen to fail with: another moment's hooks.
func TestRunHooks(t *testing.T) {
	x, dir := hooked(t, inventory.Hooks{})
	at := filepath.Join(dir, "x")
	x.Hooks.Run = inventory.HookSet{
		Pre: []inventory.Hook{{Name: "pre", Command: []string{"mkdir", at}, Failure: inventory.HookFails}},
		Post: []inventory.Hook{{Name: "post", Command: []string{"mkdir", at + "/{run}-{fleet}-{mode}-{host}"},
			Failure: inventory.HookFails}},
		OnFailure: []inventory.Hook{{Name: "bad", Command: []string{"mkdir", at}, Failure: inventory.HookIgnored}},
	}
	run := func(m rollout.Moment) rollout.Event {
		return x.Do(t.Context(), rollout.Step{Kind: rollout.StepHook, Moment: m, Attempt: 1})
	}
	if e := run(rollout.MomentPre); e.Kind != rollout.StepDone {
		t.Errorf("%+v", e)
	}
	if e := run(rollout.MomentPre); e.Class != rollout.Permanent {
		t.Errorf("a second time: %+v", e)
	}
	if e := run(rollout.MomentPost); e.Kind != rollout.StepDone {
		t.Errorf("%+v", e)
	}
	if _, err := os.Stat(at + "/r1-test-sync-{host}"); err != nil {
		t.Error(err)
	}
	if e := run(rollout.MomentOnFailure); e.Kind != rollout.StepDone || !strings.Contains(e.Detail, `hook "bad": exit code 1`) {
		t.Errorf("%+v", e)
	}
}
