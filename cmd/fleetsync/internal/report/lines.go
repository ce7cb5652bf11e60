package report

import (
	"fmt"
	"strings"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/text"
)

// Bounds of what is shown, in columns and in lines.
const (
	maxWhy    = 300
	maxFold   = 160
	maxListed = 10
)

// field prints a line of the screen's body.
func field(p *text.Printer, c text.Colour, name, value string) {
	p.Parts(text.Part{Colour: text.Plain, Text: "  "}, text.Part{Colour: text.Dim, Text: text.Pad(name, nameWidth)},
		text.Part{Colour: c, Text: value})
}

const nameWidth = 10

// each prints a line for each of some texts.
func each(p *text.Printer, c text.Colour, head string, said []string) {
	for _, s := range said {
		field(p, c, head, s)
	}
}

// column prints a line for each of some texts, of which only the first has a head.
func column(p *text.Printer, c text.Colour, head string, said []string) {
	for _, s := range said {
		field(p, c, head, s)
		head = ""
	}
}

// bounded says something of each of the first of some things, and how many more there are of them in all.
func bounded[T any](first []T, all, most int, more string, say func(T) string) []string {
	var said []string
	for _, one := range first[:min(len(first), most)] {
		said = append(said, say(one))
	}
	if left := all - len(said); left > 0 && len(said) > 0 {
		said = append(said, fmt.Sprintf("and %s more%s", text.Count(left), more))
	}
	return said
}

// tally is how many there are of something.
type tally struct {
	n    int
	what string
}

// counted says how many there are of each thing of which there are any.
func counted(all []tally, say func(n, what string) string) []string {
	var said []string
	for _, t := range all {
		if t.n > 0 {
			said = append(said, say(text.Count(t.n), t.what))
		}
	}
	return said
}

func numberFirst(n, what string) string { return n + " " + what }

// listed shows the first of a list that is in an order of its own.
func listed(all []string) string {
	return strings.Join(bounded(all, len(all), maxListed, "", func(s string) string { return text.Short(s, 60) }), " ")
}
