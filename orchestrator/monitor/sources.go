package monitor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fleetsync/fleetsync/orchestrator/fanout"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// Sources tells a run of a source that has fallen silent while it serves. Nobody else would before the attempts' time is up: an
// rsync whose daemon is gone without a word, as after a power cut, goes on sending keep-alives of its own until TCP gives up
// after a quarter of an hour, and they keep its --timeout from firing (io.c: check_timeout counts what was written, too;
// measured with 3.5.0).
//
// As an orchestrator.Observer it learns who serves. A source is probed from here, which proves nothing of the way between it and a
// host; so it counts as silent only if it did answer from here, at the latest when it began to serve.
type Sources struct {
	Probe  func(ctx context.Context, source string) error // asks a source whether it serves
	World  chan<- rollout.Event
	Names  []string      // that may come to serve
	Every  time.Duration // between two probes of a source, and how long it may take to answer one; DefaultEvery if 0
	Silent time.Duration // without an answer, until a source counts as silent; DefaultSilent if 0

	mu     sync.Mutex
	serves map[string]int // sources → transfers in flight
}

// The times of Sources that have none.
const (
	DefaultEvery  = 2 * time.Second
	DefaultSilent = 6 * time.Second
)

// Observe implements orchestrator.Observer.
func (s *Sources) Observe(turn []rollout.Event, _ *rollout.Snapshot) {
	for _, e := range turn {
		s.event(e)
	}
}

func (s *Sources) event(e rollout.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.serves == nil || e.Kind == rollout.RunResumed { // what was in flight died with its run
		s.serves = map[string]int{}
	}
	if e.Source == "" {
		return
	}
	switch e.Kind {
	case rollout.StepStarted:
		s.serves[e.Source]++
	case rollout.StepDone, rollout.StepFailed:
		if s.serves[e.Source]--; s.serves[e.Source] == 0 {
			delete(s.serves, e.Source)
		}
	default: // of no source
	}
}

// serving returns the sources that serve just now.
func (s *Sources) serving() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name := range s.serves {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Watch probes those that serve, all at once, again and again until ctx ends. It begins with all Names: who answers then and not
// later has fallen silent, even if it never answered while it served.
func (s *Sources) Watch(ctx context.Context) {
	every, silent := cmp.Or(s.Every, DefaultEvery), cmp.Or(s.Silent, DefaultSilent)
	known := map[string]bool{}        // those that have answered, and were not told of since
	missing := map[string]time.Time{} // since when one of those has not
	names := s.Names
	for ctx.Err() == nil {
		asked, errs := time.Now(), make([]error, len(names))
		fanout.Each(ctx, len(names), names, func(ctx context.Context, i int, name string) {
			ctx, cancel := context.WithTimeout(ctx, every)
			defer cancel()
			errs[i] = s.Probe(ctx, name)
		})
		if ctx.Err() != nil {
			return
		}
		for i, name := range names {
			since, misses := missing[name]
			switch {
			case errs[i] == nil:
				known[name] = true
				delete(missing, name)
			case !known[name]:
			case !misses:
				missing[name] = asked
			case asked.Sub(since) >= silent:
				delete(known, name)
				delete(missing, name)
				text := fmt.Sprintf("no answer for %s: %v", asked.Sub(since).Round(time.Second), errs[i])
				send(ctx, s.World, rollout.Event{Kind: rollout.SourceSilent, Host: name, Error: text})
			}
		}
		pause(ctx, time.Until(asked.Add(every)))
		names = s.serving()
	}
}
