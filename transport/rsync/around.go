package rsync

import (
	_ "embed"
	"strings"

	"github.com/fleetsync/fleetsync/transport"
)

//go:embed around.sh
var aroundText string

var aroundScript = transport.StripComments(aroundText)

// What errors call the two scripts.
const (
	scriptBefore = "script before the sync"
	scriptAfter  = "script after the sync"
)

// stage is what around.sh is at.
type stage int

// The stages, as many as the NULs before each.
const (
	stageLock stage = iota // taking the lock; all there is when there is no script
	stageBefore
	stageRsync
	stageAfter
)

// stages reads the output of a sync: it passes on what rsync prints, and keeps what the script after it prints.
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
	e := &transport.Error{Program: scriptBefore, ExitCode: r.ExitCode, Class: transport.ClassPermanent, Message: summary(r.Stderr)}
	if at == stageAfter {
		e.Program = scriptAfter
		e.Message = strings.TrimSuffix("the tree is synced, but not what follows: "+e.Message, ": ")
	}
	switch {
	case r.ExitCode == exitBusy:
		e.Class = transport.ClassBusy
	case r.ExitCode == exitIO || r.ExitCode > 128:
		e.Class = transport.ClassTransient
	}
	return e
}
