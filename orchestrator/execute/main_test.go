package execute_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/transport/transporttest"
)

// memory is a journal that is not written anywhere.
type memory struct {
	mu     sync.Mutex
	events []rollout.Event
}

func (m *memory) Append(events []rollout.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, events...)
	return nil
}

func plan(t *testing.T, f *inventory.Fleet, s inventory.Settings) *rollout.Plan {
	t.Helper()
	p, err := rollout.NewPlan(f, s, rollout.Request{Run: "r1", Mode: inventory.ModeSync, Pools: true})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// observed returns what a receipt holds as steps bear it.
func observed(r *pooling.Receipt) []rollout.Object {
	var out []rollout.Object
	for _, o := range r.Objects {
		out = append(out, rollout.Object{Key: o.Key, Value: o.Value, Index: o.Index})
	}
	return out
}

func contains(text string, parts ...string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}

func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		transporttest.Need(t, program)
	}
}
