package ssh

import (
	"errors"
	"io"
	"sync/atomic"
	"time"
)

// gate passes on what a command prints until it is shut: no writer of the caller's is used after Run has returned.
type gate struct {
	to   io.Writer
	turn chan struct{}
	off  atomic.Bool
}

var errShut = errors.New("nobody listens any more")

func newGate(to io.Writer) *gate { return &gate{to: to, turn: make(chan struct{}, 1)} }

func (g *gate) Write(p []byte) (int, error) {
	g.turn <- struct{}{}
	defer func() { <-g.turn }()
	if g.off.Load() {
		return 0, errShut
	}
	return g.to.Write(p)
}

// shut returns when nothing is passed on any more: true, or false if a writer blocks for good.
func (g *gate) shut() bool {
	g.off.Store(true)
	select {
	case g.turn <- struct{}{}:
		<-g.turn
		return true
	case <-time.After(slack):
		return false
	}
}
