package live

import (
	"encoding/json"
	"io"
	"sync"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// Events prints each event of a run as a line of JSON, from a goroutine of its own: the run does not wait for who reads it, and goes on
// if nobody does any more. None is dropped as long as somebody reads.
type Events struct {
	mu     sync.Mutex
	queue  []rollout.Event
	closed bool
	wake   *sync.Cond
	done   chan struct{}
}

// NewEvents prints to w until Close, which the caller must call.
func NewEvents(w io.Writer) *Events {
	e := &Events{done: make(chan struct{})}
	e.wake = sync.NewCond(&e.mu)
	go e.print(w)
	return e
}

// Observe implements orchestrator.Observer.
func (e *Events) Observe(turn []rollout.Event, _ *rollout.Snapshot) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.queue = append(e.queue, turn...)
	e.wake.Signal()
}

func (e *Events) print(w io.Writer) {
	defer close(e.done)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	broken := false
	for {
		e.mu.Lock()
		for len(e.queue) == 0 && !e.closed {
			e.wake.Wait()
		}
		events := e.queue
		e.queue = nil
		e.mu.Unlock()
		if len(events) == 0 {
			return
		}
		for _, event := range events {
			broken = broken || encoder.Encode(event) != nil
		}
	}
}

// Close waits until all has been printed.
func (e *Events) Close() {
	e.mu.Lock()
	e.closed = true
	e.wake.Signal()
	e.mu.Unlock()
	<-e.done
}
