package live_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/live"
	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/rollout/rollouttest"
)

var update = flag.Bool("update", false, "write testdata/*.golden anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("differs from %s (-want +got):\n%s", path, diff)
	}
}

func plan(t testing.TB, hosts int, change func(*rollout.Request)) *rollout.Plan {
	t.Helper()
	r := rollouttest.Request()
	if change != nil {
		change(&r)
	}
	p, err := rollout.NewPlan(rollouttest.Fleet(hosts), rollouttest.Settings(), r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// rollback is the plan of a run that takes another back, but for hosts that are down.
func rollback(t testing.TB, hosts int, down ...string) *rollout.Plan {
	t.Helper()
	f, r := rollouttest.Fleet(hosts), rollouttest.Rollback()
	for _, h := range f.Hosts[len(f.Masters):] {
		r.Selection = append(r.Selection, h.Name)
	}
	r.Down = map[string]string{}
	for _, name := range down {
		r.Down[name] = "ssh: connect to host " + name + ": connection timed out"
	}
	p, err := rollout.NewRollback(f, rollouttest.Settings(), r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func made(t testing.TB, plan func() (*rollout.Plan, error)) *rollout.Plan {
	t.Helper()
	p, err := plan()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// shown is a Display and the model that it shows, as the program puts them together.
type shown struct {
	*live.Display
	model orchestrator.Model
}

func show(w io.Writer, terminal bool) *shown {
	u := &shown{}
	u.Display = live.New(w, terminal, u.model.Snapshot)
	return u
}

func (u *shown) Observe(turn []rollout.Event, now *rollout.Snapshot) {
	u.model.Observe(turn, now)
	u.Display.Observe(turn, now)
}

// plainly plays a run and returns what the plain form says of it.
func plainly(t testing.TB, play rollouttest.Play) string {
	t.Helper()
	var b bytes.Buffer
	u := show(&b, false)
	play.Observe = u.Observe
	if _, err := play.Run(); err != nil {
		t.Fatal(err)
	}
	u.Close()
	return b.String()
}

// slow makes syncs last, the more so the later in the fleet the host stands.
func slow(step rollout.Step) time.Duration {
	if step.Kind != rollout.StepSync || len(step.Host) < 6 {
		return 0
	}
	return time.Duration(2+step.Host[len("mw10")]%7) * time.Second
}

func troubled(step rollout.Step) (time.Duration, *rollout.Event) {
	switch step.ID {
	case "sync/mw1030.eqiad.wmnet":
		return 0, rollouttest.Fail(rollout.Permanent, "rsync exit 11: mkdir /srv/mediawiki: not a directory")
	case "sync/mw1040.eqiad.wmnet":
		if step.Attempt < 3 {
			e := rollouttest.Fail(rollout.Transient, "rsync exit 12: connection reset")
			e.Blame = true
			return 0, e
		}
	case "sync/mw1041.eqiad.wmnet":
		return 0, rollouttest.Fail(rollout.Transient, "rsync exit 12: connection reset")
	case "sync/mw1042.eqiad.wmnet":
		if step.Attempt < 2 {
			return 0, rollouttest.Fail(rollout.Busy, "another rsync writes /srv/mediawiki")
		}
	case "sync/mw1043.eqiad.wmnet":
		return 0, &rollout.Event{Kind: rollout.StepDone, Detail: "some files vanished before they could be transferred",
			Stats: &rollout.Stats{Bytes: 1}}
	case "check/version":
		if step.Attempt == 2 {
			return 0, rollouttest.Fail(rollout.Transient, "ssh: connection refused")
		}
	case "depool/mw1020.eqiad.wmnet":
		return 0, rollouttest.Fail(rollout.Capacity, "eqiad/appserver/apache2: 2 of 4 may be out, and are")
	case "repool/mw1019.eqiad.wmnet":
		if step.Attempt == 1 {
			return 0, rollouttest.Fail(rollout.Transient, "conf1001: connection refused")
		}
		return 0, &rollout.Event{Kind: rollout.StepDone, Detail: "eqiad/appserver/nginx/mw1019 was deleted by somebody else"}
	case "repool/mw1021.eqiad.wmnet":
		return 0, rollouttest.Fail(rollout.Permanent, "conf1001: 401 unauthorized")
	}
	return slow(step), nil
}

// neverOut is a proxy that cannot be taken out of its pools, however often it is tried.
func neverOut(step rollout.Step) (time.Duration, *rollout.Event) {
	if step.ID == "depool/mw1021.eqiad.wmnet" {
		return 0, rollouttest.Fail(rollout.Transient, "conf1001: connection refused")
	}
	return 0, nil
}

// undone is a bad tree, after which one canary is rolled back at the second attempt and the other never, and is
// taken out of its pools at the second attempt or never.
func undone(quarantined bool) func(rollout.Step) (time.Duration, *rollout.Event) {
	return func(step rollout.Step) (time.Duration, *rollout.Event) {
		switch {
		case step.ID == "check/front-page":
			return 0, &rollout.Event{Kind: rollout.StepDone, Verdict: rollout.Fail, Detail: "mw1017.eqiad.wmnet: status 500, not 200"}
		case step.ID == "rollback/mw1017.eqiad.wmnet" && step.Attempt == 1:
			return 0, rollouttest.Fail(rollout.Busy, "another rsync writes /srv/mediawiki")
		case step.ID == "rollback/mw1018.eqiad.wmnet":
			return 0, rollouttest.Fail(rollout.Transient, "ssh: connection refused")
		case step.Kind == rollout.StepQuarantine && (step.Attempt == 1 || !quarantined):
			return 0, rollouttest.Fail(rollout.Transient, "conf1001: connection refused")
		}
		return 0, nil
	}
}

// looked is an origin that somebody changes, or that cannot be looked at any more.
func looked(class rollout.Class, said string) func(rollout.Step) (time.Duration, *rollout.Event) {
	return func(step rollout.Step) (time.Duration, *rollout.Event) {
		if step.Kind == rollout.StepRecheck && step.Attempt > 2 {
			return 0, rollouttest.Fail(class, said)
		}
		return slow(step), nil
	}
}

// stay is a rollback that some hosts cannot do.
func stay(step rollout.Step) (time.Duration, *rollout.Event) {
	switch step.ID {
	case "rollback/mw1030.eqiad.wmnet":
		return 0, rollouttest.Fail(rollout.Permanent, "it has kept nothing of run 20160202-190601-9f3c")
	case "rollback/mw1040.eqiad.wmnet":
		if step.Attempt < 3 {
			return 0, rollouttest.Fail(rollout.Transient, "ssh: connection refused")
		}
	case "rollback/mw1041.eqiad.wmnet":
		return 20 * time.Second, &rollout.Event{Kind: rollout.StepDone}
	}
	return 0, nil
}

func TestPlain(t *testing.T) {
	tests := map[string]rollouttest.Play{
		"well":     {Plan: plan(t, 60, nil), Do: func(step rollout.Step) (time.Duration, *rollout.Event) { return slow(step), nil }},
		"troubled": {Plan: plan(t, 120, nil), Do: troubled},
		"gate": {Plan: plan(t, 60, nil), Do: func(step rollout.Step) (time.Duration, *rollout.Event) {
			if step.ID == "check/front-page" && step.Attempt == 3 {
				return 0, &rollout.Event{Kind: rollout.StepDone, Verdict: rollout.Fail, Detail: "mw1017.eqiad.wmnet: status 500, not 200"}
			}
			return 0, nil
		}},
		"budget": {Plan: plan(t, 60, nil), Do: func(step rollout.Step) (time.Duration, *rollout.Event) {
			if step.Kind == rollout.StepSync && step.Host > "mw1035" && step.Host < "mw1080" {
				return slow(step), rollouttest.Fail(rollout.Permanent, "rsync exit 11: no space left on device")
			}
			return slow(step), nil
		}},
		"abort": {Plan: plan(t, 60, nil), Do: func(rollout.Step) (time.Duration, *rollout.Event) { return 9 * time.Second, nil },
			World: []rollouttest.Happening{
				{After: 131 * time.Second, Event: rollout.Event{Kind: rollout.AbortAsked, Level: 1, Cause: rollout.AbortInterrupt,
					Detail: "interrupted"}},
				{After: 133 * time.Second, Event: rollout.Event{Kind: rollout.AbortAsked, Level: 2, Cause: rollout.AbortInterrupt,
					Detail: "interrupted"}},
			}},
		"forced": {Plan: plan(t, 10, func(r *rollout.Request) { r.Force = "the front page is down anyway" }),
			Do: func(step rollout.Step) (time.Duration, *rollout.Event) {
				if step.ID == "check/front-page" {
					return 0, &rollout.Event{Kind: rollout.StepDone, Verdict: rollout.Fail, Detail: "mw1017.eqiad.wmnet: status 500, not 200"}
				}
				return 0, nil
			}},
		"world": {Plan: plan(t, 60, nil), World: []rollouttest.Happening{
			{After: 54 * time.Second, Event: rollout.Event{Kind: rollout.PoolChanged, Host: "mw1019.eqiad.wmnet",
				Detail: "eqiad/appserver/apache2: pooled is yes"}},
			{After: 55 * time.Second, Event: rollout.Event{Kind: rollout.LockLost, Error: "conf1001 has not answered for 30s"}},
		}},
		"edited": {Plan: plan(t, 60, nil), World: []rollouttest.Happening{{
			After: 54 * time.Second,
			Event: rollout.Event{
				Kind: rollout.PoolChanged, Host: "mw1019.eqiad.wmnet", Detail: "eqiad/appserver/apache2: pooled is yes", Edit: rollout.EditIn,
				Objects: []rollout.Object{{Key: "eqiad/appserver/apache2/mw1019.eqiad.wmnet", Index: 9}},
			},
		}}},
		"given-up":   {Plan: plan(t, 60, nil), Do: neverOut},
		"quarantine": {Plan: plan(t, 60, nil), Do: undone(true)},
		"mixed":      {Plan: plan(t, 60, nil), Do: undone(false)},
		"bad-canary": {Plan: plan(t, 60, nil), Do: func(step rollout.Step) (time.Duration, *rollout.Event) {
			if step.ID == "sync/mw1018.eqiad.wmnet" {
				return 5 * time.Second, rollouttest.Fail(rollout.Permanent, "rsync exit 11: no space left on device")
			}
			return 0, nil
		}},
		"stop-undo": {Plan: plan(t, 60, nil), Do: undone(true), World: []rollouttest.Happening{
			{After: 7 * time.Second, Event: rollout.Event{Kind: rollout.AbortAsked, Level: 2, Cause: rollout.AbortInterrupt, Detail: "interrupted"}},
		}},
		"changed":  {Plan: plan(t, 60, nil), Do: looked(rollout.Changed, "its metadata digest is 9f86d081884c, not b1946ac92492")},
		"unlooked": {Plan: plan(t, 60, nil), Do: looked(rollout.Transient, "ssh: connection refused")},
		"told": {Plan: plan(t, 60, nil), World: []rollouttest.Happening{
			{After: 50 * time.Second, Event: rollout.Event{Kind: rollout.SourceChanged, Host: "mira.codfw.wmnet", Detail: "somebody writes there"}},
		}},
		"rollback":      {Plan: rollback(t, 60), Do: stay},
		"rollback-down": {Plan: rollback(t, 60, "mw1018.eqiad.wmnet", "mw1031.eqiad.wmnet")},
		"rollback-gate": {Plan: rollback(t, 60), Do: func(step rollout.Step) (time.Duration, *rollout.Event) {
			if step.ID == "check/front-page" {
				return 0, &rollout.Event{Kind: rollout.StepDone, Verdict: rollout.Fail, Detail: "mw1017.eqiad.wmnet: status 500, not 200"}
			}
			return 0, nil
		}},
		"down": {Plan: made(t, rollouttest.QuarantineAll), Do: rollouttest.BadQuarantines},
		"silent": {Plan: plan(t, 60, nil), Do: func(step rollout.Step) (time.Duration, *rollout.Event) { return 8 * slow(step), nil },
			World: []rollouttest.Happening{
				{After: 205 * time.Second, Event: rollout.Event{Kind: rollout.SourceSilent, Host: "mw1019.eqiad.wmnet",
					Error: "no answer for 15s: connection timed out"}},
			}},
		"hooks":     {Plan: made(t, rollouttest.Hooked), Do: func(step rollout.Step) (time.Duration, *rollout.Event) { return slow(step), nil }},
		"hooks-bad": {Plan: made(t, rollouttest.Hooked), Do: rollouttest.BadHooks},
		"hooks-stop": {Plan: made(t, rollouttest.Hooked), Do: func(rollout.Step) (time.Duration, *rollout.Event) {
			return 9 * time.Second,
				nil
		}, World: []rollouttest.Happening{
			{After: 13 * time.Second, Event: rollout.Event{Kind: rollout.AbortAsked, Level: 2, Cause: rollout.AbortInterrupt,
				Detail: "interrupted"}},
		}},
		"hook-pre": {Plan: made(t, rollouttest.Hooked), Do: func(step rollout.Step) (time.Duration, *rollout.Event) {
			if step.ID == "hook/pre" {
				return 0, rollouttest.Fail(rollout.Permanent, `"announce" exited with 1: no route to host`)
			}
			return 0, nil
		}},
		"canary": {Plan: plan(t, 60, func(r *rollout.Request) { r.Mode = inventory.ModeCanary })},
		"terminated": {Plan: plan(t, 60, func(r *rollout.Request) { r.Mode = inventory.ModeCanary }), World: []rollouttest.Happening{
			{After: time.Second, Event: rollout.Event{Kind: rollout.AbortAsked, Level: 1, Cause: rollout.AbortTerminate, Detail: "terminated"}},
		}},
	}
	for name, play := range tests {
		t.Run(name, func(t *testing.T) {
			golden(t, name, []byte(plainly(t, play)))
		})
	}
}

// TestGivenUp holds that of three proxies of which one can never be taken out, that one is said to have been given up and not to serve,
// and the two that are out are counted as such.
//
// Planted faults that it saw: what becomes of a step that failed told from its class and the attempt; hosts that may be out counted as out.
func TestGivenUp(t *testing.T) {
	out := plainly(t, rollouttest.Play{Plan: plan(t, 60, nil), Do: neverOut})
	for line, want := range map[string]bool{
		"mw1021.eqiad.wmnet: cannot depool: conf1001: connection refused (attempt 2, will be tried again)\n":               true,
		"mw1021.eqiad.wmnet: cannot depool: conf1001: connection refused (given up after 3 attempts, it will not serve)\n": true,
		"(attempt 3":                            false,
		" depool: 2 hosts out of the pools in ": true,
		" depool: 3 hosts out":                  false,
	} {
		if strings.Contains(out, line) != want {
			t.Errorf("%q is told: %v\n%s", line, !want, out)
		}
	}
}

// TestBounded holds that a fleet of 10,000 in which most hosts fail, for reasons of their own, gives
// some hundred lines, and that one in which all goes well gives a few.
//
// Planted faults that it saw: a limiter without a bound on all; progress at every turn.
func TestBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("10,000 hosts")
	}
	p := plan(t, 10_000, nil)
	p.Limits.MaxFailures = 10_000
	well := plainly(t, rollouttest.Play{Plan: p})
	if n := strings.Count(well, "\n"); n > 120 {
		t.Errorf("%d lines for a run in which nothing happened", n)
	}
	calls := 0
	bad := plainly(t, rollouttest.Play{Plan: p, Do: func(step rollout.Step) (time.Duration, *rollout.Event) {
		if step.Kind == rollout.StepSync && step.Host > "mw2" {
			calls++
			return 0, rollouttest.Fail([]rollout.Class{rollout.Transient, rollout.Permanent}[calls%2],
				fmt.Sprintf("%d %s", calls, strings.Repeat("reason ", 2000)))
		}
		return 0, nil
	}})
	if n := strings.Count(bad, "\n"); n < 100 || n > 800 {
		t.Errorf("%d lines", n)
	}
	for line := range strings.Lines(bad) {
		if len(line) > 1000 {
			t.Errorf("%d bytes: %.80s", len(line), line)
		}
	}
}

const evil = "\x1b[2J\x1b]0;owned\x07\u202e\u009b31m\r\n\x00\xff\u2028evil"

// hostile is a run in which everybody says what would harm a terminal.
func hostile(t *testing.T) rollouttest.Play {
	t.Helper()
	p := made(t, rollouttest.Hooked)
	p.Force, p.QuarantineAll = evil, true
	p.Run, p.Fleet, p.Mode = evil, evil, inventory.Mode(evil)
	for i := range p.Stages {
		if p.Stages[i].Kind != rollout.StageHook { // whose name is the moment
			p.Stages[i].Name += evil
		}
	}
	rename := func(name string) string {
		if name != p.Origin && strings.HasPrefix(name, "mw") {
			return name + evil
		}
		return name
	}
	renamed := map[*string]bool{} // stages share their lists
	for _, stage := range p.Stages {
		for i := range stage.Hosts {
			if !renamed[&stage.Hosts[i]] {
				renamed[&stage.Hosts[i]] = true
				stage.Hosts[i] = rename(stage.Hosts[i])
			}
		}
	}
	for i := range p.Hosts {
		p.Hosts[i].Name = rename(p.Hosts[i].Name)
	}
	p.Gate.Checks[0] += evil
	calls := 0
	return rollouttest.Play{Plan: p, Do: func(step rollout.Step) (time.Duration, *rollout.Event) {
		calls++
		switch {
		case step.Kind == rollout.StepCheck:
			return 0, &rollout.Event{Kind: rollout.StepDone, Verdict: rollout.Fail, Detail: evil}
		case calls%3 == 0:
			return 0, rollouttest.Fail(rollout.Transient, evil+fmt.Sprint(calls))
		case calls%7 == 0:
			return 0, rollouttest.Fail(rollout.Permanent, evil+fmt.Sprint(calls))
		}
		return 0, nil
	}, World: []rollouttest.Happening{
		{After: 100 * time.Second, Event: rollout.Event{Kind: rollout.AbortAsked, Level: 1, Detail: evil}},
		{After: 101 * time.Second, Event: rollout.Event{Kind: rollout.LockLost, Error: evil}},
	}}
}

// TestHostile holds that nothing of what hosts, files or an API say is printed as anything but text.
//
// Planted faults that it saw: tell without Clean.
func TestHostile(t *testing.T) {
	out := plainly(t, hostile(t))
	for _, class := range []rollout.Class{rollout.Permanent, rollout.Transient, rollout.Changed} {
		play := hostile(t)
		play.Plan.Force, play.World = "", nil
		play.Do = func(step rollout.Step) (time.Duration, *rollout.Event) {
			switch step.Kind {
			case rollout.StepCheck:
				return 0, &rollout.Event{Kind: rollout.StepDone, Verdict: rollout.Fail, Detail: evil}
			case rollout.StepRollback, rollout.StepQuarantine, rollout.StepRelease, rollout.StepHook, rollout.StepPost, rollout.StepOnFailure:
				if step.ID == "hook/pre" {
					break
				}
				if step.Attempt == 1 || strings.HasPrefix(step.Host, "mw1017") {
					return 0, rollouttest.Fail(class, evil)
				}
				return 0, &rollout.Event{Kind: rollout.StepDone, Detail: evil}
			case rollout.StepRecheck:
				if step.Attempt > 1 || class == rollout.Changed {
					return 0, rollouttest.Fail(class, evil)
				}
			case rollout.StepObserve, rollout.StepDepool, rollout.StepSync, rollout.StepRepool:
			}
			return 0, nil
		}
		out += plainly(t, play)
	}
	if !strings.Contains(out, "evil") {
		t.Error("nothing hostile was shown")
	}
	for i, r := range out {
		if r != '\n' && (unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)) {
			t.Fatalf("%U in %q", r, out[max(0, i-40):i+10])
		}
	}
}

// broken is a terminal that went away.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("input/output error") }

func TestBrokenWriter(t *testing.T) {
	for _, terminal := range []bool{true, false} {
		play := rollouttest.Play{Plan: plan(t, 60, nil), Do: troubled}
		u := show(broken{}, terminal)
		play.Observe = u.Observe
		s, err := play.Run()
		if err != nil || s.Finished() == nil {
			t.Errorf("the run did not end: %v", err)
		}
		u.Close()
	}
}

func TestResumed(t *testing.T) {
	p := plan(t, 60, nil)
	var events []rollout.Event
	s, err := (&rollouttest.Play{Plan: p, Do: troubled, Events: 140,
		Observe: func(turn []rollout.Event, _ *rollout.Snapshot) { events = append(events, turn...) }}).Run()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	u := show(&b, false)
	now := s.At.Add(time.Hour)
	next := func(e rollout.Event) {
		e.Seq, e.At, e.Run = s.Seq+1, now, p.Run
		if err := s.Apply(&e); err != nil {
			t.Fatal(err)
		}
		u.Observe([]rollout.Event{e}, s.Snapshot())
	}
	next(rollout.Event{Kind: rollout.RunResumed})
	for s.Finished() == nil {
		d := rollout.Next(s, now)
		for _, step := range d.Start {
			next(rollout.Event{Kind: rollout.StepStarted, Step: step.ID, Host: step.Host, Source: step.Source, Attempt: step.Attempt})
		}
		now = now.Add(time.Second)
		for _, step := range d.Start {
			e := rollout.Event{Kind: rollout.StepDone}
			if _, end := troubled(step); end != nil {
				e = *end
			}
			if step.Kind == rollout.StepDepool {
				e.Objects = []rollout.Object{{Key: "eqiad/appserver/apache2/" + step.Host, Value: `{"pooled":"no"}`, Index: 10, Held: true}}
			}
			if step.Kind == rollout.StepObserve && slices.Contains(s.Snapshot().Out, step.Host) {
				e.Objects = []rollout.Object{{Key: "eqiad/appserver/apache2/" + step.Host, Value: `{"pooled":"no"}`, Index: 9, Held: true}}
			}
			e.Step, e.Host, e.Source, e.Attempt = step.ID, step.Host, step.Source, step.Attempt
			next(e)
		}
		if len(d.Start) == 0 && !d.Wake.IsZero() {
			now = d.Wake
		}
		if d.Done {
			o := s.Outcome()
			next(rollout.Event{Kind: rollout.RunFinished, Outcome: &o})
		}
	}
	u.Close()
	golden(t, "resumed", b.Bytes())
}

// BenchmarkObserve shows that an event costs the same in a fleet of any size.
func BenchmarkObserve(b *testing.B) {
	for _, hosts := range []int{100, 10_000} {
		b.Run(fmt.Sprint(hosts), func(b *testing.B) {
			p := plan(b, hosts, nil)
			type seen struct {
				turn []rollout.Event
				now  *rollout.Snapshot
			}
			var events []seen
			s, err := (&rollouttest.Play{Plan: p, Observe: func(turn []rollout.Event,
				now *rollout.Snapshot) {
				events = append(events, seen{turn, now})
			}}).Run()
			if err != nil || s.Finished() == nil {
				b.Fatal(err)
			}
			for b.Loop() {
				u := show(&bytes.Buffer{}, false)
				for i := range events {
					u.Observe(events[i].turn, events[i].now)
				}
				u.Close()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(events)), "ns/event")
		})
	}
}
