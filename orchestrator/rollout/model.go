package rollout

import "slices"

// model is what a State keeps so that a Snapshot costs what changed since the last one: the reports of hosts, in blocks that snapshots
// share, and the counts over them. Apply only notes which hosts an event is about; the rest is done when somebody asks.
type model struct {
	stageOf []int // host → the place in Plan.Stages of the one that changes its tree, or none
	hosts   HostList
	counts  Counts
	stages  []*StageReport
	bytes   int64 // on the wire, of the hosts' last good syncs
	running []*Flight

	dirty []int // hosts whose reports may be old
	all   bool  // any host's may be

	quarantined, mixed []Named // as the outcome names them
	named              bool    // those are up to date
}

// globals is what every host's report depends on.
type globals struct {
	stopping, now, finished bool
	gate                    Verdict
}

func (s *State) globals() globals {
	return globals{stopping: s.stopping(), now: s.abort >= AbortNow, finished: s.outcome != nil, gate: s.gate.verdict}
}

func newModel(p *Plan, index map[string]int) model {
	m := model{stageOf: make([]int, len(p.Hosts)), all: true, hosts: newHostList(p, index), stages: make([]*StageReport, len(p.Stages))}
	for i := range m.stageOf {
		m.stageOf[i] = none
	}
	for place, stage := range p.Stages {
		m.stages[place] = &StageReport{Name: stage.Name, Kind: stage.Kind, State: StageToCome, Batch: p.Batch(place), Hosts: len(stage.Hosts)}
		switch stage.Kind {
		case StageSync, StageUndo:
			for _, name := range stage.Hosts {
				if i, ok := index[name]; ok {
					m.stageOf[i] = place
				}
			}
		case StageCheck, StageDepool, StageRepool, StageHook:
		}
	}
	return m
}

// touch notes that a host's report may be old.
func (s *State) touch(i int) {
	if i != none && !s.model.all {
		s.model.dirty = append(s.model.dirty, i)
	}
}

// touched notes what an event may have changed of the reports: the host it is about, or all of them where it changed what
// all depend on.
func (s *State) touched(e *Event, was globals) {
	if s.gate.verdict != "" && s.gate.decided.IsZero() {
		s.gate.decided = e.At
	}
	switch e.StepKind {
	case StepObserve, StepDepool, StepRepool, StepQuarantine, StepRelease:
		s.model.named = false
	case StepSync, StepCheck, StepRecheck, StepRollback, StepHook, StepPost, StepOnFailure:
	}
	if s.globals() != was {
		s.model.named = false
	}
	if s.globals() != was || e.Kind == RunResumed || e.Kind == RunStarted {
		s.model.all, s.model.dirty = true, s.model.dirty[:0]
		return
	}
	if i, ok := s.index[e.Host]; ok {
		s.touch(i)
	}
}

// refresh brings reports and counts up to date.
func (s *State) refresh() {
	m := &s.model
	if m.all {
		for i := range s.hosts {
			s.refreshHost(i)
		}
	}
	for _, i := range m.dirty {
		s.refreshHost(i)
	}
	m.all, m.dirty = false, m.dirty[:0]
}

func (s *State) refreshHost(i int) {
	if i == s.origin {
		return
	}
	m := &s.model
	now := s.report(i)
	if was := m.hosts.at(i); was != nil {
		if *was == now {
			return
		}
		s.countHost(was, -1)
	}
	s.countHost(&now, +1)
	m.hosts.set(i, &now)
}

// flightStarted and flightEnded keep the steps in flight in the order in which they were started.
func (s *State) flightStarted(e *Event) {
	s.model.running = append(s.model.running, &Flight{
		Step: e.Step, Kind: e.StepKind, Host: e.Host, Source: e.Source, Check: e.Check, Moment: e.Moment, Attempt: e.Attempt, Since: e.At,
	})
}

func (s *State) flightEnded(id StepID) {
	s.model.running = slices.DeleteFunc(s.model.running, func(f *Flight) bool { return f.Step == id })
}

// countHost counts a host in the run and in its stage, or no longer counts it.
func (s *State) countHost(r *HostReport, by int) {
	m := &s.model
	m.counts.add(r, by)
	if r.Stats != nil {
		m.bytes += int64(by) * r.Stats.Bytes
	}
	if r.Stage != none {
		stage := *m.stages[r.Stage] // snapshots have the old one
		stage.Counts.add(r, by)
		m.stages[r.Stage] = &stage
	}
}
