package text

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/fleetsync/fleetsync/transport"
)

// Colour is how a line is set off where colours are shown.
type Colour string

// The colours, as the terminal's own palette has them.
const (
	Plain Colour = ""
	Bold  Colour = "1"
	Dim   Colour = "2"
	Green Colour = "32"
	Amber Colour = "33"
	Red   Colour = "31"
	Alarm Colour = "1;31" // bold red: something is broken until a person acts
)

// Paint returns s, which must be neutral, in the colour.
func (c Colour) Paint(s string) string {
	if c == Plain || s == "" {
		return s
	}
	return "\x1b[" + string(c) + "m" + s + "\x1b[0m"
}

// Screen is what can be shown on where something is printed.
type Screen struct {
	Terminal bool // it is one, and can move its cursor
	Colours  bool
	Width    int // columns; 0: as many as it takes
	Height   int // rows; 0: not known
}

// ScreenOf returns what w can show. Only terminals have colours, and only where the environment does
// not refuse them (NO_COLOR, see no-color.org; TERM=dumb).
func ScreenOf(w io.Writer) Screen {
	file, ok := w.(*os.File)
	if !ok || Dumb() || !term.IsTerminal(int(file.Fd())) {
		return Screen{}
	}
	s := Screen{Terminal: true, Colours: !Colourless()}
	if width, height, err := term.GetSize(int(file.Fd())); err == nil {
		s.Width, s.Height = width, height
	}
	return s
}

// Dumb says whether the environment names a terminal that cannot move its cursor.
func Dumb() bool { return os.Getenv("TERM") == "dumb" }

// Colourless says whether the environment refuses colours.
func Colourless() bool { return os.Getenv("NO_COLOR") != "" || Dumb() }

// Unicode says whether a terminal can be expected to show more than ASCII: unless the locale says that it cannot, which containers
// without any locale do not.
func Unicode() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := strings.ToLower(os.Getenv(name)); locale != "" {
			return strings.Contains(locale, "utf")
		}
	}
	return true
}

// Printer prints lines. Each is neutralised as a whole, whatever went into it.
type Printer struct {
	Screen

	w io.Writer
}

// NewPrinter returns a printer to w.
func NewPrinter(w io.Writer) *Printer { return &Printer{Screen: ScreenOf(w), w: w} }

// Line prints a line in the colour.
func (p *Printer) Line(c Colour, format string, args ...any) {
	p.Parts(Part{c, fmt.Sprintf(format, args...)})
}

// Part is a part of a line that has a colour of its own.
type Part struct {
	Colour Colour
	Text   string
}

// Parts prints a line of parts.
func (p *Printer) Parts(parts ...Part) {
	var line strings.Builder
	for _, part := range parts {
		s := transport.Neutral(part.Text)
		if p.Colours {
			s = part.Colour.Paint(s)
		}
		line.WriteString(s)
	}
	line.WriteByte('\n')
	_, _ = io.WriteString(p.w, line.String()) // nobody is left to be told
}
