package transport

import (
	"errors"
	"fmt"
	"strings"
)

// Script is a program for the host's sh, with what it gets as $1, $2 and so on. The zero Script is none. It is sent without its
// comments (StripComments).
//
// Its standard input is empty. Its exit code says what to do about a failure: 75 is busy, 74 (an I/O error, sysexits.h)
// and 128 and more (ended by a signal) are transient, all others are permanent.
type Script struct {
	Text string
	Args []string
}

// Validate tells what is wrong with s, or nil.
func (s Script) Validate() error {
	if s.Text == "" && len(s.Args) > 0 {
		return fmt.Errorf("arguments %q without a script", s.Args)
	}
	for _, word := range append([]string{s.Text}, s.Args...) {
		if strings.ContainsRune(word, 0) {
			return errors.New("must hold no NUL byte")
		}
	}
	return nil
}

// CommandLine returns s as a line for a shell, empty if there is none.
func (s Script) CommandLine() string {
	if s.Text == "" {
		return ""
	}
	return Quote(append([]string{"sh", "-c", StripComments(s.Text), "fleetsync"}, s.Args...)...)
}

// StripComments returns a script of ours without what only people read: comments that are whole lines, tabs at the beginning of
// lines, and empty lines. A script travels with each command to each host, quoted for one shell within another, which makes many
// bytes of each quote. It must have no such line inside a quoted text.
func StripComments(script string) string {
	var out strings.Builder
	for line := range strings.Lines(script) {
		line = strings.TrimLeft(line, "\t")
		if line != "\n" && !strings.HasPrefix(line, "#") {
			out.WriteString(line)
		}
	}
	return out.String()
}
