package live

import (
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/term"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/transport/rsync"
)

// Screen shows one run. It implements orchestrator.Observer. Make one with New, and Close it after the
// run.
type Screen struct {
	w    io.Writer
	live bool

	mu      sync.Mutex
	story   *story
	pending []message // to be printed
	dropped int       // messages for which there was no room
	closed  bool

	wake chan struct{} // has room for one: there is something to print
	done chan struct{} // closed when the goroutine has ended; nil before it is started
}

// New returns a Screen that shows a run of the plan on w: with live bars if w is a terminal, else with
// plain lines. It writes nothing before the first event.
func New(w io.Writer, terminal bool, p *rollout.Plan) *Screen {
	return &Screen{w: w, live: terminal && !text.Dumb() && !sizeless(w), story: newStory(p), wake: make(chan struct{}, 1)}
}

// sizeless says whether w is a terminal that does not know how wide it is, as one made by a program
// may be: there is no room for bars on it.
func sizeless(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	width, height, err := term.GetSize(int(file.Fd()))
	return err == nil && (width == 0 || height == 0)
}

// maxPending bounds the messages that wait for a terminal which does not take them.
const maxPending = 2000

// Observe takes note of what happened in a turn. It is for the goroutine of the run.
func (u *Screen) Observe(turn []rollout.Event, now *rollout.Snapshot) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return
	}
	for _, e := range turn {
		u.story.observe(e, view{now})
	}
	for _, m := range u.story.told {
		if u.live && m.plain {
			continue
		}
		if len(u.pending) == maxPending {
			u.dropped++
			continue
		}
		u.pending = append(u.pending, m)
	}
	u.story.told = u.story.told[:0]
	if u.done == nil {
		u.done = make(chan struct{})
		go u.show()
	}
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

// Live tells whether Progress is shown to anybody.
func (u *Screen) Live() bool { return u.live }

// Progress takes note of how far the transfer to a host has come. It may be called from many
// goroutines at once and waits for nothing but the lock on the books.
func (u *Screen) Progress(host string, p rsync.Progress) {
	if !u.live {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.story.progress(host, p)
}

// Close prints what is still to be printed, ends the drawing and waits for that. It may be called
// twice; events that come later are not shown.
func (u *Screen) Close() {
	u.mu.Lock()
	done := u.done
	if !u.closed {
		u.closed = true
		close(u.wake)
	}
	u.mu.Unlock()
	if done != nil {
		<-done
	}
}

// show is the goroutine that owns the terminal.
func (u *Screen) show() {
	defer close(u.done)
	tell, end := u.plain()
	if u.live {
		tell, end = u.bars()
	}
	defer end()
	for range u.wake {
		tell(u.take())
	}
	tell(u.take())
}

// take returns what is to be printed.
func (u *Screen) take() []message {
	u.mu.Lock()
	defer u.mu.Unlock()
	messages := u.pending
	u.pending = nil
	if u.dropped > 0 {
		messages = append(messages, message{
			at: u.story.at, kind: warn, text: fmt.Sprintf("%s could not be shown in time", text.Plural(u.dropped, "message")),
		})
		u.dropped = 0
	}
	return messages
}

// plain prints messages as lines with the time, in UTC as everywhere in a run.
func (u *Screen) plain() (tell func([]message), end func()) {
	return func(messages []message) {
		for _, m := range messages {
			_, _ = io.WriteString(u.w, m.at.UTC().Format("15:04:05Z ")+m.text+"\n") // nobody is left to be told
		}
	}, func() {}
}
