package report_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report"
	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report/reporttest"
	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

const (
	journal = "/var/lib/fleetsync/mediawiki/20160202-190601-9f3c/journal"
	log     = "/var/lib/fleetsync/mediawiki/20160202-190601-9f3c/log"
)

func TestPlan(t *testing.T) {
	for name, p := range map[string]*rollout.Plan{
		"plan": plan(t, 60, func(r *rollout.Request) {
			r.Left = []rollout.Left{{Host: "mw1021.eqiad.wmnet", Reason: "eqiad/appserver/apache2: 2 of 4 may be out, and are"}}
		}),
		"plan-paths": plan(t, 60, func(r *rollout.Request) {
			r.Paths, r.Force = []string{"wmf-config/", "docroot/noc/"}, "the front page is down anyway"
		}),
		"plan-canary": plan(t, 60, func(r *rollout.Request) { r.Mode = inventory.ModeCanary }),
		"plan-large":  large(t),
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			report.Plan(&b, p)
			golden(t, name, b.Bytes())
			if lines(b.Bytes()) > 45 {
				t.Errorf("%d lines are more than a screen", lines(b.Bytes()))
			}
		})
	}
}

// large is a plan of 10,000 hosts in some thousand batches, with names that do not fold well.
func large(t *testing.T) *rollout.Plan {
	t.Helper()
	f := reporttest.Fleet(5)
	for i := range 9_995 {
		f.Hosts = append(f.Hosts, inventory.Host{Name: fmt.Sprintf("%c%d-%d.example.org", 'a'+i%26, i, i*7)})
	}
	settings := reporttest.Settings()
	settings.Batches.Ramp = []inventory.Amount{{Count: 1}, {Count: 10}}
	r := reporttest.Request()
	for i := range 40 {
		r.Left = append(r.Left, rollout.Left{Host: fmt.Sprintf("spare%d", i), Reason: "nobody can spare it"})
	}
	p, err := rollout.NewPlan(f, settings, r)
	if err != nil {
		t.Fatal(err)
	}
	p.Left = r.Left
	return p
}

// some scripts.
func allWell(rollout.Step) (time.Duration, *rollout.Event) { return 0, nil }

func someFail(step rollout.Step) (time.Duration, *rollout.Event) {
	switch step.ID {
	case "sync/mw1030.eqiad.wmnet", "sync/mw1031.eqiad.wmnet":
		return 0, reporttest.Fail(rollout.Permanent, "rsync exit 11: mkdir /srv/mediawiki: not a directory on "+step.Host)
	case "sync/mw1040.eqiad.wmnet":
		return 0, reporttest.Fail(rollout.Transient, "rsync exit 12: connection reset")
	}
	return 0, nil
}

func manyFail(step rollout.Step) (time.Duration, *rollout.Event) {
	if step.Kind == rollout.StepSync && step.Host > "mw1035" && step.Host < "mw1060" {
		return 0, reporttest.Fail(rollout.Permanent, "rsync exit 11: no space left on device")
	}
	return 0, nil
}

func badGate(step rollout.Step) (time.Duration, *rollout.Event) {
	if step.ID == "check/front-page" {
		return 0, &rollout.Event{Kind: rollout.StepDone, Verdict: rollout.Fail, Detail: "mw1017.eqiad.wmnet: status 500, not 200 (and 1 more)"}
	}
	return 0, nil
}

func unknownGate(step rollout.Step) (time.Duration, *rollout.Event) {
	if step.ID == "check/version" {
		return 0, reporttest.Fail(rollout.Transient, "ssh: connect: connection refused")
	}
	return 0, nil
}

func badCanary(step rollout.Step) (time.Duration, *rollout.Event) {
	if step.ID == "sync/mw1018.eqiad.wmnet" {
		return 0, reporttest.Fail(rollout.Permanent, "rsync exit 11: no space left on device")
	}
	return 0, nil
}

func stuckPool(step rollout.Step) (time.Duration, *rollout.Event) {
	switch step.ID {
	case "repool/mw1020.eqiad.wmnet":
		return 0, reporttest.Fail(rollout.Unhealthy, "its health check says fail: status 503, not 200")
	case "sync/mw1040.eqiad.wmnet":
		return 0, reporttest.Fail(rollout.Permanent, "rsync exit 3: no such file")
	}
	return 0, nil
}

func TestRun(t *testing.T) {
	ordinary := plan(t, 60, nil)
	tests := map[string]struct {
		play  reporttest.Play
		alive bool
		want  []string // of the first two lines
	}{
		"run-done":       {reporttest.Play{Do: allWell}, false, []string{"done: 61 hosts of 61 synced"}},
		"run-failed":     {reporttest.Play{Do: someFail}, false, []string{"3 hosts FAILED"}},
		"run-budget":     {reporttest.Play{Do: manyFail}, false, []string{"HALTED: 4 hosts failed, of which 3 may"}},
		"run-unknown":    {reporttest.Play{Do: unknownGate}, false, []string{"HALTED: the gate says unknown"}},
		"run-bad-canary": {reporttest.Play{Do: badCanary}, false, []string{"HALTED: the gate says fail: canary mw1018"}},
		"run-gate":       {reporttest.Play{Do: badGate}, false, []string{"HALTED: the gate says fail"}},
		"run-stuck":      {reporttest.Play{Do: stuckPool}, false, []string{"1 host LEFT OUT OF ITS POOLS", "OUT       mw1020.eqiad.wmnet: its health check"}},
		"run-died":       {reporttest.Play{Events: 115}, false, []string{"DIED", "LEFT OUT OF THEIR POOLS", "OUT       mw1019.eqiad.wmnet"}},
		"run-running":    {reporttest.Play{Do: someFail, Events: 115}, true, []string{"RUNNING"}},
		"run-aborted":    {reporttest.Play{World: []reporttest.Happening{{After: 50 * time.Second, Event: rollout.Event{Kind: rollout.AbortAsked, Level: 2, Detail: "interrupted"}}}}, false, []string{"ABORTED: interrupted"}},
		"run-canary":     {reporttest.Play{Plan: plan(t, 60, func(r *rollout.Request) { r.Mode = inventory.ModeCanary })}, false, []string{"done: 2 hosts of 2"}},
		"run-paths":      {reporttest.Play{Do: someFail, Plan: plan(t, 60, func(r *rollout.Request) { r.Paths = []string{"wmf-config/", "it's a file"} })}, false, []string{"3 hosts FAILED"}},
		"run-forced":     {reporttest.Play{Do: badGate, Plan: plan(t, 60, func(r *rollout.Request) { r.Force = "the front page is down anyway" })}, false, []string{"done: 61"}},
		"run-no-proxy":   {reporttest.Play{Plan: withoutProxies(t)}, false, []string{"done: 13"}},
		"run-beginning":  {reporttest.Play{Events: 1}, true, []string{"RUNNING, stage 1 of 9: canaries"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.play.Plan == nil {
				test.play.Plan = ordinary
			}
			r := report.RunReport{State: played(t, test.play), Alive: test.alive, Journal: journal, Log: log}
			var b bytes.Buffer
			report.Run(&b, r)
			golden(t, name, b.Bytes())
			head := strings.Join(strings.SplitN(b.String(), "\n", 3)[:2], "\n")
			for _, want := range test.want {
				if !strings.Contains(head, want) {
					t.Errorf("the first two lines lack %q:\n%s", want, head)
				}
			}
			if lines(b.Bytes()) > 40 {
				t.Errorf("%d lines are more than a screen", lines(b.Bytes()))
			}
			b.Reset()
			report.Status(&b, &r)
			golden(t, strings.Replace(name, "run-", "status-", 1), b.Bytes())
		})
	}
}

func withoutProxies(t *testing.T) *rollout.Plan {
	t.Helper()
	f := reporttest.Fleet(12)
	f.Proxies = nil
	p, err := rollout.NewPlan(f, inventory.Settings{Batches: reporttest.Settings().Batches}, reporttest.Request())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestLarge holds that 10,000 hosts that fail, each for a reason of its own, still fit a screen.
func TestLarge(t *testing.T) {
	p := large(t)
	p.Limits.MaxFailures = 10_000
	fails := func(step rollout.Step) (time.Duration, *rollout.Event) {
		if step.Kind == rollout.StepSync && !strings.HasPrefix(step.Host, "mw") && !strings.HasSuffix(step.Host, ".wmnet") {
			return 0, reporttest.Fail(rollout.Permanent, strings.Repeat(fmt.Sprintf("reason %d of many ", len(step.Host)*7), 30)+step.Host[:3])
		}
		return 0, nil
	}
	r := report.RunReport{State: played(t, reporttest.Play{Plan: p, Do: fails}), Journal: journal, Log: log}
	var b bytes.Buffer
	report.Run(&b, r)
	golden(t, "run-large", b.Bytes())
	if lines(b.Bytes()) > 45 || b.Len() > 16<<10 {
		t.Errorf("%d lines and %d bytes are more than a screen", lines(b.Bytes()), b.Len())
	}
}

func TestRunHosts(t *testing.T) {
	for name, play := range map[string]reporttest.Play{
		"hosts":      {Plan: plan(t, 24, nil), Do: stuckPool},
		"hosts-died": {Plan: plan(t, 24, nil), Events: 70},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			report.RunHosts(&b, report.RunReport{State: played(t, play)})
			golden(t, name, b.Bytes())
			if want := 2 + len(play.Plan.Hosts) - 1; lines(b.Bytes()) != want {
				t.Errorf("%d lines, not %d", lines(b.Bytes()), want)
			}
		})
	}
}

func TestStatusOfNone(t *testing.T) {
	var b bytes.Buffer
	report.Status(&b, nil)
	report.History(&b, nil)
	report.Pools(&b, nil)
	golden(t, "none", b.Bytes())
}

func TestHistory(t *testing.T) {
	p := plan(t, 60, nil)
	var runs []report.RunReport
	for _, play := range []reporttest.Play{{Events: 115}, {Do: someFail}, {Do: manyFail}, {Do: badGate}, {Do: stuckPool}, {Events: 115}, {}} {
		play.Plan = p
		runs = append(runs, report.RunReport{State: played(t, play)})
	}
	runs[0].Alive = true
	var b bytes.Buffer
	report.History(&b, runs)
	golden(t, "history", b.Bytes())
}

func TestPools(t *testing.T) {
	var b bytes.Buffer
	report.Pools(&b, []report.PoolRow{
		{Key: "eqiad/appserver/apache2/mw1019.eqiad.wmnet", Pooled: "no", Weight: "10", Marker: "20160202-190601-9f3c"},
		{Key: "eqiad/appserver/apache2/mw1020.eqiad.wmnet", Pooled: "yes", Weight: "10"},
		{Key: "eqiad/appserver/nginx/mw1020.eqiad.wmnet", Pooled: "inactive", Weight: "0"},
	})
	golden(t, "pools", b.Bytes())
}

// TestHostile holds that nothing of what hosts, files or an API say reaches the terminal as anything
// but text, wherever it stands in a plan or an event.
func TestHostile(t *testing.T) {
	const evil = "\x1b[2J\x1b]0;owned\x07\u202e\u009b31m\r\n\x00\xffevil\u2028'; rm -rf /; '"
	p := plan(t, 24, func(r *rollout.Request) {
		r.Paths, r.Force = []string{evil}, evil
		r.Left = []rollout.Left{{Host: evil, Reason: evil}}
	})
	p.Run, p.Fleet, p.Mode = evil, evil, inventory.Mode(evil)
	p.Left = []rollout.Left{{Host: evil, Reason: evil}}
	rename(p, "mw1020.eqiad.wmnet", "mw1020"+evil)
	rename(p, "mw1035.eqiad.wmnet", "mw1035"+evil)
	rename(p, p.Origin, evil)
	p.Origin = evil
	for i := range p.Stages {
		p.Stages[i].Name += evil
		p.Stages[i].Why += evil
	}
	do := func(step rollout.Step) (time.Duration, *rollout.Event) {
		switch {
		case step.Kind == rollout.StepRepool:
			return 0, reporttest.Fail(rollout.Permanent, evil)
		case step.Kind == rollout.StepCheck:
			return 0, &rollout.Event{Kind: rollout.StepDone, Verdict: rollout.Fail, Detail: evil}
		case strings.HasPrefix(step.Host, "mw1035"):
			return 0, reporttest.Fail(rollout.Permanent, evil)
		}
		return 0, nil
	}
	var b bytes.Buffer
	report.Plan(&b, p)
	for _, events := range []int{0, 10, 30, 45, 60} {
		for _, alive := range []bool{true, false} {
			r := report.RunReport{State: played(t, reporttest.Play{Plan: p, Do: do, Events: events}), Alive: alive, Journal: evil, Log: evil}
			report.Run(&b, r)
			report.RunHosts(&b, r)
			report.Status(&b, &r)
			report.History(&b, []report.RunReport{r})
		}
	}
	report.Pools(&b, []report.PoolRow{{evil, evil, evil, evil}})
	for i, r := range b.String() {
		if r != '\n' && (unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)) {
			t.Fatalf("%U in %q", r, b.String()[max(0, i-40):i+10])
		}
	}
	for line := range strings.Lines(b.String()) {
		if len(line) > 4096 {
			t.Errorf("a line of %d bytes", len(line))
		}
		if strings.HasPrefix(line, "evil") || strings.HasPrefix(line, "'; rm") {
			t.Errorf("hostile text begins a line: %q", line)
		}
	}
}

func rename(p *rollout.Plan, from, to string) {
	for i := range p.Hosts {
		if p.Hosts[i].Name == from {
			p.Hosts[i].Name = to
		}
	}
	for _, stage := range p.Stages {
		for i := range stage.Hosts {
			if stage.Hosts[i] == from {
				stage.Hosts[i] = to
			}
		}
	}
}
