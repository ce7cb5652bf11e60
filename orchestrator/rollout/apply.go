package rollout

import (
	"fmt"
	"time"
)

// Apply folds one event into the state, and fills in what the core alone knows of it: what its step is about, and what
// becomes of one that failed. An error means that the event does not belong to this run
// at this point: the journal is corrupt, or the program is wrong; the state is then not to be used.
func (s *State) Apply(e *Event) error {
	if e.Seq != s.Seq+1 {
		return fmt.Errorf("event %d follows event %d", e.Seq, s.Seq)
	}
	if e.Run != s.Plan.Run {
		return fmt.Errorf("event %d is of run %q, not %q", e.Seq, e.Run, s.Plan.Run)
	}
	was := s.globals()
	if err := s.apply(e); err != nil {
		return fmt.Errorf("event %d (%s %s): %w", e.Seq, e.Kind, e.Step, err)
	}
	s.Seq, s.At = e.Seq, e.At
	s.advance(e.At)
	if e.Kind == RunResumed && s.stopping() {
		s.wantFailureHooks() // none of them will be tried again
	}
	if !s.stopping() && s.sourceless() {
		const why = "no source with the run's tree is left"
		s.stop(HaltSource, why)
		if s.Plan.Hosts[s.index[s.Plan.Stages[s.stage].Hosts[0]]].Role == RoleCanary {
			// Canaries that cannot be synced fail the gate, whatever keeps them from it.
			s.decide(Fail, "the canaries cannot be synced: "+why)
		}
	}
	s.touched(e, was)
	return nil
}

func (s *State) apply(e *Event) error {
	switch e.Kind {
	case RunStarted:
		s.started, s.format = e.At, e.Format
		s.enter(e.At)
		return nil
	case RunResumed:
		s.format = e.Format
		s.resumed(e.At)
		if e.Error != "" {
			s.stop(HaltSource, e.Error)
		}
		return nil
	case StepStarted:
		return s.stepStarted(e)
	case StepDone, StepFailed:
		return s.stepEnded(e)
	case PoolChanged:
		i, ok := s.index[e.Host]
		if !ok {
			return fmt.Errorf("the plan has no host %q", e.Host)
		}
		s.edited(i, e)
		return nil
	case SourceChanged:
		i, ok := s.index[e.Host]
		if !ok || s.hosts[i].source == nil {
			return fmt.Errorf("host %q is no source", e.Host)
		}
		s.lose(i)
		return nil
	case SourceSilent:
		i, ok := s.index[e.Host]
		if !ok || s.hosts[i].source == nil {
			return fmt.Errorf("host %q is no source", e.Host)
		}
		s.fellSilent(i)
		return nil
	case LockLost:
		s.stop(HaltLock, "the lock was lost: "+e.Error)
		s.abort = max(s.abort, AbortNow)
		s.wantFailureHooks()
		return nil
	case AbortAsked:
		if e.Level < AbortGently {
			return fmt.Errorf("abort level %d", e.Level)
		}
		s.abort, s.abortWhy = max(s.abort, e.Level), e.Detail
		s.wantFailureHooks()
		return nil
	case RunFinished:
		if e.Outcome != nil && s.format < Format {
			s.completeOutcome(e.Outcome)
		}
		s.outcome = e.Outcome
		return nil
	default:
		return fmt.Errorf("unknown kind")
	}
}

// completeOutcome fills in what an outcome of form 1 does not say: what stopped the run, which hooks it names, and who of those that
// failed has the tree.
func (s *State) completeOutcome(o *Outcome) {
	now := s.Outcome()
	o.Halt, o.Hooks, o.Counts = now.Halt, now.Hooks, now.Counts
}

func (s *State) stepStarted(e *Event) error {
	if _, running := s.flights[e.Step]; running {
		return fmt.Errorf("started twice")
	}
	name, err := s.identify(e)
	if err != nil {
		return err
	}
	kind := e.StepKind
	f := flight{kind: kind, host: none, source: none, attempt: e.Attempt, since: e.At}
	switch kind {
	case StepCheck:
		f.check = s.check(name)
		f.check.running, f.check.started, f.check.round = true, e.At, e.Attempt
	case StepSync:
		f.host = s.index[name]
		src, ok := s.index[e.Source]
		if !ok || s.hosts[src].source == nil {
			return fmt.Errorf("host %q is no source", e.Source)
		}
		h := &s.hosts[f.host]
		if h.sync != waiting {
			return fmt.Errorf("the host is %s", h.sync)
		}
		f.source = src
		h.err, h.class = "", "" // what the tree was before is over
		h.sync, h.attempts, h.last, h.at, h.undo.fresh = syncing, e.Attempt, e.Source, e.At, false
		h.hook.tried, h.hook.post = true, ""
		s.ready.remove(f.host)
		s.delayed.remove(f.host)
		s.syncing++
		s.load(src, +1)
	case StepRecheck:
		f.host = s.index[name]
		if s.hosts[f.host].recheck == nil {
			return fmt.Errorf("host %q is not looked at", name)
		}
		s.recheckStarted(f.host, e.Attempt)
	case StepRollback:
		f.host = s.index[name]
		if err := s.undoStarted(f.host, e); err != nil {
			return err
		}
	case StepHook:
		f.moment = Moment(name)
		s.hookStarted(f.moment, e)
	case StepPost, StepOnFailure:
		f.host = s.index[name]
		if err := s.hostHookStarted(f.host, e, kind); err != nil {
			return err
		}
	case StepQuarantine, StepRelease:
		f.host = s.index[name]
		if q := s.hosts[f.host].quarantine; q == nil || (kind == StepRelease) != (q.out && !q.again) {
			return fmt.Errorf("the host is in no quarantine that is to begin or end")
		}
		s.quarantineStarted(f.host, kind, e.Attempt)
	case StepObserve, StepDepool, StepRepool:
		f.host = s.index[name]
		p := s.hosts[f.host].pool
		if p == nil {
			return fmt.Errorf("the host has no pools in this plan")
		}
		p.attempts[kind] = e.Attempt
		switch kind {
		case StepObserve:
			p.status = poolObserving
		case StepDepool:
			p.status, p.held = poolDepooling, true
			s.depools++
		default:
			p.status = poolRestoring
		}
		s.reconsider(f.host)
	}
	s.flights[e.Step] = f
	s.flightStarted(e)
	return nil
}

// identify fills in what kind of step an event is about, and returns its name: a host of the plan, a check or a moment. Events of
// form 1 say it in the name of the step alone, and call a recheck a look.
func (s *State) identify(e *Event) (name string, err error) {
	if e.Host != "" {
		if _, ok := s.index[e.Host]; !ok {
			return "", fmt.Errorf("the plan has no host %q", e.Host)
		}
		if e.Step == StepID("look/"+e.Host) {
			e.Step = stepID(StepRecheck, e.Host)
		}
		for _, kind := range StepKinds {
			if kind.aboutHost() && e.Step == stepID(kind, e.Host) {
				e.StepKind = kind
				return e.Host, nil
			}
		}
		return "", fmt.Errorf("not a step of host %s", e.Host)
	}
	for i := range s.gate.checks {
		if name := s.gate.checks[i].name; e.Step == stepID(StepCheck, name) {
			e.StepKind, e.Check = StepCheck, name
			return name, nil
		}
	}
	for _, m := range s.Plan.Hooks {
		if e.Step == stepID(StepHook, string(m)) {
			e.StepKind, e.Moment = StepHook, m
			return string(m), nil
		}
	}
	return "", fmt.Errorf("the plan has no such step")
}

func (s *State) stepEnded(e *Event) error {
	if e.Host != "" && e.Step == StepID("look/"+e.Host) {
		e.Step = stepID(StepRecheck, e.Host)
	}
	f, ok := s.flights[e.Step]
	if !ok || f.attempt != e.Attempt {
		return fmt.Errorf("ended without having been started as attempt %d", e.Attempt)
	}
	delete(s.flights, e.Step)
	s.flightEnded(e.Step)
	e.StepKind, e.Moment = f.kind, f.moment
	e.Fate, e.GiveUp, e.Failures, e.RetryAt = "", "", 0, time.Time{} // which a journal says already
	if f.check != nil {
		e.Check = f.check.name
	}
	done := e.Kind == StepDone
	switch f.kind {
	case StepSync:
		s.syncEnded(f, e, done)
	case StepCheck:
		f.check.running = false
		switch {
		case done:
			s.judged(f.check, e.Verdict, e.Detail)
		case e.Class != Stopped:
			s.judged(f.check, Unknown, e.Error)
		}
		if !done {
			e.Failures = f.check.unknowns
			e.retried(time.Time{}, s.stopping() || s.gate.verdict != "")
		}
	case StepRecheck:
		s.recheckEnded(f.host, e, done)
	case StepRollback:
		s.undoEnded(f.host, e, done)
	case StepHook:
		s.hookEnded(f.moment, e, done)
	case StepPost, StepOnFailure:
		s.hostHookEnded(f.host, f.kind, e, done)
	case StepQuarantine, StepRelease:
		s.quarantineEnded(f.host, f.kind, e, done)
	case StepObserve, StepDepool, StepRepool:
		if f.kind == StepDepool {
			s.depools--
		}
		if done {
			s.poolDone(f, e)
		} else {
			s.poolFailed(f.host, f.kind, e)
		}
		if f.kind == StepDepool {
			s.wroteAll(f.host, e.Objects)
		}
		s.reconsider(f.host)
	}
	return nil
}

func (s *State) syncEnded(f flight, e *Event, done bool) {
	h := &s.hosts[f.host]
	s.syncing--
	s.load(f.source, -1)
	s.pulled(f.source)
	h.at = e.At
	if done {
		h.sync, h.err, h.class, h.stats = synced, "", "", e.Stats
		s.hosts[f.source].source.fails = 0
		if s.Plan.Hosts[f.host].Post {
			h.sync, h.hook.failures = ending, 0
			s.postHooks.add(f.host, time.Time{})
			return
		}
		s.finalize(f.host)
		return
	}
	h.sync, h.err, h.class = waiting, e.Error, e.Class
	if s.stopping() {
		defer s.wantFailureHook(f.host) // whatever comes of it, it is not tried again
	}
	if e.Blame {
		s.blame(f.source, e.Class)
		s.suspect(f.source)
	}
	due, why := s.again(&h.tries, e)
	switch e.Class {
	case Stopped, Busy:
	case Transient:
		h.tried = append(h.tried, f.source)
	default: // permanent, and what no sync should end with
		if e.Blame {
			// The source refuses, for good: another need not.
			h.failures++
			h.tried = append(h.tried, f.source)
			due = e.At
			if h.failures < s.Plan.Limits.Attempts && s.untried(h) {
				why = ""
			}
		}
	}
	e.Failures = h.failures
	if why == "" {
		s.wait(f.host, due)
		e.retried(due, s.stopping())
		return
	}
	e.gaveUp(why)
	s.failedForGood(f.host, "synced", h.err)
}

// failedForGood records that a host will not get what the run was to bring it.
func (s *State) failedForGood(i int, what, err string) {
	s.hosts[i].sync = failed
	s.finalize(i)
	s.failures++
	if s.failures > s.Plan.Limits.MaxFailures {
		s.stop(HaltBudget, fmt.Sprintf("%d hosts failed, of which %d may", s.failures, s.Plan.Limits.MaxFailures))
	}
	if h := s.Plan.Hosts[i]; h.Role == RoleCanary {
		s.decide(Fail, fmt.Sprintf("canary %s cannot be %s: %s", h.Name, what, err))
	}
	s.unfit(i)
	s.wantFailureHook(i)
}

// finalize records that a host has been synced or has failed for good.
func (s *State) finalize(i int) {
	if h := &s.hosts[i]; h.counted { // else it is what an earlier life of the run has left to do
		h.counted = false
		s.stageLeft--
	}
	if s.hosts[i].fleet {
		s.fleetLeft--
	}
	s.reconsider(i)
}

func (s *State) load(i, by int) {
	src := s.hosts[i].source
	src.load += by
	s.byTier[src.tier].update(i, src)
	if i == s.origin {
		s.updateOrigin()
	}
}

func (s *State) poolDone(f flight, e *Event) {
	p := s.hosts[f.host].pool
	p.due, p.err = time.Time{}, ""
	switch f.kind {
	case StepObserve:
		p.status = poolObserved
		p.out = held(e.Objects)
		if err := p.observed(e.Objects); err != nil {
			p.refused, p.refusal, p.err = true, err.Error(), err.Error()
		}
	case StepDepool:
		p.failures = 0
		p.status, p.outAt = poolOut, e.At
		s.hosts[f.host].source.from = s.drained(f.host)
	default:
		p.failures = 0
		p.status, p.held, p.out = poolBack, false, nil
		if e.Detail != "" {
			s.named = append(s.named, Named{Host: e.Host, Detail: e.Detail})
		}
	}
}

// resumed folds a new beginning of the same run. Steps that never ended are to be started again, as
// a new attempt that does not count as a failure. Pools are looked at again: somebody may have put
// them back meanwhile. A run that had finished is opened again: what failed gets new attempts.
func (s *State) resumed(at time.Time) {
	for id, f := range s.flights {
		switch f.kind {
		case StepSync:
			s.hosts[f.host].sync = waiting
			s.syncing--
			s.load(f.source, -1)
			s.pulled(f.source)
		case StepCheck:
			f.check.running = false
		case StepRollback:
			s.hosts[f.host].sync = waiting
			s.syncing--
		case StepRecheck:
			s.hosts[f.host].recheck.running = false
			s.pulled(f.host)
		case StepQuarantine, StepRelease:
			s.hosts[f.host].quarantine.running = false
		case StepHook:
			at := s.moments[f.moment]
			at.running = false
			s.moments[f.moment] = at
		case StepPost, StepOnFailure: // see resumeHostHooks
		case StepObserve, StepDepool, StepRepool:
		}
		delete(s.flights, id)
	}
	s.depools, s.hooksInFlight = 0, 0
	s.model.running, s.model.named = nil, false
	for place, stage := range s.model.stages {
		fresh := *stage // snapshots have the old one
		fresh.State, fresh.Began, fresh.Ended, fresh.Left = StageToCome, time.Time{}, time.Time{}, 0
		s.model.stages[place] = &fresh
	}
	for _, i := range s.pooled {
		p := s.hosts[i].pool
		p.status = poolIdle
		p.failures, p.due = 0, time.Time{}
	}
	s.abort, s.abortWhy = 0, ""
	if s.outcome != nil {
		s.reopen()
	}
	for i := range s.hosts {
		s.ready.remove(i)
		s.delayed.remove(i)
		if s.hosts[i].source != nil {
			s.hosts[i].source.silent = false
		}
		s.hosts[i].counted = false
		s.resumeHostHooks(i)
		s.reconsider(i)
	}
	s.updateOrigin()
	s.stage = 0
	s.enter(at)
}

// reopen takes back what ended a finished run.
func (s *State) reopen() {
	s.outcome, s.halt, s.haltWhy, s.failures, s.rollingBack = nil, "", "", s.downs, false
	for m, at := range s.moments {
		s.moments[m] = moment{attempts: at.attempts} // what was done at the end has to be done again, and so what comes before
	}
	s.postFailed, s.hooked = false, nil
	if s.gate.verdict != Pass {
		s.gate = gate{checks: s.gate.checks}
		for i := range s.gate.checks {
			s.gate.checks[i] = check{name: s.gate.checks[i].name, round: s.gate.checks[i].round}
		}
	}
	for i := range s.hosts {
		h := &s.hosts[i]
		if h.source != nil {
			h.source.dropped, h.source.fails = false, 0
		}
		if h.pool != nil {
			h.pool.refused, h.pool.refusal = false, ""
		}
		s.reopenQuarantine(i)
		h.hook.tried = false
		if h.sync == failed && h.fleet {
			s.fleetLeft++
		}
		back := h.sync == rolledBack && s.Plan.Undoes == "" // a canary, and the run begins again with it
		halfWay := h.sync == waiting && h.undo.wanted       // a canary that was being rolled back, or was to be
		if h.sync == failed || back || halfWay {
			h.sync, h.tries, h.tried, h.undo = waiting, tries{}, nil, undo{attempts: h.undo.attempts, fresh: back}
		}
		h.undo.wanted = false // the gate is asked again
	}
}
