package session

import (
	"context"
	"maps"
	"slices"

	"github.com/fleetsync/fleetsync/orchestrator"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/pooling"
)

// GiveUp makes a run that died, and was folded from these events, one that puts back what it holds and does nothing else. Hosts that are
// in quarantine because of it stay out of their pools, and it says so of them; quarantined are all hosts that are in quarantine now.
// It is called before the run's Do, and changes its First and Doer.
func GiveUp(r *orchestrator.Run, events []rollout.Event, quarantined []pooling.Quarantined, why string) {
	run := r.State.Plan.Run
	k := keepsOut{Doer: r.Doer}
	for _, q := range quarantined {
		if q.Run == run {
			k.hosts = append(k.hosts, q.Host)
		}
	}
	r.Doer = k
	r.First = append(finishedQuarantines(events, run, quarantined), rollout.Event{
		Kind: rollout.AbortAsked, Level: rollout.AbortNow, Cause: rollout.AbortRecover, Detail: why,
	})
}

// finishedQuarantines returns, as events, how those steps have ended that a dead run had begun to take hosts into quarantine or to put
// them back, as far as it is known that they were done: the pools tell, and its journal would say for ever that they were not.
func finishedQuarantines(events []rollout.Event, run string, quarantined []pooling.Quarantined) []rollout.Event {
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
			rollout.RunStarted, rollout.RunResumed, rollout.PoolChanged, rollout.SourceChanged, rollout.SourceSilent,
			rollout.LockLost, rollout.AbortAsked:
		}
	}
	var done []rollout.Event
	for _, id := range slices.Sorted(maps.Keys(begun)) {
		was := begun[id]
		e := rollout.Event{Kind: rollout.StepStarted, Step: id, StepKind: was.StepKind, Host: was.Host, Attempt: was.Attempt + 1}
		end := e
		end.Kind = rollout.StepDone
		in := slices.ContainsFunc(quarantined, func(q pooling.Quarantined) bool { return q.Host == e.Host })
		ours := slices.IndexFunc(quarantined, func(q pooling.Quarantined) bool {
			return q.Host == e.Host && q.Run == run && len(q.In) == 0
		})
		switch {
		case e.StepKind == rollout.StepQuarantine && ours >= 0:
			for _, o := range quarantined[ours].Out {
				end.Objects = append(end.Objects, rollout.Object{Key: o.Key, Value: o.Value, Index: o.Index, Held: true})
			}
		case e.StepKind == rollout.StepRelease && !in:
		default:
			continue
		}
		done = append(done, e, end)
	}
	return done
}

// keepsOut leaves hosts out of their pools that are in quarantine, though the journal of the run that died may say that it holds them
// to serve.
type keepsOut struct {
	orchestrator.Doer
	hosts []string
}

// Do implements orchestrator.Doer.
func (k keepsOut) Do(ctx context.Context, step rollout.Step) rollout.Event {
	if step.Kind == rollout.StepRepool && slices.Contains(k.hosts, step.Host) {
		return rollout.Event{Kind: rollout.StepDone, Detail: StaysOut}
	}
	return k.Doer.Do(ctx, step)
}

// StaysOut is what is told of a host in quarantine that something else would have put back.
const StaysOut = "stays out of its pools: it has no good tree"

// ToPutBack returns, of all receipts, those whose hosts are to be put back once a run lives no more, so that the receipts can be
// dropped: the run's own for serving, and those of quarantines, of whichever run, that are over. A receipt says that a host was to be
// taken out, not that it was; and to put back what is back keeps a depool that is still on its way from having its effect.
func ToPutBack(run string, receipts, over []pooling.Receipt) []pooling.Receipt {
	left := slices.DeleteFunc(slices.Clone(receipts), func(r pooling.Receipt) bool { return r.Run != run || r.Purpose != pooling.Serving })
	return append(left, over...)
}
