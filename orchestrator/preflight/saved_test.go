package preflight

import (
	"errors"
	"strings"
	"testing"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// TestPlanOfWhoWasThere: a plan that waits in a file is refused when other hosts are down than when it was made, and the text names
// them, whatever else follows from that; why a host is down may change.
//
// Seen to fail with: only the one or the other of the two kinds told; the reasons compared, of a host or of a proxy that is left out;
// canaries that are down told as another dry run.
func TestPlanOfWhoWasThere(t *testing.T) {
	t.Parallel()
	planned := func(down map[string]string) Verdict {
		p := &rollout.Plan{Fleet: "f", Origin: "m1", Tree: &rollout.Tree{Digest: "d"}, Delta: &rollout.Delta{}}
		for _, name := range []string{"c1", "h1", "h2", "h3"} {
			role := rollout.RoleHost
			if name == "c1" {
				role = rollout.RoleCanary
				if down[name] == "" {
					p.Delta.Hosts = []rollout.HostDelta{{Host: name, Delete: 1}}
				}
			}
			if name == "h1" {
				role = rollout.RoleProxy
				if why := down[name]; why != "" {
					p.Left = append(p.Left, rollout.Left{Host: name, Reason: "is down: " + why})
				}
			}
			p.Hosts = append(p.Hosts, rollout.Host{Name: name, Role: role, Down: down[name]})
		}
		return Verdict{Plan: p, Pools: "p"}
	}
	for name, c := range map[string]struct {
		then, now map[string]string
		want      string
	}{
		"all there":     {nil, nil, ""},
		"the same down": {map[string]string{"h1": "refused"}, map[string]string{"h1": "no route"}, ""},
		"more down": {
			map[string]string{"h1": "refused"}, map[string]string{"h1": "refused", "h2": "x", "h3": "x"},
			"made: down now, and not then: h[2-3]",
		},
		"back": {map[string]string{"h1": "refused"}, nil, "made: down then, and not now: h1"},
		"others": {
			map[string]string{"h1": "refused"}, map[string]string{"h2": "x"},
			"made: down now, and not then: h2; down then, and not now: h1",
		},
		"a canary": {nil, map[string]string{"c1": "x"}, "down now, and not then: c1"},
	} {
		data, err := SavePlan(planned(c.then))
		if err != nil {
			t.Fatal(err)
		}
		saved, err := ParsePlan(data)
		if err != nil {
			t.Fatal(err)
		}
		err = (&judgement{Verdict: planned(c.now), request: Request{Saved: saved}}).saved()
		switch {
		case c.want == "" && err != nil,
			c.want != "" && (err == nil || !errors.Is(err, errChanged) || !strings.HasSuffix(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
