package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/transport"
)

// sync pulls the tree, or the run's subset of it, from the step's source to its host.
func (h *Hands) sync(ctx context.Context, step rollout.Step) rollout.Event {
	hosts, err := h.hosts(step.Host, step.Source)
	if err != nil {
		return failure(rollout.Permanent, err)
	}
	conn, err := h.conn(h.Dialer, hosts[0])
	if err != nil {
		return failure(rollout.Permanent, err)
	}
	limit := time.Duration(h.Plan.Limits.Timeout)
	attempt, cancel := context.WithTimeoutCause(ctx, limit, errAttemptTimeout)
	defer cancel()
	stats, err := transport.Sync(attempt, conn, h.pull(hosts[0], hosts[1]), h.watch(step.Host))
	if err == nil {
		return rollout.Event{Kind: rollout.StepDone, Detail: stats.Warning, Stats: &rollout.Stats{
			Files: stats.Files, Created: stats.Created, Deleted: stats.Deleted, Transferred: stats.Transferred,
			Bytes: stats.Sent + stats.Received, Size: stats.TotalSize,
		}}
	}
	if attempt.Err() != nil && !stopped(attempt) {
		e := failure(rollout.Transient, fmt.Errorf("gave up after %s: %w", limit, errAttemptTimeout))
		e.Blame = true
		return e
	}
	e := failure(rollout.Transient, err)
	var wrong *transport.Error
	if errors.As(err, &wrong) {
		e.Class, e.Blame = class(wrong.Class), wrong.Source
	}
	if stopped(ctx) {
		e.Class, e.Blame = rollout.Stopped, false
	}
	return e
}

// pull says what rsync is to do. A master's tree is where it is taken from on a master; every other
// host's is at its destination.
func (h *Hands) pull(host, source inventory.Host) transport.Pull {
	destination := host.Destination
	for _, m := range h.Fleet.Masters {
		if m.Host == host.Name {
			destination = host.Source
		}
	}
	return transport.Pull{
		Source:      source.Endpoint + "/" + h.Fleet.Tree.Module,
		Destination: destination, Scratch: host.Scratch,
		Paths: h.Plan.Paths, Exclude: h.Fleet.Tree.Exclude,
		Compress: h.Rsync.Compress, BandwidthLimit: h.Rsync.BandwidthLimit, Timeout: h.Rsync.Timeout, Args: h.Rsync.Args,
		MaxDelete: transport.Unlimited,
	}
}

func (h *Hands) watch(host string) transport.Watch {
	var w transport.Watch
	if h.Progress != nil {
		w.Progress = func(p transport.Progress) { h.Progress(host, p) }
	}
	if h.Log != nil {
		w.Log = func(line string) { h.Log(host, line) }
	}
	return w
}

func class(c transport.Class) rollout.Class {
	switch c {
	case transport.ClassBusy:
		return rollout.Busy
	case transport.ClassTransient:
		return rollout.Transient
	case transport.ClassStopped:
		// Not by us: the caller knows when it was. Somebody ended rsync on the host; it may be tried again.
		return rollout.Transient
	case transport.ClassPermanent, transport.ClassMissing:
		return rollout.Permanent
	default:
		return rollout.Permanent
	}
}
