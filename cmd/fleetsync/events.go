package main

import (
	"encoding/json"
	"io"
	"sync"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// jsonEvents prints each event as a line of JSON, from a goroutine of its own: the run does not wait
// for who reads it, and goes on if nobody does any more.
type jsonEvents struct {
	mu     sync.Mutex
	queue  []rollout.Event
	closed bool
	wake   *sync.Cond
	done   chan struct{}
}

func newJSONEvents(w io.Writer) *jsonEvents {
	j := &jsonEvents{done: make(chan struct{})}
	j.wake = sync.NewCond(&j.mu)
	go j.print(w)
	return j
}

// Observe implements orchestrator.Observer.
func (j *jsonEvents) Observe(turn []rollout.Event, _ *rollout.Snapshot) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.queue = append(j.queue, turn...)
	j.wake.Signal()
}

func (j *jsonEvents) print(w io.Writer) {
	defer close(j.done)
	broken := false
	for {
		j.mu.Lock()
		for len(j.queue) == 0 && !j.closed {
			j.wake.Wait()
		}
		events := j.queue
		j.queue = nil
		j.mu.Unlock()
		if len(events) == 0 {
			return
		}
		for _, e := range events {
			broken = broken || printJSON(w, e) != nil
		}
	}
}

// Close waits until all has been printed.
func (j *jsonEvents) Close() {
	j.mu.Lock()
	j.closed = true
	j.wake.Signal()
	j.mu.Unlock()
	<-j.done
}

// printJSON prints v as one line.
func printJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}
