package rollout

import "slices"

// Running is a step in flight.
type Running struct {
	Step    StepID `json:"step"`
	Host    string `json:"host,omitempty"`
	Source  string `json:"source,omitempty"`
	Attempt int    `json:"attempt"`
}

// Stage returns the current stage and its place in the plan; false when all are complete.
func (s *State) Stage() (stage Stage, place int, ok bool) {
	if s.stage == len(s.Plan.Stages) {
		return Stage{}, s.stage, false
	}
	return s.Plan.Stages[s.stage], s.stage, true
}

// Running returns the steps in flight, sorted.
func (s *State) Running() []Running {
	running := make([]Running, 0, len(s.flights))
	for id, f := range s.flights {
		r := Running{Step: id, Attempt: f.attempt}
		if f.host != none {
			r.Host = s.Plan.Hosts[f.host].Name
		}
		if f.source != none {
			r.Source = s.Plan.Hosts[f.source].Name
		}
		running = append(running, r)
	}
	slices.SortFunc(running, func(a, b Running) int {
		if a.Step < b.Step {
			return -1
		}
		return 1
	})
	return running
}

// Gate returns the verdict of the gate and its reason; empty while it is not known.
func (s *State) Gate() (verdict Verdict, why string) { return s.gate.verdict, s.gate.why }

// Held returns the hosts that are out of their pools because of this run, in the fleet's order.
func (s *State) Held() []string {
	var names []string
	for _, i := range s.pooled {
		if s.hosts[i].pool.held {
			names = append(names, s.Plan.Hosts[i].Name)
		}
	}
	return names
}

// Stopping returns why nothing new starts any more; empty while the run goes on.
func (s *State) Stopping() string {
	switch {
	case s.halt != "":
		return s.haltWhy
	case s.abort > 0:
		return s.abortWhy
	default:
		return ""
	}
}

// Host returns where one host of the plan stands.
func (s *State) Host(name string) (HostReport, bool) {
	i, ok := s.index[name]
	if !ok {
		return HostReport{}, false
	}
	return s.report(i), true
}

// Receipts returns what a host's pool objects were before this run took them out; none if it does
// not hold any.
func (s *State) Receipts(host string) []Object {
	i, ok := s.index[host]
	if !ok || s.hosts[i].pool == nil || !s.hosts[i].pool.held {
		return nil
	}
	return slices.Clone(s.hosts[i].pool.receipts)
}

// Restoring says whether a host's pool objects are being put back just now.
func (s *State) Restoring(host string) bool {
	i, ok := s.index[host]
	return ok && s.hosts[i].pool != nil && s.hosts[i].pool.status == poolRestoring
}

// Lost returns the hosts that were sources and must not serve any more, in the fleet's order: their tree changed or cannot
// be looked at, or users are on them again.
func (s *State) Lost() []string {
	var names []string
	for _, i := range s.sources {
		if s.hosts[i].source.lost {
			names = append(names, s.Plan.Hosts[i].Name)
		}
	}
	return names
}
