// Package rollouttest plays runs in virtual time, for the tests of what shows them. Decisions and
// states are those of package rollout; the effects are scripted, and nothing waits.
package rollouttest

import (
	"fmt"
	"slices"
	"time"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// Began is when every played run begins.
var Began = time.Date(2016, 2, 2, 19, 6, 1, 0, time.UTC)

// Play is a run to be played.
type Play struct {
	Plan    *rollout.Plan
	Do      func(step rollout.Step) (took time.Duration, end *rollout.Event) // nil, or a nil end: all goes well
	World   []Happening                                                      // in order
	Observe func(turn []rollout.Event, now *rollout.Snapshot)                // may be nil
	Events  int                                                              // after which the run dies, at the end of a turn; 0: never
	// Events after which it dies and is resumed, an hour later; 0: never
	Resumed int
}

// Happening is an event that comes from outside of the run.
type Happening struct {
	After time.Duration // since the run began
	Event rollout.Event
}

// Run plays and returns the last state, or an error if the plan is not one.
func (p *Play) Run() (*rollout.State, error) {
	s, err := NewSim(p.Plan)
	if err != nil {
		return nil, err
	}
	s.Begin, s.Observe = func(step rollout.Step) *Flight { return p.begin(step, s) }, p.Observe
	for _, h := range p.World {
		e := h.Event
		e.At = Began.Add(h.After)
		s.Agenda = append(s.Agenda, e)
	}
	resumed := false
	err = s.Happen(rollout.Event{Kind: rollout.RunStarted, Plan: p.Plan})
	for err == nil {
		var d rollout.Decision
		d, err = s.Turn()
		switch {
		case err != nil || s.State.Finished() != nil || p.Events > 0 && s.State.Seq >= int64(p.Events):
			return s.State, err
		case p.Resumed > 0 && s.State.Seq >= int64(p.Resumed) && !resumed:
			resumed = true
			s.Now, s.Flights = s.Now.Add(time.Hour), nil
			err = s.Happen(rollout.Event{Kind: rollout.RunResumed})
		default:
			err = s.Elapse(d.Wake)
		}
	}
	return s.State, err
}

// begin begins a step.
func (p *Play) begin(step rollout.Step, s *Sim) *Flight {
	took, end := 2*time.Second, (*rollout.Event)(nil)
	if p.Do != nil {
		d, e := p.Do(step)
		if d > 0 {
			took = d
		}
		end = e
	}
	if end == nil {
		end = &rollout.Event{Kind: rollout.StepDone}
		switch step.Kind {
		case rollout.StepCheck:
			end.Verdict = rollout.Pass
		case rollout.StepObserve:
			o := rollout.Object{Key: "eqiad/appserver/apache2/" + step.Host, Value: `{"weight": 10, "pooled": "yes"}`, Index: 7}
			if slices.Contains(s.State.Snapshot().Out, step.Host) {
				o.Value, o.Index, o.Held = `{"weight": 10, "pooled": "no"}`, 8, true
			}
			end.Objects = []rollout.Object{o}
		case rollout.StepDepool:
			end.Objects = []rollout.Object{{Key: "eqiad/appserver/apache2/" + step.Host, Value: `{"weight": 10, "pooled": "no"}`, Index: 8,
				Held: true}}
		case rollout.StepQuarantine:
			end.Objects = []rollout.Object{{Key: "eqiad/appserver/apache2/" + step.Host, Value: `{"weight": 10, "pooled": "yes"}`, Index: 7}}
		case rollout.StepSync:
			end.Stats = &rollout.Stats{Files: 263_633, Transferred: 50, Bytes: 6_750_000, Size: 6_900_000_000}
		case rollout.StepRepool, rollout.StepRecheck, rollout.StepRollback, rollout.StepRelease,
			rollout.StepHook, rollout.StepPost, rollout.StepOnFailure:
		}
	}
	return &Flight{End: s.Now.Add(took), Land: func() rollout.Event { return *end }}
}

// Fail returns the end of a step that failed.
func Fail(class rollout.Class, err string) *rollout.Event {
	return &rollout.Event{Kind: rollout.StepFailed, Class: class, Error: err}
}

// Request asks for a full run, as the guard lets it begin: the canaries would get 53 files.
func Request() rollout.Request {
	r := rollout.Request{
		Run: "20160202-190601-9f3c", Mode: inventory.ModeSync, Made: Began, Pools: true, Drain: 10 * time.Second,
		Tree: &rollout.Tree{
			Fingerprint: "3f9ac4d21b07e65d8890ffab12c3d4e5f60718293a4b5c6d7e8f901234567890",
			Digest:      "b1946ac92492d2347c6235b4d2611184d41d8cd98f00b204e9800998ecf8427e",
			Files:       263_633, Bytes: 6_900_000_000,
		},
		Delta: &rollout.Delta{Allowed: 2_636}, MaxDelete: 2_636, Verify: inventory.VerifySample,
	}
	for _, name := range []string{"mw1017.eqiad.wmnet", "mw1018.eqiad.wmnet"} {
		r.Delta.Hosts = append(r.Delta.Hosts, rollout.HostDelta{
			Host: name, Create: 3, Change: 50, Bytes: 1_200_000,
			Top: []rollout.TopDelta{{Name: "php-1.27.0-wmf.11", Create: 3, Change: 41}, {Name: "wikiversions.php", Change: 1},
				{Name: "wmf-config", Change: 8}},
		})
	}
	return r
}

// Rollback asks for a run that takes back the one of Request.
func Rollback() rollout.Request {
	return rollout.Request{
		Run: "20160202-194412-07ad", Mode: rollout.ModeRollback, Made: Began, Undoes: Request().Run, MaxDelete: -1,
		Left: []rollout.Left{{Host: "tin.eqiad.wmnet", Reason: "a master: fleetsync masters undo --on tin.eqiad.wmnet"}},
	}
}

// Fleet returns a fleet of two masters and so many hosts, mw1017 and on, of which two are canaries
// and three are proxies.
func Fleet(hosts int) *inventory.Fleet {
	f := &inventory.Fleet{Name: "mediawiki"}
	f.Hosts = append(f.Hosts, inventory.Host{Name: "mira.codfw.wmnet", Datacenter: "codfw"},
		inventory.Host{Name: "tin.eqiad.wmnet", Datacenter: "eqiad"})
	f.Masters = []inventory.Master{{Host: "mira.codfw.wmnet", Serve: true, Slots: 10}, {Host: "tin.eqiad.wmnet", Slots: 10}}
	for i := range hosts {
		name := fmt.Sprintf("mw%d.eqiad.wmnet", 1017+i)
		f.Hosts = append(f.Hosts, inventory.Host{Name: name, Datacenter: "eqiad"})
		switch {
		case i < 2:
			f.Canaries = append(f.Canaries, name)
		case i < 5:
			f.Proxies = append(f.Proxies, inventory.Proxy{Host: name, Slots: 10, Pooled: true})
		}
	}
	return f
}

// Settings returns what a policy says unless it says otherwise, with two checks.
func Settings() inventory.Settings {
	return inventory.Settings{
		Batches: inventory.Batches{
			Parallel: 80, Ramp: []inventory.Amount{{BasisPoints: 500, Share: true}, {BasisPoints: 2500, Share: true},
				{BasisPoints: 10000, Share: true}},
			MaxFailures: inventory.Amount{BasisPoints: 500, Share: true}, Attempts: 3, Timeout: 15 * time.Minute,
		},
		Gate: inventory.Gate{Soak: 20 * time.Second, Interval: 5 * time.Second,
			Checks: []inventory.Check{{Name: "front page"}, {Name: "version"}}},
	}
}
