package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// signals turns what a person or the system asks of the process into events of the run. The first
// Ctrl-C ends it gently, the second ends running transfers; both put pools back. The third leaves.
type signals struct {
	caught     chan os.Signal
	done       chan struct{}
	terminated atomic.Bool // the first one was SIGTERM
}

// watchSignals watches until ctx ends, and then until stop.
func (a *app) watchSignals(ctx context.Context, world chan<- rollout.Event, held *heldHosts) *signals {
	s := &signals{caught: make(chan os.Signal, 1), done: make(chan struct{})}
	signal.Notify(s.caught, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go s.watch(ctx, a, world, held)
	return s
}

func (s *signals) watch(ctx context.Context, a *app, world chan<- rollout.Event, held *heldHosts) {
	defer close(s.done)
	level := 0
	for caught := range s.caught {
		level++
		if level > rollout.AbortNow {
			a.leave(held)
			return
		}
		if level == 1 {
			s.terminated.Store(caught == syscall.SIGTERM)
		}
		select {
		case world <- rollout.Event{Kind: rollout.AbortAsked, Level: level, Detail: signalNames[caught]}:
		case <-ctx.Done(): // the run has ended
		}
	}
}

var signalNames = map[os.Signal]string{
	os.Interrupt: "interrupted", syscall.SIGTERM: "terminated", syscall.SIGHUP: "the terminal went away",
}

// leave ends the process at once and says what it leaves behind.
func (a *app) leave(held *heldHosts) {
	names := held.names()
	if len(names) == 0 {
		a.exit(exitInterrupted)
		return
	}
	_, _ = fmt.Fprintf(a.stderr, "\nfleetsync: left at once; still out of their pools: %s\nhint: fleetsync pool repool %s\n",
		strings.Join(names, ", "), strings.Join(names, " "))
	a.exit(exitNotRestored)
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
func (h *heldHosts) Observe(_ rollout.Event, s *rollout.State) {
	names := s.Held()
	h.held.Store(&names)
}

func (h *heldHosts) names() []string {
	if names := h.held.Load(); names != nil {
		return *names
	}
	return nil
}
