package main

import (
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// signals turns what the user or the system asks of the process into events of the run. The first
// Ctrl-C ends it gently, the second ends running transfers; both put pools back. The third leaves.
type signals struct {
	caught     chan os.Signal
	done       chan struct{}
	terminated atomic.Bool // the first one was SIGTERM
}

// watchSignals watches until stop.
func (a *app) watchSignals(world chan<- rollout.Event, held *heldHosts) *signals {
	s := &signals{caught: make(chan os.Signal, 1), done: make(chan struct{})}
	signal.Notify(s.caught, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go s.watch(a, world, held)
	return s
}

// watch counts signals whether or not the run takes what they mean: one that hangs must still be left
// by the third.
func (s *signals) watch(a *app, world chan<- rollout.Event, held *heldHosts) {
	defer close(s.done)
	var asked []rollout.Event
	level := 0
	for {
		var to chan<- rollout.Event
		var next rollout.Event
		if len(asked) > 0 {
			to, next = world, asked[0]
		}
		select {
		case to <- next:
			asked = asked[1:]
		case caught, open := <-s.caught:
			if !open {
				return
			}
			if level++; level > rollout.AbortNow {
				a.leave(held)
				return
			}
			if level == 1 {
				s.terminated.Store(caught == syscall.SIGTERM)
			}
			why := signalCauses[caught]
			asked = append(asked, rollout.Event{Kind: rollout.AbortAsked, Level: level, Cause: why.cause, Detail: why.text})
		}
	}
}

// signalCauses is what a signal asks for, as events tell it.
var signalCauses = map[os.Signal]struct {
	cause rollout.AbortCause
	text  string
}{
	os.Interrupt:    {rollout.AbortInterrupt, "interrupted"},
	syscall.SIGTERM: {rollout.AbortTerminate, "terminated"},
	syscall.SIGHUP:  {rollout.AbortHangup, "the terminal went away"},
}

// leave ends the process at once and says what it leaves behind, if anybody takes it: a terminal that
// is stopped, or a pipe that nobody reads, holds nothing up.
func (a *app) leave(held *heldHosts) {
	const patience = time.Second
	names, code := held.names(), exitInterrupted
	said := make(chan struct{})
	go func() {
		defer close(said)
		if len(names) > 0 {
			_, _ = fmt.Fprintf(a.stderr, "\nfleetsync: left at once; still out of their pools: %s\nhint: %s recover\n",
				strings.Join(names, ", "), a.command())
		}
	}()
	if len(names) > 0 {
		code = exitNotRestored
	}
	select {
	case <-said:
	case <-time.After(patience):
	}
	a.exit(code)
}

// stop ends the watching and says whether the process was asked to terminate.
func (s *signals) stop() (terminated bool) {
	signal.Stop(s.caught)
	close(s.caught)
	<-s.done
	return s.terminated.Load()
}

// heldHosts knows which hosts are out of their pools, for the one who cannot wait for the run.
type heldHosts struct{ held atomic.Pointer[[]string] }

// Observe implements orchestrator.Observer.
func (h *heldHosts) Observe(_ []rollout.Event, now *rollout.Snapshot) {
	h.held.Store(&now.Held)
}

func (h *heldHosts) names() []string {
	if names := h.held.Load(); names != nil {
		return *names
	}
	return nil
}
