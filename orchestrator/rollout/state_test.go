package rollout_test

import (
	"strings"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// TestNewStateRefuses holds plans that NewPlan never makes, and a damaged journal may hold.
func TestNewStateRefuses(t *testing.T) {
	master, host := rollout.Host{Name: "m", Role: rollout.RoleMaster, Slots: 1}, rollout.Host{Name: "h", Role: rollout.RoleHost}
	sync := func(hosts ...string) rollout.Stage {
		return rollout.Stage{Name: "all", Kind: rollout.StageSync, Hosts: hosts}
	}
	for _, test := range []struct {
		name string
		plan rollout.Plan
		err  string
	}{
		{"no hosts", rollout.Plan{}, `origin "" is not a host with slots`},
		{"no origin", rollout.Plan{Origin: "x", Hosts: []rollout.Host{master}}, `origin "x" is not a host with slots`},
		{"an origin without slots", rollout.Plan{Origin: "h", Hosts: []rollout.Host{host}}, `origin "h" is not a host with slots`},
		{"a host twice", rollout.Plan{Origin: "m", Hosts: []rollout.Host{master, host, host}}, "host h is listed twice"},
		{"a host in two stages", rollout.Plan{Origin: "m", Hosts: []rollout.Host{master, host},
			Stages: []rollout.Stage{sync("h"), sync("h")}}, "in another stage too"},
		{"the origin in a stage", rollout.Plan{Origin: "m", Hosts: []rollout.Host{master, host}, Stages: []rollout.Stage{sync("h", "m")}},
			"is the origin"},
		{"a host in no stage", rollout.Plan{Origin: "m", Hosts: []rollout.Host{master, host}}, "host h is in no stage"},
		{"an unknown host", rollout.Plan{Origin: "m", Hosts: []rollout.Host{master}, Stages: []rollout.Stage{sync("x")}},
			`host "x", which the plan does not list`},
		{"a proxy without slots", rollout.Plan{
			Origin: "m", Hosts: []rollout.Host{master, {Name: "p", Role: rollout.RoleProxy, Pooled: true}}, Stages: []rollout.Stage{sync("p")},
		}, "proxy p is to leave its pools and has no slots"},
		{"a rollback in a run that undoes nothing", rollout.Plan{
			Origin: "m", Hosts: []rollout.Host{master, host}, Stages: []rollout.Stage{{Name: "all", Kind: rollout.StageUndo, Hosts: []string{"h"}}},
		}, `stage all is a rollback, and the plan undoes run ""`},
		{"a sync in a run that undoes another", rollout.Plan{
			Undoes: "r0", Hosts: []rollout.Host{host}, Stages: []rollout.Stage{sync("h")},
		}, `stage all is a sync, and the plan undoes run "r0"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.plan.Run = "r1"
			if _, err := rollout.NewState(&test.plan); err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("the error is %v, should say %s", err, test.err)
			}
		})
	}
}

// TestApplyRefuses holds events that do not belong where they are: a journal with one is corrupt.
func TestApplyRefuses(t *testing.T) {
	plan := rollout.Plan{
		Run: "r1", Origin: "m", Limits: rollout.Limits{Parallel: 2, Attempts: 1}, Tree: &rollout.Tree{Digest: "d"}, Quarantine: true,
		Hosts: []rollout.Host{
			{Name: "m", Role: rollout.RoleMaster, Slots: 1}, {Name: "c", Role: rollout.RoleCanary, Keep: true},
			{Name: "p", Role: rollout.RoleProxy, Slots: 1, Pooled: true},
		},
		Gate: rollout.Gate{Checks: []string{rollout.SoakCheck}},
		Stages: []rollout.Stage{
			{Name: "canaries", Kind: rollout.StageSync, Hosts: []string{"c"}, Origin: true},
			{Name: "gate", Kind: rollout.StageCheck, Hosts: []string{"c"}},
			{Name: "all", Kind: rollout.StageSync, Hosts: []string{"p"}},
		},
	}
	start := rollout.Event{Kind: rollout.StepStarted, Step: "sync/c", Host: "c", Source: "m", Attempt: 1}
	fails := rollout.Event{Kind: rollout.StepFailed, Step: "sync/c", Host: "c", Source: "m", Attempt: 1, Class: rollout.Permanent}
	undo := rollout.Event{Kind: rollout.StepStarted, Step: "rollback/c", Host: "c", Attempt: 1}
	undone := rollout.Event{Kind: rollout.StepDone, Step: "rollback/c", Host: "c", Attempt: 1}
	for _, test := range []struct {
		name   string
		before []rollout.Event
		e      rollout.Event
		err    string
	}{
		{"of another run", nil, rollout.Event{Run: "r2", Kind: rollout.RunResumed}, `of run "r2", not "r1"`},
		{"out of order", nil, rollout.Event{Seq: 7, Kind: rollout.RunResumed}, "event 7 follows event 1"},
		{"of no kind", nil, rollout.Event{Kind: "party"}, "unknown kind"},
		{"a step of an unknown host", nil, rollout.Event{Kind: rollout.StepStarted, Step: "sync/x", Host: "x"}, `no host "x"`},
		{"a step of another host", nil, rollout.Event{Kind: rollout.StepStarted, Step: "sync/x", Host: "c"}, "not a step of host c"},
		{"a step of no kind", nil, rollout.Event{Kind: rollout.StepStarted, Step: "check/x"}, "no such step"},
		{"from no source", nil, rollout.Event{Kind: rollout.StepStarted, Step: "sync/c", Host: "c", Source: "c"}, `"c" is no source`},
		{"started twice", []rollout.Event{start}, start, "started twice"},
		{"never started", nil, rollout.Event{Kind: rollout.StepDone, Step: "sync/c", Host: "c", Attempt: 1}, "without having been started"},
		{"another attempt", []rollout.Event{start}, rollout.Event{Kind: rollout.StepDone, Step: "sync/c", Host: "c", Attempt: 2},
			"without having been started as attempt 2"},
		{"pools of a host without", nil, rollout.Event{Kind: rollout.StepStarted, Step: "depool/c", Host: "c"}, "no pools"},
		{"a change of no source", nil, rollout.Event{Kind: rollout.SourceChanged, Host: "c"}, "no source"},
		{"a look at what is no master", nil, rollout.Event{Kind: rollout.StepStarted, Step: "recheck/p", Host: "p", Attempt: 1}, "not looked at"},
		{"a rollback that nobody wants", nil, undo, "nothing says that the host is to be rolled back"},
		{"a rollback during a sync", []rollout.Event{start}, undo, "nothing says that the host is to be rolled back"},
		{"a rollback of what is back", []rollout.Event{start, fails, undo, undone}, undo, "the host is rolled back"},
		{"a quarantine without a reason", nil, rollout.Event{Kind: rollout.StepStarted, Step: "quarantine/c", Host: "c", Attempt: 1},
			"in no quarantine that is to begin"},
		{"abort without a level", nil, rollout.Event{Kind: rollout.AbortAsked}, "abort level 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := rollout.NewState(&plan)
			if err != nil {
				t.Fatal(err)
			}
			apply := func(e rollout.Event) error {
				e.At = epoch.Add(time.Second)
				if e.Seq == 0 {
					e.Seq = s.Seq + 1
				}
				if e.Run == "" {
					e.Run = "r1"
				}
				return s.Apply(&e)
			}
			for _, e := range append([]rollout.Event{{Kind: rollout.RunStarted, Plan: &plan}}, test.before...) {
				if err := apply(e); err != nil {
					t.Fatal(err)
				}
			}
			if err := apply(test.e); err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("the error is %v, should say %s", err, test.err)
			}
		})
	}
}
