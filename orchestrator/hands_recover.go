package orchestrator

import (
	"context"
	"maps"
	"slices"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
)

// Abandon makes a run that died, and is folded from these events, one that puts back what it holds and does nothing else. Those of the
// outcasts that are the run's stay out of their pools, and it says so of them; outcasts are all hosts that are in quarantine now.
func (r *Run) Abandon(h *Hands, events []rollout.Event, outcasts []pooling.Quarantined, why string) {
	l := leaving{Hands: h}
	for _, c := range outcasts {
		if c.Run == h.Plan.Run {
			l.stays = append(l.stays, c.Host)
		}
	}
	r.Hands = l
	r.First = append(casts(events, h.Plan.Run, outcasts), rollout.Event{Kind: rollout.AbortAsked, Level: rollout.AbortNow, Detail: why})
}

// casts returns, as events, how those steps have ended that a dead run had begun to take hosts into quarantine or to put them back, as
// far as it is known that they were done: the pools tell, and its journal would say for ever that they were not.
func casts(events []rollout.Event, run string, outcasts []pooling.Quarantined) []rollout.Event {
	begun := map[rollout.StepID]rollout.Event{}
	for _, e := range events {
		switch e.Kind {
		case rollout.StepStarted:
			begun[e.Step] = e
		case rollout.StepDone:
			delete(begun, e.Step)
		case rollout.RunFinished:
			clear(begun)
		case rollout.StepFailed, // what could not be seen to the end may have been done
			rollout.RunStarted, rollout.RunResumed, rollout.PoolChanged, rollout.SourceChanged, rollout.SourceSilent, rollout.LockLost, rollout.AbortAsked:
		}
	}
	var done []rollout.Event
	for _, id := range slices.Sorted(maps.Keys(begun)) {
		e := rollout.Event{Kind: rollout.StepStarted, Step: id, Host: begun[id].Host, Attempt: begun[id].Attempt + 1}
		end := e
		end.Kind = rollout.StepDone
		in := slices.ContainsFunc(outcasts, func(c pooling.Quarantined) bool { return c.Host == e.Host })
		ours := slices.IndexFunc(outcasts, func(c pooling.Quarantined) bool { return c.Host == e.Host && c.Run == run && len(c.In) == 0 })
		switch {
		case id == rollout.StepID("quarantine/"+e.Host) && ours >= 0:
			end.Objects = written(outcasts[ours].Out)
		case id == rollout.StepID("release/"+e.Host) && !in:
		default:
			continue
		}
		done = append(done, e, end)
	}
	return done
}

// leaving does what hands do, but leaves hosts in quarantine, though the run's journal may say that it holds them to serve: those that
// somebody has put back into some of their pools, of which no more can be said.
type leaving struct {
	*Hands
	stays []string
}

// Do implements Doer.
func (l leaving) Do(ctx context.Context, step rollout.Step) rollout.Event {
	if step.Kind == rollout.StepRepool && slices.Contains(l.stays, step.Host) {
		return rollout.Event{Kind: rollout.StepDone, Detail: StaysOut}
	}
	return l.Hands.Do(ctx, step)
}

// StaysOut is what is told of a host in quarantine that something else would have put back.
const StaysOut = "stays out of its pools: it has no good tree"

// Unsettled returns, of all receipts, those of which what they tell of is to be put back when a run lives no more, so that they can be
// dropped: the run's own for serving, and those of quarantines, of whichever run, that are over. A receipt says that a host was to be
// taken out, not that it was; and to put back what is back keeps a depool that is still on its way from having its effect.
func Unsettled(run string, receipts, over []pooling.Receipt) []pooling.Receipt {
	left := slices.DeleteFunc(slices.Clone(receipts), func(r pooling.Receipt) bool { return r.Run != run || r.Purpose != pooling.Serving })
	return append(left, over...)
}
