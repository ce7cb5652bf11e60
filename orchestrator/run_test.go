package orchestrator_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// scripted are Hands that do nothing but what a test says, after a second each.
type scripted struct {
	mu  sync.Mutex
	log []string
	do  func(step rollout.Step) *rollout.Event // nil: done
}

func (h *scripted) Do(ctx context.Context, step rollout.Step) rollout.Event {
	h.mu.Lock()
	line := string(step.ID)
	if step.Source != "" {
		line += " from " + step.Source
	}
	h.log = append(h.log, line)
	h.mu.Unlock()
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return rollout.Event{Kind: rollout.StepFailed, Class: rollout.Stopped, Error: "stopped"}
	}
	if h.do != nil {
		if e := h.do(step); e != nil {
			return *e
		}
	}
	e := rollout.Event{Kind: rollout.StepDone}
	switch step.Kind {
	case rollout.StepCheck:
		e.Verdict = rollout.Pass
	case rollout.StepObserve:
		e.Objects = []rollout.Object{{Key: "eqiad/appserver/apache2/" + step.Host, Value: `{"weight": 10, "pooled": "yes"}`, Index: 7}}
	case rollout.StepDepool, rollout.StepSync, rollout.StepRepool:
	}
	return e
}

type memory struct{ events []rollout.Event }

func (m *memory) Append(events []rollout.Event) error {
	m.events = append(m.events, events...)
	return nil
}

func fleet(hosts int) *inventory.Fleet {
	f := &inventory.Fleet{Name: "test"}
	f.Hosts = append(f.Hosts, inventory.Host{Name: "m1", Datacenter: "a"}, inventory.Host{Name: "m2", Datacenter: "b"})
	f.Masters = []inventory.Master{{Host: "m1", Serve: true, Slots: 10}, {Host: "m2", Serve: false, Slots: 10}}
	for i := range hosts {
		name := fmt.Sprintf("h%04d", i)
		f.Hosts = append(f.Hosts, inventory.Host{Name: name, Datacenter: string(rune('a' + i%2))})
		switch {
		case i < 2:
			f.Canaries = append(f.Canaries, name)
		case i < 5:
			f.Proxies = append(f.Proxies, inventory.Proxy{Host: name, Slots: 10, Pooled: true})
		}
	}
	return f
}

func settings() inventory.Settings {
	return inventory.Settings{
		Batches: inventory.Batches{
			Parallel: 80, Ramp: []inventory.Amount{{BasisPoints: 500, Share: true}, {BasisPoints: 2500, Share: true}, {BasisPoints: 10000, Share: true}},
			MaxFailures: inventory.Amount{BasisPoints: 500, Share: true}, Attempts: 3, Timeout: time.Minute,
		},
		Gate: inventory.Gate{Soak: 20 * time.Second, Interval: 5 * time.Second, Checks: []inventory.Check{{Name: "front page"}}},
	}
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plan, err := rollout.NewPlan(fleet(24), settings(), rollout.Request{Run: "r1", Mode: inventory.ModeSync, Pools: true, Drain: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		state, err := rollout.NewState(plan)
		if err != nil {
			t.Fatal(err)
		}
		hands, journal := &scripted{}, &memory{}
		run := orchestrator.Run{State: state, Journal: journal, Hands: hands}
		outcome, err := run.Do(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Log(strings.Join(hands.log, "\n"))
		if outcome.Result != rollout.ResultDone || outcome.Counts.Synced != 25 || outcome.Counts.Hosts != 25 {
			t.Errorf("outcome %+v", outcome)
		}
	})
}
