package preflight_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/preflight"
	"github.com/fleetsync/fleetsync/orchestrator/tree"
)

// reached is a world whose hosts are asked whether they could be synced; each takes a second to say so.
type reached struct {
	probes map[string]tree.Probe
	serves map[string]error
	skew   time.Duration
}

func (r reached) Probe(ctx context.Context, host string) (tree.Probe, error) {
	p, ok := r.probes[host]
	if !ok { // it hangs
		<-ctx.Done()
		return p, context.Cause(ctx)
	}
	<-time.After(time.Second)
	p.Clock = time.Now().Add(r.skew)
	return p, nil
}

func (r reached) Serves(_ context.Context, host string) error { return r.serves[host] }

// TestReach: planted faults seen to fail it: the time of the answer taken for a wrong clock, or a wrong clock for the time of the answer; a
// daemon that is asked of on every host, or on none; a host that hangs and is waited for as long as it likes.
func TestReach(t *testing.T) {
	w := newWorld(t, "max_delete: 10%", "max_delete: 10%, min_free: 1K")
	good := tree.Probe{Rsync: "3.2.7", Free: 1024}
	for name, c := range map[string]struct {
		world reached
		host  string
		wrong string
	}{
		"good":           {reached{probes: map[string]tree.Probe{"h1": good}, serves: map[string]error{"h1": errNo}}, "h1", ""},
		"serves":         {reached{probes: map[string]tree.Probe{"p1": good}}, "p1", ""},
		"does not":       {reached{probes: map[string]tree.Probe{"p1": good}, serves: map[string]error{"p1": errNo}}, "p1", "no"},
		"must not serve": {reached{probes: map[string]tree.Probe{"m2": good}, serves: map[string]error{"m2": errNo}}, "m2", ""},
		"a little off":   {reached{probes: map[string]tree.Probe{"h1": good}, skew: 5 * time.Second}, "h1", ""},
		"off":            {reached{probes: map[string]tree.Probe{"h1": good}, skew: -time.Hour}, "h1", "its clock is off by -1h0m0s"},
		"full": {
			reached{probes: map[string]tree.Probe{"h1": {Rsync: "3.2.7", Free: 99}}}, "h1",
			"99 bytes are free, and guard: min_free wants 1024",
		},
		"no rsync": {reached{probes: map[string]tree.Probe{"h1": {Free: 1024}}}, "h1", "rsync is missing"},
		"hangs":    {reached{}, "h1", "it does not answer within 30s"},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			got := preflight.Reach(t.Context(), c.world, w.fleet, w.policy, []string{c.host})
			if len(got) != 1 || got[0].Host != c.host || got[0].Reached == (name == "hangs") || strings.Join(got[0].Wrong, "; ") != c.wrong {
				t.Errorf("%s: %+v, want %q", name, got, c.wrong)
			}
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("%s: waited for %s", name, took)
			}
		})
	}
}

// TestAgree has a row for each way in which a policy and its inventory contradict each other.
func TestAgree(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ from, to, want string }{
		"agree": {"guard:", "guard:", ""},
		"excluded": {
			"[wikiversions.php]", "[private]",
			`guard: required: "private" is excluded from the tree by the inventory: it would never be there`,
		},
		"marker": {
			"max_delete: 10%", "max_delete: 10%, provisioned: /srv/staging/marker",
			`guard: provisioned: "/srv/staging/marker" is in the tree of m1: it must be outside`,
		},
		"no marker": {"max_delete: 10%", "max_delete: 10%, provisioned: /srv/staging2", ""},
		"a hook":    {"keep:", "hooks: {hosts: {post: [{name: x, command: [x], hosts: nobody}]}}\nkeep:", `hooks: hook "x": hosts: `},
	} {
		w := newWorld(t, c.from, c.to)
		got := ""
		if err := preflight.Agree(w.policy, w.fleet); err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestPrograms: ssh is needed only where the policy wants the program, and rsync only where this machine is a host.
func TestPrograms(t *testing.T) {
	t.Parallel()
	fleet := func(connections ...inventory.Connection) *inventory.Fleet {
		f := &inventory.Fleet{}
		for _, c := range connections {
			f.Hosts = append(f.Hosts, inventory.Host{Connection: c})
		}
		return f
	}
	for _, c := range []struct {
		client inventory.SSHClient
		fleet  *inventory.Fleet
		want   []string
	}{
		{inventory.SSHNative, fleet(inventory.ConnectionSSH), nil},
		{inventory.SSHOpenSSH, fleet(inventory.ConnectionSSH), []string{"ssh"}},
		{inventory.SSHOpenSSH, fleet(inventory.ConnectionLocal), []string{"rsync", "flock"}},
		{inventory.SSHOpenSSH, fleet(inventory.ConnectionSSH, inventory.ConnectionLocal), []string{"rsync", "flock", "ssh"}},
	} {
		if got := preflight.Programs(&inventory.Policy{SSH: inventory.SSH{Client: c.client}}, c.fleet); !slices.Equal(got, c.want) {
			t.Errorf("%v: %q, want %q", c.client, got, c.want)
		}
	}
}
