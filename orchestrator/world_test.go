package orchestrator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator"
	"github.com/fleetsync/fleetsync/orchestrator/journal"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/rollout/rollouttest"
)

// world is what a run works on, and the Doer that works on it: trees and pool objects, which
// outlive a crash. Every step takes a second.
type world struct {
	journal *memory // to see that a step is recorded before its effect begins
	do      func(ctx context.Context, step rollout.Step) *rollout.Event
	salt    int // decides which effects in flight a crash lets happen

	mu      sync.Mutex
	trees   map[string]bool
	objects map[string]*object
	log     []string
	wrong   []string // what must not be
}

type object struct {
	value  string
	marked bool
	index  uint64
}

func newWorld(f *inventory.Fleet, j *memory) *world {
	w := &world{journal: j, trees: map[string]bool{}, objects: map[string]*object{}}
	for _, p := range f.Proxies {
		w.objects[p.Host] = &object{value: before(p.Host), index: 7}
	}
	return w
}

// before is what the pool object of a host is before any run.
func before(host string) string {
	return fmt.Sprintf(`{"weight": 10, "pooled": "yes", "note": "<%s>"}`, host)
}

func (w *world) Do(ctx context.Context, step rollout.Step) rollout.Event {
	w.begin(step)
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		if w.lucky(step) {
			w.effect(step)
		}
		return failed(rollout.Stopped)
	}
	if w.do != nil {
		if e := w.do(ctx, step); e != nil {
			return *e
		}
	}
	return w.effect(step)
}

func failed(class rollout.Class) rollout.Event {
	return rollout.Event{Kind: rollout.StepFailed, Class: class, Error: string(class)}
}

// lucky says whether the effect of a step happens though the run has died.
func (w *world) lucky(step rollout.Step) bool {
	h := fnv.New32a()
	_, _ = fmt.Fprint(h, step.ID, w.salt) // never fails
	return h.Sum32()%2 == 0
}

func (w *world) begin(step rollout.Step) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, string(step.ID))
	if !w.journal.started(step) {
		w.wrong = append(w.wrong, fmt.Sprintf("attempt %d of %s begins before it is in the journal", step.Attempt, step.ID))
	}
	if o := w.objects[step.Source]; o != nil && !o.marked {
		w.wrong = append(w.wrong, fmt.Sprintf("%s from %s, which is in its pools", step.ID, step.Source))
	}
}

func (w *world) effect(step rollout.Step) rollout.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := rollout.Event{Kind: rollout.StepDone}
	o := w.objects[step.Host]
	switch step.Kind {
	case rollout.StepSync:
		w.trees[step.Host] = true
		e.Stats = &rollout.Stats{Bytes: 1}
	case rollout.StepCheck:
		e.Verdict = rollout.Pass
	case rollout.StepObserve:
		e.Objects = []rollout.Object{{Key: "a/appserver/apache2/" + step.Host, Value: o.value, Index: o.index, Held: o.marked}}
	case rollout.StepDepool:
		if step.Objects[0].Index != o.index {
			return failed(rollout.Conflict)
		}
		if !o.marked {
			o.value, o.marked, o.index = `{"pooled": "no", "fleetsync": "r1"}`, true, o.index+1
		}
	case rollout.StepRepool:
		if o.marked {
			o.value, o.marked, o.index = step.Objects[0].Value, false, o.index+1
		}
	case rollout.StepRollback:
		w.trees[step.Host] = false
	case rollout.StepRecheck, rollout.StepQuarantine, rollout.StepRelease, rollout.StepHook, rollout.StepPost, rollout.StepOnFailure:
	}
	return e
}

// check sees that nothing was wrong, and that all pools are as before but those of the hosts named.
func (w *world) check(t *testing.T, out ...string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, what := range w.wrong {
		t.Error(what)
	}
	for host, o := range w.objects {
		if back := !o.marked && o.value == before(host); back == slices.Contains(out, host) {
			t.Errorf("the pool object of %s is %s at the end", host, o.value)
		}
	}
}

// did returns how often a step began.
func (w *world) did(id rollout.StepID) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, line := range w.log {
		if line == string(id) {
			n++
		}
	}
	return n
}

// memory is a journal that dies at one of its appends.
type memory struct {
	mu      sync.Mutex
	events  []rollout.Event
	appends int

	dieAt   int    // the append that fails, from 1; 0: none
	durable int    // how many events of that append are durable all the same
	kill    func() // what dies with it; nil: only the journal does
}

var errDied = errors.New("no space left on device")

func (m *memory) Append(events []rollout.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.appends++
	if m.dieAt == 0 || m.appends < m.dieAt {
		m.events = append(m.events, events...)
		return nil
	}
	if m.appends == m.dieAt {
		m.events = append(m.events, events[:min(m.durable, len(events))]...)
	}
	if m.kill != nil {
		m.kill()
	}
	return errDied
}

func (m *memory) started(step rollout.Step) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dieAt > 0 && m.appends >= m.dieAt && m.kill == nil {
		return true // nothing can be recorded any more, and pools are put back all the same
	}
	return slices.ContainsFunc(m.events, func(e rollout.Event) bool {
		return e.Kind == rollout.StepStarted && e.Step == step.ID && e.Attempt == step.Attempt
	})
}

// fold returns the state that the journal leads to, as it would be read back from disk.
func (m *memory) fold(t *testing.T) *rollout.State {
	t.Helper()
	text, err := json.Marshal(m.events)
	if err != nil {
		t.Fatal(err)
	}
	var events []rollout.Event
	if err := json.Unmarshal(text, &events); err != nil {
		t.Fatal(err)
	}
	state, err := journal.Fold(events)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// fleet is two masters, two canaries, three proxies and the rest, in two datacenters.
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
	s := rollouttest.Settings()
	s.Batches.Timeout, s.Gate.Checks = time.Minute, s.Gate.Checks[:1]
	return s
}

func plan(t testing.TB, f *inventory.Fleet, s inventory.Settings) *rollout.Plan {
	t.Helper()
	p, err := rollout.NewPlan(f, s, rollout.Request{Run: "r1", Mode: inventory.ModeSync, Pools: true, Drain: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// newRun returns the first run of a plan on a world of its own.
func newRun(t testing.TB, f *inventory.Fleet, s inventory.Settings) (*orchestrator.Run, *world, *memory) {
	t.Helper()
	state, err := rollout.NewState(plan(t, f, s))
	if err != nil {
		t.Fatal(err)
	}
	j := &memory{}
	w := newWorld(f, j)
	return &orchestrator.Run{State: state, Journal: j, Doer: w}, w, j
}
