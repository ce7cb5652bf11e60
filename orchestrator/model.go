package orchestrator

import (
	"slices"
	"sync"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// Model is the newest snapshot of a run for faces that look when they like, with how far transfers have come, which is no
// event. As an Observer it follows the run. The zero Model is ready; it is safe for concurrent use.
type Model struct {
	mu        sync.Mutex
	now       *rollout.Snapshot
	transfers map[string]rollout.Transfer // by host
}

// Observe implements Observer.
func (m *Model) Observe(turn []rollout.Event, now *rollout.Snapshot) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = now
	for _, e := range turn {
		if e.StepKind == rollout.StepSync {
			delete(m.transfers, e.Host) // it begins anew, or has ended
		}
	}
}

// Progress takes note of how far the transfer to a host has come. It waits for nothing but a moment's lock.
func (m *Model) Progress(host string, t rollout.Transfer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.transfers == nil {
		m.transfers = map[string]rollout.Transfer{}
	}
	m.transfers[host] = t
}

// Snapshot returns where the run stands, or nil before its first event.
func (m *Model) Snapshot() *rollout.Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.now == nil || len(m.transfers) == 0 {
		return m.now
	}
	now := *m.now
	now.Running = slices.Clone(now.Running)
	for i, f := range now.Running {
		if t, ok := m.transfers[f.Host]; ok && f.Kind == rollout.StepSync {
			flight := *f
			flight.Transfer = &t
			now.Running[i] = &flight
		}
	}
	return &now
}
