package preflight

import (
	"slices"
	"strings"
	"testing"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// TestDiskSpace: planted faults seen to fail it: what is unknown counts as nothing; a sample is not taken for the whole, or one host of
// it is; a canary counts as any host; as many as may fail are refused.
func TestDiskSpace(t *testing.T) {
	t.Parallel()
	hosts := func(role rollout.Role, free ...int64) (d diskSpace) {
		for range free {
			d.asked = append(d.asked, rollout.Host{Name: string(role), Role: role})
		}
		d.free = free
		if role == rollout.RoleHost {
			d.others = len(free)
		}
		return d
	}
	with := func(d diskSpace, change func(*diskSpace)) diskSpace {
		change(&d)
		return d
	}
	for name, c := range map[string]struct {
		space   diskSpace
		refused bool
		named   string
	}{
		"nobody":               {diskSpace{}, false, ""},
		"all have it":          {hosts(rollout.RoleHost, 100, 101), false, ""},
		"unknown":              {hosts(rollout.RoleCanary, -1), false, ""},
		"a canary":             {with(hosts(rollout.RoleCanary, 99), func(r *diskSpace) { r.mayFail = 9 }), true, "1 of 1"},
		"a master":             {with(hosts(rollout.RoleMaster, 0), func(r *diskSpace) { r.mayFail = 9 }), true, "1 of 1"},
		"a proxy":              {hosts(rollout.RoleProxy, 99), true, "1 of 1"},
		"a proxy that may":     {with(hosts(rollout.RoleProxy, 99), func(r *diskSpace) { r.mayFail = 1 }), false, "1 of 1"},
		"a host":               {hosts(rollout.RoleHost, 99, 100), true, "1 of 2"},
		"a host that may fail": {with(hosts(rollout.RoleHost, 99, 100), func(r *diskSpace) { r.mayFail = 1 }), false, "1 of 2"},
		"one of a sample": {
			with(hosts(rollout.RoleHost, 99, 100), func(r *diskSpace) { r.mayFail, r.others = 1, 10 }), false, "1 of 2",
		},
		"a sample": {
			with(hosts(rollout.RoleHost, 99, 99, 100, 100), func(r *diskSpace) { r.mayFail, r.others = 4, 10 }), true, "2 of 4",
		},
		"a sample that may": {
			with(hosts(rollout.RoleHost, 99, 99, 100, 100), func(r *diskSpace) { r.mayFail, r.others = 5, 10 }), false, "2 of 4",
		},
		"of many five": {hosts(rollout.RoleHost, slices.Repeat([]int64{7}, 9)...), true, "9 of 9"},
	} {
		refused, text := c.space.judge(100)
		if refused != c.refused || !strings.HasPrefix(text, c.named) || (c.named == "") != (text == "") ||
			strings.Count(text, "bytes free") > 5 {
			t.Errorf("%s: %v %q", name, refused, text)
		}
	}
}
