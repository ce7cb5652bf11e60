package live

import (
	"fmt"
	"io"
	"time"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// Display shows one run. It implements orchestrator.Observer. Make one with New, and Close it after the run. It is for the goroutine of
// the run.
type Display struct {
	w      io.Writer
	live   bool
	newest func() *rollout.Snapshot

	teller   teller
	messages chan message // to be printed; nil before the first turn
	dropped  int          // messages that the terminal did not take in time
	closed   bool
	done     chan struct{} // closed when all is printed
}

// New returns a Display that shows a run on w: with a frame below its messages if w is a terminal that can move its cursor, else with
// plain lines. Frames show what newest returns, which is called from another goroutine; there is none where that is nil.
// It writes nothing before the first event.
func New(w io.Writer, isTerminal bool, newest func() *rollout.Snapshot) *Display {
	screen := text.ScreenOf(w)
	sizeless := screen.Terminal && (screen.Width == 0 || screen.Height == 0) // one that a program made, on which no frame fits
	return &Display{w: w, live: isTerminal && !text.Dumb() && !sizeless, newest: newest, teller: newTeller(), done: make(chan struct{})}
}

// Live tells whether anybody sees how far transfers have come.
func (d *Display) Live() bool { return d.live }

// Observe tells what happened in a turn, and does not wait until that is shown.
func (d *Display) Observe(turn []rollout.Event, now *rollout.Snapshot) {
	const most = 2000 // messages that wait for a terminal which does not take them
	if d.closed {
		return
	}
	if d.messages == nil {
		d.messages = make(chan message, most)
		go d.show()
	}
	for _, m := range d.teller.turn(turn, now) {
		switch {
		case d.live && m.plain:
		case len(d.messages) >= most-1:
			d.dropped++
		default:
			d.sayDropped()
			d.messages <- m
		}
	}
}

// sayDropped says what was dropped, if anything was.
func (d *Display) sayDropped() {
	if d.dropped > 0 {
		d.messages <- message{at: d.teller.at, kind: warn, text: text.Plural(d.dropped, "message") + " could not be shown in time"}
		d.dropped = 0
	}
}

// Close prints what is still to be printed, ends the drawing and waits for that. It may be called
// twice; events that come later are not shown.
func (d *Display) Close() {
	if d.messages != nil && !d.closed {
		d.sayDropped()
		close(d.messages)
		<-d.done
	}
	d.closed = true
}

// show is the goroutine that owns what is written.
func (d *Display) show() {
	const refresh = 120 * time.Millisecond
	defer close(d.done)
	t, ticker := terminal{w: d.w, pen: newPen()}, time.NewTicker(refresh)
	defer ticker.Stop()
	for {
		var messages []message
		select {
		case m, open := <-d.messages:
			if !open {
				t.draw(nil, nil)
				return
			}
			messages = append(messages, m)
			for range len(d.messages) {
				messages = append(messages, <-d.messages)
			}
		case <-ticker.C:
		}
		if d.live {
			width, rows := t.size()
			t.draw(messages, frame(d.newest(), time.Now(), width, rows, t.pen))
			continue
		}
		for _, m := range messages { // with the time in UTC, as everywhere in a run
			_, _ = fmt.Fprintf(d.w, "%s %s\n", m.at.UTC().Format("15:04:05Z"), m.text) // nobody is left to be told
		}
	}
}
