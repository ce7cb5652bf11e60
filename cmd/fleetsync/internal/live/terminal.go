package live

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
)

// What moves the cursor and erases, as ECMA-48 has it and every terminal that is not dumb knows.
const (
	cursorUp   = "\x1b[%dA"
	eraseLine  = "\x1b[K" // from the cursor to the end of the line
	eraseBelow = "\x1b[J" // from the cursor to the end of the screen
)

// terminal prints messages above a frame that it draws anew each time. The cursor stays at the beginning of the line below the frame.
// It is for one goroutine.
type terminal struct {
	w     io.Writer
	pen   *pen
	drawn []string // the frame that is on the screen
	gone  bool     // it could not be written to: nothing more is drawn
}

// draw prints messages, which may be longer than the terminal is wide, and below them a frame, whose lines may not. A frame without
// lines takes away the one that is there.
func (t *terminal) draw(messages []message, frame []string) {
	if t.gone {
		frame = nil
	}
	if len(messages) == 0 && slices.Equal(frame, t.drawn) {
		return
	}
	var b strings.Builder
	if len(t.drawn) > 0 {
		fmt.Fprintf(&b, cursorUp, len(t.drawn))
		if len(messages) > 0 || len(frame) < len(t.drawn) {
			b.WriteString(eraseBelow) // a message that wraps would leave rests of the frame
		}
	}
	for _, m := range messages {
		b.WriteString(t.pen.message(m) + "\n")
	}
	for _, line := range frame {
		b.WriteString(line + eraseLine + "\n") // not erased before it is written, which would flicker
	}
	_, err := io.WriteString(t.w, b.String())
	t.drawn, t.gone = frame, t.gone || err != nil
}

// size returns how many columns and lines a frame may have now: the last column would wrap on some terminals, and a frame that fills
// all lines would scroll.
func (t *terminal) size() (width, rows int) {
	screen := text.ScreenOf(t.w)
	return cmp.Or(screen.Width, 80) - 1, max(1, cmp.Or(screen.Height, 24)-2)
}

// pen is how things look on this terminal.
type pen struct {
	colours                  bool
	marks                    map[kind]string
	arrow                    string
	done, failed, head, rest string // columns of a bar; head is where it has come to
}

func newPen() *pen {
	p := &pen{colours: !text.Colourless(), marks: map[kind]string{note: "·", good: "✔", warn: "!", bad: "✘"}, arrow: "←"}
	p.done, p.failed, p.head, p.rest = "━", "━", "╸", "─"
	if !text.Unicode() || text.Width(p.done) != 1 { // in some locales such characters are two columns wide
		p.marks, p.arrow = map[kind]string{note: "-", good: "+", warn: "!", bad: "x"}, "<-"
		p.done, p.failed, p.head, p.rest = "=", "x", ">", "-"
	}
	return p
}

func (p *pen) paint(c text.Colour, s string) string {
	if !p.colours {
		return s
	}
	return c.Paint(s)
}

// message returns the line that shows m.
func (p *pen) message(m message) string {
	if m.kind == good {
		return p.paint(text.Green, p.marks[good]) + " " + m.text
	}
	colour := map[kind]text.Colour{note: text.Dim, warn: text.Amber, bad: text.Alarm}[m.kind]
	return p.paint(colour, p.marks[m.kind]+" "+m.text)
}

// bar draws how much of a total is over, and how much of that has failed, in so many columns.
func (p *pen) bar(width int, over, failed, total int64) string {
	columns := func(n int64) int { return int((min(max(n, 0), total)*int64(width) + total/2) / total) }
	filled := columns(over)
	red := min(columns(failed), filled)
	bad, good := strings.Repeat(p.failed, red), strings.Repeat(p.done, filled-red)
	switch { // the last column of what is over is its head, as long as something is left
	case over >= total:
	case good != "":
		good = strings.Repeat(p.done, filled-red-1) + p.head
	case bad != "":
		bad = strings.Repeat(p.failed, red-1) + p.head
	}
	return p.paint(text.Red, bad) + p.paint(text.Green, good) + p.paint(text.Dim, strings.Repeat(p.rest, width-filled))
}
