package rollout

import (
	"slices"
	"time"
)

// Decision is what to do now.
type Decision struct {
	Start []Step    // to be started, after their step_started events are durable
	Stop  []StepID  // in flight, to be ended; named again until they have
	Wake  time.Time // when to ask again though nothing has happened; zero: not before something has
	Done  bool      // nothing is in flight and nothing is left to do
}

// Next decides what to do at a time. It changes nothing: asked again with the same state and time it
// gives the same answer.
func Next(s *State, now time.Time) Decision {
	d := decider{s: s, now: now}
	if s.outcome != nil {
		return Decision{Done: true}
	}
	d.pools()
	ended := s.stopping() || s.stage == len(s.Plan.Stages)
	if !ended {
		switch stage := &s.Plan.Stages[s.stage]; stage.Kind {
		case StageSync:
			d.syncs()
			d.rechecks()
		case StageUndo:
			d.undos()
		case StageCheck:
			d.checks()
		case StageHook:
			d.startHook(Moment(stage.Name))
		case StageDepool, StageRepool:
		}
	}
	d.rollbacks()
	d.hostHooks()
	d.quarantines()
	d.stops()
	quiet := ended && len(s.flights) == 0 && len(d.Start) == 0 &&
		!slices.ContainsFunc(s.pooled, s.restorable) && !s.rollbacksLeft() && !s.hostHooksLeft() && !s.quarantinesLeft()
	if quiet && s.endsBadly() {
		d.startHook(MomentOnFailure) // the very last thing
		return d.Decision
	}
	d.Done = quiet
	return d.Decision
}

// decider is one call of Next: the decision so far, and what it has given away already.
type decider struct {
	Decision
	s   *State
	now time.Time

	room   int          // syncs that may still be started
	usable []*candidate // sources with a free slot
	given  map[int]bool // hosts
}

// candidate is a source with a free slot, and how far into its lists of hosts the decision has come.
type candidate struct {
	host   int
	load   int
	slots  int
	cursor [levels]int
}

// begin starts a step about a host, of which that many attempts were started before. The step says what kind it is, and what
// doing it needs besides.
func (d *decider) begin(i, attempts int, step Step) {
	step.Host = d.s.Plan.Hosts[i].Name
	step.ID, step.Attempt = stepID(step.Kind, step.Host), attempts+1
	d.Start = append(d.Start, step)
}

// pools takes proxies out while somebody needs them, and puts back those that nobody needs.
func (d *decider) pools() {
	s := d.s
	depool := !s.stopping() && s.stage >= s.depoolStage && s.stage < len(s.Plan.Stages)
	depooling := s.depools > 0
	for _, i := range s.pooled {
		h := &s.hosts[i]
		p := h.pool
		restore := s.restorable(i)
		if p.due.After(d.now) {
			if restore || s.needed(i) {
				earliest(&d.Wake, p.due)
			}
			continue
		}
		switch p.status {
		case poolIdle, poolObserved, poolOut:
		case poolObserving, poolDepooling, poolRestoring, poolBack, poolStuck:
			continue
		}
		switch {
		case restore && (h.hook.running || h.sync == ending && s.abort < AbortNow): // see hostHooks
		case restore && h.source.load == 0 && h.sync != syncing:
			d.startPool(StepRepool, i, p.receipts)
		case !depool || !s.needed(i):
		case p.status == poolIdle:
			d.startPool(StepObserve, i, p.receipts)
		case p.status == poolObserved && !depooling:
			// One at a time: each is judged by what the one before has left in the pool.
			depooling = true
			d.startPool(StepDepool, i, p.seen)
		}
	}
}

func (d *decider) startPool(kind StepKind, i int, objects []Object) {
	d.begin(i, d.s.hosts[i].pool.attempts[kind], Step{Kind: kind, Objects: objects})
}

// checks starts the rounds of the gate that are due.
func (d *decider) checks() {
	s := d.s
	for i := range s.gate.checks {
		c := &s.gate.checks[i]
		if c.running || c.passed {
			continue
		}
		due := s.due(c)
		if due.After(d.now) {
			earliest(&d.Wake, due)
			continue
		}
		d.Start = append(d.Start, Step{
			ID: stepID(StepCheck, c.name), Kind: StepCheck, Attempt: c.round + 1,
			Check: c.name, Hosts: s.Plan.Stages[s.stage].Hosts,
		})
	}
}

// syncs hands hosts of the current stage to sources with a free slot: first those whose time for
// another attempt has come, then those that wait for their first, nearest first.
func (d *decider) syncs() {
	s := d.s
	d.room = s.Plan.Limits.Parallel - s.syncing
	if d.room <= 0 || s.ready.size+s.delayed.size() == 0 {
		return
	}
	r := s.stageSources()
	for _, i := range r.free {
		src := s.hosts[i].source
		if src.from.After(d.now) {
			earliest(&d.Wake, src.from)
			continue
		}
		c := &candidate{host: i, load: src.load, slots: src.slots}
		for l := range levels {
			c.cursor[l] = s.ready.first(l, i)
		}
		d.usable = append(d.usable, c)
	}
	d.given = map[int]bool{}
	d.retries(r)
	d.fresh()
	if d.room > 0 && len(d.usable) > 0 {
		// Otherwise there is nothing to wake up for before a sync has ended.
		earliest(&d.Wake, s.delayed.wake(d.now))
	}
}

// retries gives hosts that failed before to a source that has not failed them, and waits for one
// rather than to try the same again. Only when all have failed a host is any of them tried once more.
func (d *decider) retries(r *sourceSet) {
	skipped := 0
	d.s.delayed.walk(d.now, func(i int) bool {
		if c := d.retrySource(i, r); c != nil {
			d.startSync(i, c)
		} else {
			skipped++
		}
		return d.room > 0 && len(d.usable) > 0 && skipped < d.s.Plan.Limits.Parallel
	})
}

func (d *decider) retrySource(i int, r *sourceSet) *candidate {
	tried := d.s.hosts[i].tried
	exhausted := !slices.ContainsFunc(r.serving, func(src int) bool { return !slices.Contains(tried, src) })
	var best *candidate
	for _, c := range d.usable {
		if !exhausted && slices.Contains(tried, c.host) {
			continue
		}
		if best == nil || d.nearer(i, c, best) {
			best = c
		}
	}
	return best
}

func (d *decider) nearer(host int, a, b *candidate) bool {
	if x, y := d.s.ready.near(host, a.host), d.s.ready.near(host, b.host); x != y {
		return x < y
	}
	return a.lighter(b)
}

func (c *candidate) lighter(o *candidate) bool { return c.load*o.slots < o.load*c.slots }

// fresh gives every free slot a host: first one of the source's own rack, then of its datacenter,
// then any. Nearness is never waited for.
func (d *decider) fresh() {
	for l := range levels {
		for d.room > 0 {
			var best *candidate
			for _, c := range d.usable {
				if d.waiting(l, c) != none && (best == nil || c.lighter(best)) {
					best = c
				}
			}
			if best == nil {
				break
			}
			d.startSync(best.cursor[l], best)
		}
	}
}

// waiting returns the first host at a level from c that this decision has not given away, or none.
func (d *decider) waiting(l level, c *candidate) int {
	for c.cursor[l] != none && d.given[c.cursor[l]] {
		c.cursor[l] = d.s.ready.next(l, c.cursor[l])
	}
	return c.cursor[l]
}

func (d *decider) startSync(i int, c *candidate) {
	d.begin(i, d.s.hosts[i].attempts, Step{Kind: StepSync, Source: d.s.Plan.Hosts[c.host].Name})
	d.given[i] = true
	d.room--
	if c.load++; c.load >= c.slots {
		d.usable = slices.DeleteFunc(d.usable, func(o *candidate) bool { return o == c })
	}
}

// mustEnd says whether transfers from source i must be ended: it is lost or silent, or users are on it again.
func (s *State) mustEnd(i int) bool {
	h := &s.hosts[i]
	return h.source.lost || h.source.silent || h.pool != nil && h.pool.status != poolOut
}

// stops names what must not go on: transfers from a source that may no longer serve, or to a canary that
// will be rolled back; checks of a gate that is decided; and every transfer once that was asked for.
func (d *decider) stops() {
	s := d.s
	decided := s.gate.verdict != "" && slices.ContainsFunc(s.gate.checks, func(c check) bool { return c.running })
	if !s.anyLost && !decided && !s.rollbacksLeft() && s.abort < AbortNow {
		return
	}
	for id, f := range s.flights {
		switch f.kind {
		case StepSync:
			if s.abort >= AbortNow || s.mustEnd(f.source) || s.toRollBack(f.host) {
				d.Stop = append(d.Stop, id)
			}
		case StepRollback, StepRecheck, StepHook, StepPost, StepOnFailure:
			if s.abort >= AbortNow {
				d.Stop = append(d.Stop, id)
			}
		case StepCheck:
			if s.abort >= AbortNow || decided {
				d.Stop = append(d.Stop, id)
			}
		case StepObserve, StepDepool, StepRepool, StepQuarantine, StepRelease: // short, and never left half-way
		}
	}
	slices.Sort(d.Stop)
}
