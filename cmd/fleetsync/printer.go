package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/fleetsync/fleetsync/transport"
)

// printer tells the user, mostly on stderr, what they should know while a command works; nothing else writes a warning. Hosts, programs
// and other users have a hand in its texts, so all of them are neutralised here, and each is one line.
type printer struct{ w io.Writer }

// Warn tells of something that is not as it should be, and keeps nothing from going on.
func (p printer) Warn(format string, args ...any) { p.Say("warning: "+format, args...) }

// Say tells of what goes on.
func (p printer) Say(format string, args ...any) {
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "; ") // errors that are joined are lines
	_, _ = fmt.Fprintln(p.w, transport.Neutral(text))
}

// say returns the printer of the program.
func (a *app) say() printer { return printer{a.stderr} }

// printJSON prints each value as one line.
func printJSON[T any](w io.Writer, values ...T) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	for _, v := range values {
		if err := encoder.Encode(v); err != nil {
			return err
		}
	}
	return nil
}
