package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// Doer carries out steps.
type Doer interface {
	// Do carries out one step and returns how it ended: an event of kind StepDone or StepFailed with
	// what the step found out. It returns soon after ctx is done, with class Stopped if that is why.
	// It is called from many goroutines at once, at most once at a time for one step.
	Do(ctx context.Context, step rollout.Step) rollout.Event
}

// Journal makes events durable.
type Journal interface {
	// Append returns after all events are durable. After an error none, some or all of them may be.
	Append(events []rollout.Event) error
}

// Observer is shown what happened in a turn of the loop after it is durable, and where the run stands after all of it. It is
// called from the goroutine of the run and holds it up: it must be quick.
type Observer interface {
	Observe(turn []rollout.Event, now *rollout.Snapshot)
}

// Run is one execution of a plan, from its beginning or from where a journal ends.
type Run struct {
	State     *rollout.State // new, or folded from a journal
	Journal   Journal
	Doer      Doer
	Observers []Observer

	// Writer is the program that writes the journal, and its version, for who cannot read it. It may be empty.
	Writer string

	// First happens at the beginning, before anything is decided: an AbortAsked makes a resumed run
	// put back its pools and do nothing else.
	First []rollout.Event

	// Changed says why a resumed run must not go on: the tree it began with is not there any more. It
	// puts its pools back and halts. Empty: it goes on.
	Changed string

	// World brings what happens outside of steps: AbortAsked, PoolChanged, SourceChanged, LockLost.
	// The run fills in the rest of the event. It may be nil.
	World <-chan rollout.Event
}

// Do executes the run to its end and returns what it came to. A host that failed is part of the
// outcome, not an error. The error says that the run could not do its job: the journal could not be
// written (then pools were put back all the same, as far as the outcome says), or ctx was cancelled
// (then nothing was put back: a run is ended gently by an AbortAsked event).
func (r *Run) Do(ctx context.Context) (rollout.Outcome, error) {
	ctx, cancel := context.WithCancel(ctx)
	l := loop{Run: r, ended: make(chan rollout.Event), flights: map[rollout.StepID]context.CancelFunc{}}
	defer l.drain()
	defer cancel() // before the drain: it is what ends the effects

	first := rollout.Event{Kind: rollout.RunStarted, Plan: r.State.Plan}
	if r.State.Seq > 0 {
		first = rollout.Event{Kind: rollout.RunResumed, Error: r.Changed}
	}
	first.Format, first.Writer = rollout.Format, r.Writer
	happened := []rollout.Event{first}
	happened = append(happened, r.First...)
	for ctx.Err() == nil {
		decision, err := l.turn(ctx, happened)
		if err != nil {
			return r.State.Outcome(), err
		}
		if outcome := r.State.Finished(); outcome != nil {
			return *outcome, errors.Join(l.broken, l.wrong)
		}
		happened = l.wait(ctx, decision.Wake)
	}
	return r.State.Outcome(), fmt.Errorf("left without putting pools back: %w", context.Cause(ctx))
}

// loop is a run being executed.
type loop struct {
	*Run
	ended   chan rollout.Event
	flights map[rollout.StepID]context.CancelFunc
	broken  error // the journal cannot be written, and is not written any more
	wrong   error // an event happened that cannot
}

// turn takes what happened since the last one, decides, makes both durable with one append and then
// starts and stops what was decided.
func (l *loop) turn(ctx context.Context, happened []rollout.Event) (rollout.Decision, error) {
	var turn []rollout.Event
	for _, e := range happened {
		e = l.stamp(e)
		if err := l.State.Apply(&e); err != nil {
			// An event that cannot be must not leave hosts out of their pools: it is dropped, and the run
			// ends as gently as if somebody had asked for it.
			l.wrong = fmt.Errorf("internal: %w", err)
			e = l.stamp(rollout.Event{Kind: rollout.AbortAsked, Level: rollout.AbortGently, Cause: rollout.AbortInternal, Detail: l.wrong.Error()})
			if err := l.State.Apply(&e); err != nil {
				return rollout.Decision{}, fmt.Errorf("internal: %w", err)
			}
		}
		turn = append(turn, e)
	}
	decision := rollout.Next(l.State, time.Now())
	starts := l.starts(decision)
	if err := l.append(append(turn, starts...)); err != nil {
		// What was decided is decided again, knowing that nothing can be recorded. What happened,
		// happened: it stays in the state, which is all there is to restore the pools from.
		if ctx.Err() != nil {
			return decision, nil
		}
		l.broken = fmt.Errorf("the journal cannot be written: %w", err)
		return l.turn(ctx, []rollout.Event{{Kind: rollout.AbortAsked, Level: rollout.AbortNow, Cause: rollout.AbortJournal,
			Detail: l.broken.Error()}})
	}
	for i := range starts {
		if err := l.State.Apply(&starts[i]); err != nil {
			return decision, fmt.Errorf("internal: %w", err)
		}
	}
	l.show(append(turn, starts...))
	for _, step := range decision.Start {
		l.start(ctx, step)
	}
	for _, id := range decision.Stop {
		l.flights[id]()
	}
	return decision, nil
}

// show tells the observers what happened.
func (l *loop) show(turn []rollout.Event) {
	if len(turn) == 0 || len(l.Observers) == 0 {
		return
	}
	now := l.State.Snapshot()
	for _, o := range l.Observers {
		o.Observe(turn, now)
	}
}

// starts returns the events that record a decision.
func (l *loop) starts(d rollout.Decision) []rollout.Event {
	var events []rollout.Event
	for i, step := range d.Start {
		e := l.stamp(rollout.Event{
			Kind: rollout.StepStarted, Step: step.ID, StepKind: step.Kind, Host: step.Host, Source: step.Source, Check: step.Check,
			Moment:  step.Moment,
			Attempt: step.Attempt,
		})
		e.Seq += int64(i)
		events = append(events, e)
	}
	if d.Done && l.State.Finished() == nil {
		outcome := l.State.Outcome()
		events = append(events, l.stamp(rollout.Event{Kind: rollout.RunFinished, Outcome: &outcome}))
	}
	return events
}

// stamp makes e the next event of the run.
func (l *loop) stamp(e rollout.Event) rollout.Event {
	e.Seq, e.At, e.Run = l.State.Seq+1, time.Now().UTC(), l.State.Plan.Run
	return e
}

func (l *loop) append(events []rollout.Event) error {
	if l.broken != nil || len(events) == 0 {
		return nil
	}
	return l.Journal.Append(events)
}

// start begins the effect of a step in a goroutine of its own, which sends its one end event.
func (l *loop) start(ctx context.Context, step rollout.Step) {
	ctx, cancel := context.WithCancel(ctx)
	l.flights[step.ID] = cancel
	go func() {
		e := l.do(ctx, step)
		e.Step, e.Host, e.Source, e.Attempt = step.ID, step.Host, step.Source, step.Attempt
		l.ended <- e
	}()
}

// do guards the run against a step that panics: proxies are out of their pools, and only the loop
// puts them back.
func (l *loop) do(ctx context.Context, step rollout.Step) (e rollout.Event) {
	defer func() {
		if p := recover(); p != nil {
			e = rollout.Event{
				Kind: rollout.StepFailed, Class: rollout.Permanent,
				Error: fmt.Sprintf("internal: panic: %v", p), Detail: string(debug.Stack()),
			}
		}
	}()
	return l.Doer.Do(ctx, step)
}

// wait returns what happened next: at least one event, and all others that are there already; or
// none when it is time to ask again.
func (l *loop) wait(ctx context.Context, wake time.Time) []rollout.Event {
	var alarm <-chan time.Time
	if !wake.IsZero() {
		timer := time.NewTimer(time.Until(wake))
		defer timer.Stop()
		alarm = timer.C
	}
	var happened []rollout.Event
	select {
	case e := <-l.ended:
		happened = l.end(happened, e)
	case e, open := <-l.World:
		happened = l.outside(happened, e, open)
	case <-alarm:
	case <-ctx.Done():
	}
	for {
		select {
		case e := <-l.ended:
			happened = l.end(happened, e)
		case e, open := <-l.World:
			happened = l.outside(happened, e, open)
		default:
			return happened
		}
	}
}

// outside takes what the world brings, until it has nothing more to say.
func (l *loop) outside(happened []rollout.Event, e rollout.Event, open bool) []rollout.Event {
	if !open {
		l.World = nil
		return happened
	}
	return append(happened, e)
}

func (l *loop) end(happened []rollout.Event, e rollout.Event) []rollout.Event {
	l.flights[e.Step]()
	delete(l.flights, e.Step)
	happened = append(happened, e)
	if e.Class == rollout.Changed {
		// What a look found out is of the world, too: who reads events need not know of looks.
		happened = append(happened, rollout.Event{Kind: rollout.SourceChanged, Host: e.Host, Error: e.Error})
	}
	return happened
}

// drain waits for the effects that are still in flight.
func (l *loop) drain() {
	for range len(l.flights) {
		<-l.ended
	}
}
