//go:build linux

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/cmd/fleetlab/lab"
	"github.com/fleetsync/fleetsync/cmd/internal/testfleet"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// cell is one of the table: a fault that strikes at a stage.
type cell struct {
	fault
	at stage
}

func (c cell) name() string { return c.fault.name + "At" + c.at.name }

// stand is where a cell is tried.
type stand struct {
	*testing.T
	*fleet
	stage  stage
	victim string
	policy string
	run    *run
	dead   []string // have no power
	struck time.Time
}

func (s *stand) do(err error) {
	s.Helper()
	done(s.T, err)
}

func (s *stand) slow(host string)  { s.do(s.Slow(s.Context(), host, slow)) }
func (s *stand) quick(host string) { s.do(s.Slow(s.Context(), host, "")) }

func (s *stand) kill(host string) {
	s.Helper()
	s.do(s.Kill(s.Context(), host))
	s.dead = append(s.dead, host)
}

func (s *stand) boot(host string) {
	s.Helper()
	if i := slices.Index(s.dead, host); i >= 0 {
		s.do(s.Start(s.Context(), host))
		s.dead = slices.Delete(s.dead, i, i+1)
		if host != lab.Conf {
			s.watchRsync(s.T, host)
		}
	}
}

// bystander is a host that the fault does not strike.
func (s *stand) bystander() string { return s.ordinary[len(s.ordinary)-1] }

// serving waits until a source serves so many hosts at once.
func (s *stand) serving(source string, hosts int) {
	s.Helper()
	at := map[rollout.StepID]bool{}
	if !s.run.until(s.T, 0, fmt.Sprintf("%s serves %d hosts", source, hosts), func(e rollout.Event) bool {
		if kind, _, _ := strings.Cut(string(e.Step), "/"); kind == "sync" {
			at[e.Step] = e.Kind == rollout.StepStarted && e.Source == source
		}
		n := 0
		for _, is := range at {
			if is {
				n++
			}
		}
		return n >= hosts
	}) {
		s.Fatalf("%s never served %d hosts", source, hosts)
	}
}

// felt waits until the run has failed at something since it had said so much, or has ended.
func (s *stand) felt(since int) bool {
	s.Helper()
	return s.run.until(s.T, since, "a failure", func(e rollout.Event) bool {
		// The first is the hold's.
		return e.Kind == rollout.SourceSilent || e.Kind == rollout.StepFailed && (e.Class != rollout.Unhealthy || e.Attempt > 1) ||
			e.Kind == rollout.StepDone && e.Verdict != "" && e.Verdict != rollout.Pass
	})
}

func (c cell) try(t *testing.T, f *fleet) {
	s := &stand{T: t, fleet: f, stage: c.at, victim: c.at.victim(f)}
	s.policy = f.write(t, c.pairs()...)
	was := f.tree(t, f.origin)
	f.change(t, true)
	if c.before != nil {
		c.before(s)
	}
	if c.at.slow {
		s.slow(s.victim)
	}
	if c.at.hold != nil {
		c.at.hold(s)
	}
	if c.at.under == nil {
		c.strike(s)
	}
	s.run = f.start(t, f.origin, s.policy, "sync", "--yes")
	since := 0
	if c.at.under != nil {
		c.at.under(s)
		since, s.struck = s.run.said(), time.Now()
		c.strike(s)
	}
	if !slices.Contains(s.dead, s.victim) { // who has no power comes back with a link as new
		if c.at.slow && !c.slow {
			s.quick(s.victim)
		}
		if c.at.let != nil {
			c.at.let(s)
		}
	}
	felt := s.felt(since)
	if c.heal != nil {
		if !felt && s.run.outcome() != nil {
			t.Error("nothing has failed because of it")
		}
		c.heal(s)
	}
	t.Logf("felt: %v", felt)
	code := s.run.wait(t)
	if may := c.code.at(c.at.name); !slices.Contains(may, code) {
		t.Errorf("exit %d, want %v", code, may)
	}
	within := c.within
	if within == 0 {
		within = time.Minute
	}
	if s.run.took > within {
		t.Errorf("it took %v, more than %v", s.run.took, within)
	}
	etcd := slices.Contains(s.dead, lab.Conf)
	for _, h := range slices.Clone(s.dead) { // or nobody could look at what they have
		s.boot(h)
	}
	s.must(t, s.victim, "rm -f "+downFile)
	outcome := s.judge(code, was, etcd)
	if c.out && !slices.ContainsFunc(outcome.Quarantined, func(n rollout.Named) bool { return n.Host == s.victim }) {
		t.Errorf("%s is not in quarantine: %+v", s.victim, outcome)
	}
	for _, h := range f.all() {
		s.do(s.Heal(s.Context(), h))
	}
	if c.repair != nil {
		c.repair(s)
	}
	s.mend(outcome, etcd)
}

// pairs are the fault's own, and those of the stage that are about something else.
func (c cell) pairs() []string {
	pairs := slices.Clone(c.policy)
	for i := 0; i < len(c.at.policy); i += 2 {
		if !slices.Contains(c.policy, c.at.policy[i]) {
			pairs = append(pairs, c.at.policy[i:i+2]...)
		}
	}
	return pairs
}

// mend sees that what a run has left is put right by what people are told to type, and is all right then.
func (s *stand) mend(o *rollout.Outcome, etcd bool) {
	s.Helper()
	plain := s.write(s.T)
	if etcd || o != nil && len(o.Out) > 0 {
		s.fleetsync(s.T, 0, plain, "recover", "--yes")
	}
	again := []string{"sync", "--behind", "--yes", "--wait"}
	if len(s.tree(s.T, s.origin).DifferSynced(s.tree(s.T, s.comaster))) > 0 {
		again = []string{"sync", "--yes", "--wait"} // masters are never behind
	}
	s.fleetsync(s.T, 0, plain, again...)
	s.wantPools(s.T)
	want := s.tree(s.T, s.origin)
	for _, h := range s.all() {
		l := s.look(s.T, h)
		if h != s.origin {
			wantTree(s.T, h, want, l.Tree, false)
		}
		if len(l.Left) > 0 {
			s.Errorf("still running on %s: %q", h, l.Left)
		}
		if l.Twice != "" {
			s.Errorf("on %s an rsync began while another ran: %s", h, l.Twice)
		}
	}
}

// judge holds what a run says to what is.
func (s *stand) judge(code int, was testfleet.Snapshot, etcd bool) *rollout.Outcome {
	s.Helper()
	is := s.tree(s.T, s.origin)
	have := map[string]string{} // old, new or mixed
	for _, h := range s.synced {
		l := s.look(s.T, h)
		have[h] = "mixed"
		switch {
		case len(is.DifferSynced(l.Tree)) == 0:
			have[h] = "new"
		case len(was.DifferSynced(l.Tree)) == 0:
			have[h] = "old"
		}
	}
	out := s.out(s.T)
	s.wantPools(s.T, out...)
	o := s.run.outcome()
	if o == nil {
		// It has not begun.
		if code < 10 || code > 99 {
			s.Errorf("exit %d without an outcome", code)
		}
		for h, has := range have {
			if has != "old" {
				s.Errorf("%s has a %s tree of a run that has not begun", h, has)
			}
		}
		if len(out) > 0 {
			s.Errorf("%v are out because of a run that has not begun", out)
		}
		return nil
	}
	s.wantReport(o, have)
	s.wantCode(o, code)
	s.wantNamed(o, out, etcd)
	s.wantGate(o, have)
	return o
}

// wantReport holds where the report says that hosts stand to what they have.
func (s *stand) wantReport(o *rollout.Outcome, have map[string]string) {
	s.Helper()
	report := s.status(s.T, s.policy)
	count := map[rollout.Standing]int{}
	var reported []string
	for _, h := range report.Hosts {
		reported = append(reported, h.Host)
		count[h.Standing]++
		var can []string
		switch h.Standing {
		case rollout.Synced:
			can = []string{"new"}
		case rollout.Failed:
			can = []string{"old", "mixed"}
			if o.Gate != rollout.Pass && slices.Contains(s.canaries, h.Host) {
				can = append(can, "new") // it could not be rolled back, and that is what failed
			}
		case rollout.Untouched, rollout.RolledBack, rollout.Down:
			can = []string{"old"}
		// Of a run that has ended, and was of the whole tree
		case rollout.Partial, rollout.Waiting, rollout.Syncing, rollout.InHooks, rollout.Unknowable:
		}
		if !slices.Contains(can, have[h.Host]) {
			s.Errorf("%s is said to be %s (%q), and has a tree that is %s", h.Host, h.Standing, h.Error, have[h.Host])
		}
		if h.Standing == rollout.Failed && h.Error == "" {
			s.Errorf("%s failed, and nothing says why", h.Host)
		}
		if o.Result != rollout.ResultHalted && h.Standing != rollout.Synced && h.Host != s.victim {
			s.Errorf("%s is said to be %s (%q), and no fault has struck it", h.Host, h.Standing, h.Error)
		}
	}
	if slices.Sort(reported); !slices.Equal(reported, slices.Sorted(slices.Values(s.synced))) {
		s.Errorf("the report is about %v", reported)
	}
	if c := o.Counts; c.Synced != count[rollout.Synced] || c.Failed != count[rollout.Failed] || c.Untouched != count[rollout.Untouched] ||
		c.RolledBack != count[rollout.RolledBack] || c.Down != count[rollout.Down] || c.Hosts != len(s.synced) ||
		c.Waiting+c.Syncing+c.InHooks+c.Unknown > 0 {
		s.Errorf("the outcome counts %+v, the report %v", c, count)
	}
	if worst := len(s.synced) - count[rollout.Synced]; (o.Result == rollout.ResultDone) != (worst == 0) && o.Result != rollout.ResultHalted {
		s.Errorf("the result is %s, with %d hosts that have not the tree", o.Result, worst)
	}
}

// wantCode holds the exit code to the outcome.
func (s *stand) wantCode(o *rollout.Outcome, code int) {
	s.Helper()
	want := map[rollout.Result]int{rollout.ResultDone: 0, rollout.ResultFailed: 3, rollout.ResultHalted: 4}[o.Result]
	if len(o.Out) > 0 {
		want = 5
	}
	if code != want {
		s.Errorf("exit %d, and the outcome is %+v", code, o)
	}
}

// wantNamed holds who is named as out to who is. When etcd was gone nobody could tell.
func (s *stand) wantNamed(o *rollout.Outcome, out []string, etcd bool) {
	s.Helper()
	var named []string
	for _, one := range o.Out {
		named = append(named, one.Host)
	}
	for _, one := range o.Quarantined {
		named = append(named, one.Host)
	}
	for _, h := range out {
		if !slices.Contains(named, h) {
			s.Errorf("%s is out, and not named: %v", h, named)
		}
	}
	for _, h := range named {
		if !slices.Contains(out, h) && !etcd {
			s.Errorf("%s is named as out, and is not: %v", h, out)
		}
	}
}

// wantGate fails the test if anybody but canaries got something of the tree before the gate had said pass.
func (s *stand) wantGate(o *rollout.Outcome, have map[string]string) {
	s.Helper()
	passed := map[rollout.StepID]bool{}
	for _, e := range s.run.events {
		kind, host, _ := strings.Cut(string(e.Step), "/")
		switch {
		case e.Kind == rollout.StepDone && kind == "check":
			passed[e.Step] = e.Verdict == rollout.Pass
		case e.Kind == rollout.StepStarted && kind == "sync" && !slices.Contains(s.canaries, host):
			if !passed["check/front-page"] || !passed["check/tree"] {
				s.Errorf("%s began before the gate had passed", e.Step)
			}
		}
	}
	for h, has := range have {
		if o.Gate != rollout.Pass && !slices.Contains(s.canaries, h) && has != "old" {
			s.Errorf("the gate says %q, and %s has a tree that is %s", o.Gate, h, has)
		}
	}
}
