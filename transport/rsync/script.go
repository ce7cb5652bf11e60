package rsync

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/fleetsync/fleetsync/transport"
)

// Script is a program for the host's sh, with what it gets as $1, $2 and so on. The zero Script is none. It is sent as Terse has it.
//
// Its standard input is empty. Its exit code says what to do about a failure: 75 is busy, 74 (an I/O error, sysexits.h)
// and 128 and more (ended by a signal) are transient, all others are permanent.
type Script struct {
	Text string
	Args []string
}

//go:embed around.sh
var aroundText string

var aroundScript = transport.StripComments(aroundText)

func (s Script) validate(what string) error {
	if s.Text == "" && len(s.Args) > 0 {
		return fmt.Errorf("script %s the sync: arguments %q without a script", what, s.Args)
	}
	for _, word := range append([]string{s.Text}, s.Args...) {
		if strings.ContainsRune(word, 0) {
			return fmt.Errorf("script %s the sync: must hold no NUL byte", what)
		}
	}
	return nil
}

// line returns the command line of s, empty if there is none.
func (s Script) line() string {
	if s.Text == "" {
		return ""
	}
	return transport.Quote(append([]string{"sh", "-c", transport.StripComments(s.Text), "fleetsync"}, s.Args...)...)
}

// stage is what around.sh is at.
type stage int

// The stages, as many as the NULs before each.
const (
	stageLock stage = iota // taking the lock; all there is when there is no script
	stageBefore
	stageRsync
	stageAfter
)

// stages passes on what rsync says, and keeps what the script after it says.
type stages struct {
	now   stage
	rsync *transport.Lines
	after transport.Tail
}

func (s *stages) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		part := p
		i := strings.IndexByte(string(p), 0)
		if i >= 0 && s.now < stageAfter {
			part = p[:i]
		}
		if s.now == stageAfter {
			_, _ = s.after.Write(part) // never fails
		} else {
			_, _ = s.rsync.Write(part) // never fails
		}
		p = p[len(part):]
		if len(p) > 0 {
			p = p[1:]
			s.now++
		}
	}
	return n, nil
}

// scriptFailed judges a script that ended with an exit code other than 0.
func scriptFailed(at stage, r transport.Result) *transport.Error {
	e := &transport.Error{Program: "script before the sync", ExitCode: r.ExitCode, Class: transport.ClassPermanent,
		Message: transport.Summary(r.Stderr)}
	if at == stageAfter {
		e.Program = "script after the sync"
		e.Message = strings.TrimSuffix("the tree is synced, but not what follows: "+e.Message, ": ")
	}
	switch {
	case r.ExitCode == transport.ExitBusy:
		e.Class = transport.ClassBusy
	case r.ExitCode == transport.ExitIO || r.ExitCode > 128:
		e.Class = transport.ClassTransient
	}
	return e
}
