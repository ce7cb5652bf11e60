package rollouttest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// Sim runs a plan in virtual time: it is the loop and the executor of a run, without goroutines. Decisions and states are
// those of package rollout; what becomes of each step is decided by Begin when it starts. It is for one goroutine. Make one with NewSim.
type Sim struct {
	Plan    *rollout.Plan
	State   *rollout.State
	Now     time.Time
	Journal []rollout.Event // all that has happened
	Flights []*Flight       // in the order started
	Agenda  []rollout.Event // what the world will do, by time
	Turns   int

	Begin    func(step rollout.Step) *Flight          // decides how a step ends, and when
	Stop     func(f *Flight)                          // ends a step before its time; nil: at once, as stopped
	Arrive   func(e rollout.Event) bool               // sees what the world does before it happens, and may keep it from that; may be nil
	Decided  func(d rollout.Decision)                 // sees each decision before anything of it happens; may be nil
	Happened func(e rollout.Event)                    // sees each event; may be nil
	Observe  func([]rollout.Event, *rollout.Snapshot) // sees each turn, as the observers of a run do; may be nil

	turn []rollout.Event
}

// Flight is a step in flight.
type Flight struct {
	Step rollout.Step
	End  time.Time
	Land func() rollout.Event // has the step's effect and says how it ended; what it is about is filled in
}

// NewSim returns a simulation of a plan that has not begun.
func NewSim(p *rollout.Plan) (*Sim, error) {
	state, err := rollout.NewState(p)
	if err != nil {
		return nil, err
	}
	return &Sim{Plan: p, State: state, Now: Began}, nil
}

// Happen makes an event part of the run.
func (s *Sim) Happen(e rollout.Event) error {
	e.Seq, e.At, e.Run = s.State.Seq+1, s.Now, s.Plan.Run
	if err := s.State.Apply(&e); err != nil {
		return err
	}
	s.Journal, s.turn = append(s.Journal, e), append(s.turn, e)
	if s.Happened != nil {
		s.Happened(e)
	}
	return nil
}

// Turn decides and begins what was decided, as a turn of the loop does; at the end of the run it finishes it.
func (s *Sim) Turn() (rollout.Decision, error) {
	s.Turns++
	d := rollout.Next(s.State, s.Now)
	if s.Decided != nil {
		s.Decided(d)
	}
	for _, step := range d.Start {
		err := s.Happen(rollout.Event{Kind: rollout.StepStarted, Step: step.ID, Host: step.Host, Source: step.Source, Attempt: step.Attempt})
		if err != nil {
			return d, err
		}
	}
	for _, step := range d.Start {
		f := s.Begin(step)
		f.Step = step
		s.Flights = append(s.Flights, f)
	}
	for _, f := range s.Flights {
		if slices.Contains(d.Stop, f.Step.ID) {
			s.stop(f)
		}
	}
	if d.Done && s.State.Finished() == nil {
		outcome := s.State.Outcome()
		if err := s.Happen(rollout.Event{Kind: rollout.RunFinished, Outcome: &outcome}); err != nil {
			return d, err
		}
	}
	if s.Observe != nil && len(s.turn) > 0 {
		s.Observe(s.turn, s.State.Snapshot())
	}
	s.turn = nil
	return d, nil
}

func (s *Sim) stop(f *Flight) {
	if s.Stop != nil {
		s.Stop(f)
		return
	}
	f.End, f.Land = s.Now, func() rollout.Event { return *Fail(rollout.Stopped, "stopped") }
}

// ErrStall is that nothing will ever happen.
var ErrStall = errors.New("nothing is in flight, nothing is to come, and the run has not ended")

// Elapse goes on to the next moment at which anything happens, at the latest to wake if that is not zero, and lets it happen.
func (s *Sim) Elapse(wake time.Time) error {
	next := wake
	earlier := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	for _, f := range s.Flights {
		earlier(f.End)
	}
	if len(s.Agenda) > 0 {
		earlier(s.Agenda[0].At)
	}
	if next.IsZero() {
		return fmt.Errorf("after event %d: %w", s.State.Seq, ErrStall)
	}
	if next.After(s.Now) {
		s.Now = next
	}
	var landed []*Flight
	s.Flights = slices.DeleteFunc(s.Flights, func(f *Flight) bool {
		if f.End.After(s.Now) {
			return false
		}
		landed = append(landed, f)
		return true
	})
	slices.SortStableFunc(landed, func(a, b *Flight) int { return a.End.Compare(b.End) })
	for _, f := range landed {
		if err := s.Happen(s.Land(f)); err != nil {
			return err
		}
	}
	for len(s.Agenda) > 0 && !s.Agenda[0].At.After(s.Now) {
		e := s.Agenda[0]
		s.Agenda = s.Agenda[1:]
		if s.Arrive != nil && !s.Arrive(e) {
			continue
		}
		if err := s.Happen(e); err != nil {
			return err
		}
	}
	return nil
}

// Land returns the event that a step ends with, after its effect.
func (s *Sim) Land(f *Flight) rollout.Event {
	e := f.Land()
	e.Step, e.Host, e.Source, e.Attempt = f.Step.ID, f.Step.Host, f.Step.Source, f.Step.Attempt
	return e
}
