package inventory

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What a guard may say beside what TestParsePolicy holds, each over the defaults.
func TestParseGuard(t *testing.T) {
	with := func(change func(*Guard)) Guard {
		policy, _ := defaults()
		change(&policy.Guard)
		return policy.Guard
	}
	for text, want := range map[string]Guard{
		"{}":                            with(func(*Guard) {}),
		"{git: false}":                  with(func(g *Guard) { g.Git = false }),
		"{git: true}":                   with(func(*Guard) {}),
		"{git: {}}":                     with(func(*Guard) {}),
		"{git: {untracked: [a]}}":       with(func(g *Guard) { g.Untracked = []string{"a"} }),
		"{max_delete: 0}":               with(func(g *Guard) { g.MaxDelete = Amount{} }),
		"{max_delete: 100%}":            with(func(g *Guard) { g.MaxDelete = percent(100) }),
		"{max_shrink: 0%}":              with(func(g *Guard) { g.MaxShrink = Amount{Share: true} }),
		"{min_free: 0}":                 with(func(*Guard) {}),
		"{sparse: false}":               with(func(*Guard) {}),
		"{provisioned: /etc/x}":         with(func(g *Guard) { g.Provisioned = "/etc/x" }),
		"{provisioned: /proc/1/x}":      with(func(g *Guard) { g.Provisioned = "/proc/1/x" }),
		"{required: [{path: a/b c.d}]}": with(func(g *Guard) { g.Required = []Required{{Path: "a/b c.d"}} }),
		"{required: [..., ..a, é, 12]}": with(func(g *Guard) {
			g.Required = []Required{{Path: "..."}, {Path: "..a"}, {Path: "é"}, {Path: "12"}}
		}),
	} {
		got, err := ParsePolicy("p.yaml", []byte("inventory: i.yaml\nguard: "+text+"\n"))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if diff := cmp.Diff(want, got.Guard); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}
