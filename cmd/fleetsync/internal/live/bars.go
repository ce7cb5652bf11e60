package live

import (
	"io"
	"os"
	"strings"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
)

// refresh is how often the bars are drawn.
const refresh = 120 * time.Millisecond

// bars prints messages above live bars. What it returns is for one goroutine.
func (u *Screen) bars() (tell func([]message), end func()) {
	pen := newPen()
	progress := mpb.New(mpb.WithOutput(u.w), mpb.WithAutoRefresh(), mpb.WithRefreshRate(refresh))
	// One bar is all of it: its filler is the first line of a frame and its extender the others, so
	// that the number of lines can change from frame to frame.
	var rest []string
	filler := mpb.BarFillerFunc(func(w io.Writer, stat decor.Statistics) error {
		lines := u.frame(pen, stat.AvailableWidth, u.rows())
		rest = lines[1:]
		_, err := io.WriteString(w, lines[0])
		return err
	})
	extender := mpb.BarFillerFunc(func(w io.Writer, _ decor.Statistics) error {
		for _, line := range rest {
			if _, err := io.WriteString(w, line+"\n"); err != nil {
				return err
			}
		}
		return nil
	})
	bar, err := progress.Add(0, filler, mpb.BarFillerTrim(), mpb.BarExtender(extender, false))
	if err != nil { // only after Wait
		return u.plain()
	}
	tell = func(messages []message) {
		var lines strings.Builder
		for _, m := range messages {
			lines.WriteString(pen.message(m) + "\n")
		}
		if lines.Len() == 0 {
			return
		}
		if _, err := progress.Write([]byte(lines.String())); err != nil {
			_, _ = io.WriteString(u.w, lines.String()) // the drawing has ended; nobody else is left to be told
		}
	}
	end = func() {
		bar.Abort(true)
		progress.Wait()
	}
	return tell, end
}

// rows returns how many lines a frame may have: one that fills the terminal would scroll it.
func (u *Screen) rows() int {
	const unknown = 24
	height := unknown
	if file, ok := u.w.(*os.File); ok {
		if _, h, err := term.GetSize(int(file.Fd())); err == nil && h > 0 {
			height = h
		}
	}
	return max(1, height-2)
}

// frame returns the lines to be shown now, at least one, each at most width columns wide.
func (u *Screen) frame(pen *pen, width, rows int) []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	f := frame{pen: pen, story: u.story, width: width - 1, now: time.Now()} // the last column would wrap on some
	f.draw(rows)
	return f.lines[:min(len(f.lines), rows)]
}

// pen is how things look on this terminal.
type pen struct {
	colours bool
	marks   map[kind]string
	arrow   string
	bar     mpb.BarFiller
}

func newPen() *pen {
	p := &pen{
		colours: !text.Colourless(),
		marks:   map[kind]string{note: "·", good: "✔", warn: "!", bad: "✘"}, arrow: "←",
	}
	style := mpb.BarStyle().Lbound("").Rbound("").Filler("━").Refiller("━").Tip("╸").Padding("─")
	if !unicodeLocale() {
		p.marks = map[kind]string{note: "-", good: "+", warn: "!", bad: "x"}
		p.arrow = "<-"
		style = mpb.BarStyle().Refiller("x")
	}
	if p.colours {
		style = style.FillerMeta(text.Green.Paint).TipMeta(text.Green.Paint).RefillerMeta(text.Red.Paint).PaddingMeta(text.Dim.Paint)
	}
	p.bar = style.Build()
	return p
}

// unicodeLocale says whether the terminal can be expected to show more than ASCII: unless the locale
// says that it cannot, which containers without any locale do not.
func unicodeLocale() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := strings.ToLower(os.Getenv(name)); locale != "" {
			return strings.Contains(locale, "utf")
		}
	}
	return true
}

func (p *pen) paint(c text.Colour, s string) string {
	if !p.colours {
		return s
	}
	return c.Paint(s)
}

// message returns the line that shows m.
func (p *pen) message(m message) string {
	colour := text.Plain
	switch m.kind {
	case note:
		return p.paint(text.Dim, p.marks[note]+" "+m.text)
	case good:
		return p.paint(text.Green, p.marks[good]) + " " + m.text
	case warn:
		colour = text.Amber
	case bad:
		colour = text.Alarm
	}
	return p.paint(colour, p.marks[m.kind]+" "+m.text)
}
