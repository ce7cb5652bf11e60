package report_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/report"
	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/preflight"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/orchestrator/rollout/rollouttest"
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
		"plan-canary":        plan(t, 60, func(r *rollout.Request) { r.Mode = inventory.ModeCanary }),
		"plan-large":         large(t),
		"plan-rollback":      rollback(t, 60),
		"plan-rollback-down": rollback(t, 60, absent...),
		"plan-masters":       masters(t),
		"plan-over": plan(t, 60, func(r *rollout.Request) {
			r.Delta, r.Keep, r.Verify, r.Override = gone(), true, inventory.VerifyAll, "the marker is written by a job that is broken, T1234"
		}),
		"plan-confirmed": plan(t, 60, func(r *rollout.Request) {
			r.Delta, r.MaxDelete, r.Verify = gone(), 131_816, inventory.VerifyNone
			r.Delta.Confirmed = true
		}),
		"plan-unguarded": withoutProxies(t),
		"plan-down":      made(t, rollouttest.QuarantineAll),
		"plan-hooks":     made(t, rollouttest.Hooked),
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

func made(t *testing.T, plan func() (*rollout.Plan, error)) *rollout.Plan {
	t.Helper()
	p, err := plan()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// large is a plan of 10,000 hosts in some thousand batches, with names that do not fold well.
func large(t *testing.T) *rollout.Plan {
	t.Helper()
	f := rollouttest.Fleet(5)
	for i := range 9_995 {
		f.Hosts = append(f.Hosts, inventory.Host{Name: fmt.Sprintf("%c%d-%d.example.org", 'a'+i%26, i, i*7)})
	}
	settings := rollouttest.Settings()
	settings.Batches.Ramp = []inventory.Amount{{Count: 1}, {Count: 10}}
	r := rollouttest.Request()
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
		return 0, rollouttest.Fail(rollout.Permanent, "rsync exit 11: mkdir /srv/mediawiki: not a directory on "+step.Host)
	case "sync/mw1040.eqiad.wmnet":
		return 0, rollouttest.Fail(rollout.Transient, "rsync exit 12: connection reset")
	}
	return 0, nil
}

func manyFail(step rollout.Step) (time.Duration, *rollout.Event) {
	if step.Kind == rollout.StepSync && step.Host > "mw1035" && step.Host < "mw1060" {
		return 0, rollouttest.Fail(rollout.Permanent, "rsync exit 11: no space left on device")
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
		return 0, rollouttest.Fail(rollout.Transient, "ssh: connect: connection refused")
	}
	return 0, nil
}

func badCanary(step rollout.Step) (time.Duration, *rollout.Event) {
	if step.ID == "sync/mw1018.eqiad.wmnet" {
		return 0, rollouttest.Fail(rollout.Permanent, "rsync exit 11: no space left on device")
	}
	return 0, nil
}

func stuckPool(step rollout.Step) (time.Duration, *rollout.Event) {
	switch step.ID {
	case "repool/mw1020.eqiad.wmnet":
		return 0, rollouttest.Fail(rollout.Unhealthy, "its health check says fail: status 503, not 200")
	case "sync/mw1040.eqiad.wmnet":
		return 0, rollouttest.Fail(rollout.Permanent, "rsync exit 3: no such file")
	}
	return 0, nil
}

// failing is a run in which one step fails.
func failing(id rollout.StepID) func(rollout.Step) (time.Duration, *rollout.Event) {
	return func(step rollout.Step) (time.Duration, *rollout.Event) {
		if step.ID == id {
			return 0, rollouttest.Fail(rollout.Permanent, `"announce" exited with 1: no route to host`)
		}
		return 0, nil
	}
}

// quarantined is the plan of a run that brings hosts back from their quarantine.
func quarantined(t *testing.T) *rollout.Plan {
	t.Helper()
	return plan(t, 60, func(r *rollout.Request) {
		r.Quarantined = map[string]string{"mw1020.eqiad.wmnet": "20160131-100000-2222", "mw1030.eqiad.wmnet": "20160131-100000-2222"}
	})
}

func stuckRelease(step rollout.Step) (time.Duration, *rollout.Event) {
	if step.ID == "release/mw1030.eqiad.wmnet" {
		return 0, rollouttest.Fail(rollout.Unhealthy, "its health check says fail: status 503, not 200")
	}
	return 0, nil
}

// stuckCanary is a bad tree, and a canary that cannot be rolled back, with what comes of its quarantine.
func stuckCanary(quarantine *rollout.Event) func(rollout.Step) (time.Duration, *rollout.Event) {
	return func(step rollout.Step) (time.Duration, *rollout.Event) {
		switch {
		case step.ID == "rollback/mw1018.eqiad.wmnet":
			return 0, rollouttest.Fail(rollout.Permanent, "what it kept is not whole: /srv/.fleetsync/kept/20160202-190601-9f3c/manifest: no such file")
		case step.Kind == rollout.StepQuarantine:
			return 0, quarantine
		}
		return badGate(step)
	}
}

// changedSource is an origin that somebody changes while the canaries pull from it.
func changedSource(step rollout.Step) (time.Duration, *rollout.Event) {
	if step.Kind == rollout.StepRecheck {
		return 0, rollouttest.Fail(rollout.Changed, "its metadata digest is 9f86d081884c, not b1946ac92492")
	}
	return 0, nil
}

func badMaster(step rollout.Step) (time.Duration, *rollout.Event) {
	if step.ID == "sync/tin.eqiad.wmnet" {
		return 0, rollouttest.Fail(rollout.Permanent, "rsync exit 25: the --max-delete limit stopped deletions")
	}
	return 0, nil
}

// someStay is a rollback that not every host can do.
func someStay(step rollout.Step) (time.Duration, *rollout.Event) {
	if step.ID == "rollback/mw1030.eqiad.wmnet" || step.ID == "rollback/mw1031.eqiad.wmnet" {
		return 0, rollouttest.Fail(rollout.Permanent, "it has kept nothing of run 20160202-190601-9f3c")
	}
	return 0, nil
}

// absent are a canary and another host.
var absent = []string{"mw1018.eqiad.wmnet", "mw1031.eqiad.wmnet"}

// rollback is the plan of a run that takes another back, but for hosts that are down.
func rollback(t *testing.T, hosts int, down ...string) *rollout.Plan {
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

// masters is the plan of a run that is about a master alone.
func masters(t *testing.T) *rollout.Plan {
	t.Helper()
	f, r := rollouttest.Fleet(5), rollouttest.Request()
	r.Origin, r.Selection, r.Delta = f.Masters[0].Host, []string{f.Masters[1].Host}, gone()
	r.Delta.Hosts[0].Host, r.Delta.Hosts = f.Masters[1].Host, r.Delta.Hosts[:1]
	p, err := rollout.NewMasterSync(f, rollouttest.Settings(), r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mastersUndo(t *testing.T) *rollout.Plan {
	t.Helper()
	f, r := rollouttest.Fleet(5), rollouttest.Rollback()
	r.Left, r.Selection = nil, []string{f.Masters[1].Host}
	p, err := rollout.NewMasterUndo(f, rollouttest.Settings(), r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// gone is what a half-provisioned master would do to the canaries.
func gone() *rollout.Delta {
	d := &rollout.Delta{Allowed: 2_636}
	for i, name := range []string{"mw1017.eqiad.wmnet", "mw1018.eqiad.wmnet"} {
		h := rollout.HostDelta{Host: name, Change: 4, Delete: 131_816 - i, Bytes: 48_000}
		for j, entry := range []string{"php-1.27.0-wmf.11", "php-1.27.0-wmf.10", "w", "docroot", "multiversion", "wmf-config", "errorpages",
			"images",
			"static", "tests", "rpc", "wikiversions.php", "refresh-dblist"} {
			h.Top = append(h.Top, rollout.TopDelta{Name: entry, Delete: 65_900 >> j, Change: j % 2})
		}
		for j := range 30 {
			h.Gone = append(h.Gone, fmt.Sprintf("docroot/noc/conf/file%d.php", j))
		}
		d.Hosts = append(d.Hosts, h)
	}
	return d
}

func TestDeletions(t *testing.T) {
	over := plan(t, 60, func(r *rollout.Request) { r.Delta = gone() })
	few := plan(t, 60, func(r *rollout.Request) {
		r.Delta.Hosts[1].Delete, r.Delta.Hosts[1].Gone = 1, []string{"--an 'odd' name"}
	})
	var b bytes.Buffer
	report.Deletions(&b, over)
	over.Delta.Confirmed = true
	report.Deletions(&b, over)
	report.Deletions(&b, few)
	over.Delta = nil
	report.Deletions(&b, over)
	report.Deletions(&b, plan(t, 60, nil))
	golden(t, "deletions", b.Bytes())
}

func TestGuard(t *testing.T) {
	refusals := []report.Finding{
		{Rule: "required", Path: "wikiversions.php", Text: "is not there", Hint: "is this master provisioned?"},
		{Rule: "shrink", Text: "131,817 files, where the last good run had 263,633: 50% less"},
	}
	var warnings []report.Finding
	for i := range 14 {
		warnings = append(warnings, report.Finding{Rule: "untracked", Path: fmt.Sprintf("private/notes%d.txt", i), Text: "is in no repository"})
	}
	var b bytes.Buffer
	report.Guard(&b, "mira.codfw.wmnet", refusals, warnings[:1], "")
	report.Guard(&b, "mira.codfw.wmnet", append(refusals, warnings...), nil, "the tree is meant to be so, T1234")
	report.Guard(&b, "mira.codfw.wmnet", nil, warnings, "the tree is meant to be so, T1234")
	report.Guard(&b, "mira.codfw.wmnet", nil, nil, "")
	golden(t, "guard", b.Bytes())
}

func TestVerify(t *testing.T) {
	const run = "20160202-190601-9f3c"
	var same, mixed []preflight.Verified
	for i := range 40 {
		r := preflight.Verified{Host: fmt.Sprintf("mw%d.eqiad.wmnet", 1017+i), Run: run, Verdict: preflight.IsSame}
		same = append(same, r)
		switch {
		case i < 3:
			r.Verdict, r.Count = preflight.Drifted, 1
			r.Paths = []preflight.Drift{{Path: "wmf-config/InitialiseSettings.php", Kind: "changed", What: "content"}}
		case i == 3:
			r.Verdict, r.Count = preflight.Drifted, 4_711
			for j := range 20 {
				r.Paths = append(r.Paths, preflight.Drift{Path: fmt.Sprintf("cache/%d", j), Kind: "created"})
			}
		case i == 4:
			r.Verdict = preflight.Drifted
		case i < 8:
			r.Verdict, r.Error = preflight.NotKnown, "ssh: connect to host "+r.Host+" port 22: connection refused"
		case i == 8:
			r.Verdict, r.Error, r.Run = preflight.NotKnown, "no run is known that synced it", ""
		}
		mixed = append(mixed, r)
	}
	var b bytes.Buffer
	report.Verify(&b, same, "fleetsync")
	report.Verify(&b, mixed, "fleetsync")
	report.Verify(&b, nil, "fleetsync")
	golden(t, "verify", b.Bytes())
	var all []preflight.Verified
	for i := range 3_000 {
		r := preflight.Verified{Host: fmt.Sprintf("%c%d.example.org", 'a'+i%26, i*7), Run: run, Verdict: preflight.Drifted, Count: i}
		for j := range 20 {
			r.Paths = append(r.Paths, preflight.Drift{Path: strings.Repeat(fmt.Sprint(i, j, "/"), 40), Kind: "deleted"})
		}
		if i%2 == 0 {
			r.Verdict, r.Error = preflight.NotKnown, strings.Repeat(fmt.Sprint("reason ", i), 300)
		}
		all = append(all, r)
	}
	b.Reset()
	report.Verify(&b, all, "fleetsync")
	if lines(b.Bytes()) > 45 || b.Len() > 16<<10 {
		t.Errorf("%d lines and %d bytes are more than a screen:\n%s", lines(b.Bytes()), b.Len(), b.Bytes())
	}
}

func TestTrees(t *testing.T) {
	newest, older := rollouttest.Request().Tree, &rollout.Tree{Fingerprint: "0a1b2c3d4e5f60718293", Digest: "77"}
	run := rollouttest.Request().Run
	last := func(i int) rollout.LastTree {
		return rollout.LastTree{Host: fmt.Sprintf("mw%d.eqiad.wmnet", 1017+i), Standing: rollout.Synced, Run: run,
			At: rollouttest.Began.Add(time.Minute), Tree: newest}
	}
	var same, many, old []rollout.LastTree
	for i := range 60 {
		l := last(i)
		same = append(same, l)
		was := l
		was.Run, was.At, was.Tree = "20160201-100000-1111", rollouttest.Began.Add(-33*time.Hour), older
		old = append(old, was)
		switch {
		case i < 2:
			l = was
			l.RolledBack = run
		case i < 5:
			l = was
		case i == 5:
			l = was
			l.Run = "20160131-100000-2222"
		case i == 6:
			l = was
			l.Tree = nil
		case i < 9:
			l.Standing, l.Error = rollout.Failed, "rsync exit 11: mkdir /srv/mediawiki: not a directory on "+l.Host
		case i == 20:
			l.Standing, l.Hooks, l.Error = rollout.Failed, rollout.HooksFailed, `hook "restart-php" exited with 1`
		case i == 21:
			l.Standing = rollout.InHooks
		case i == 9:
			l.Standing = rollout.Syncing
		case i == 10:
			l.Standing, l.Paths = rollout.Partial, []string{"wmf-config/"}
		case i < 13:
			l = rollout.LastTree{Host: l.Host}
		case i == 13:
			l = rollout.LastTree{Host: l.Host, RolledBack: run}
		}
		many = append(many, l)
	}
	var b bytes.Buffer
	report.Trees(&b, same, newest, run, "")
	report.Trees(&b, many, newest, run, "fleetsync -c /etc/fleetsync/mediawiki.yaml")
	report.Trees(&b, many, nil, "", "")
	report.Trees(&b, old, nil, "", "")
	report.Trees(&b, nil, newest, run, "")
	golden(t, "trees", b.Bytes())
	var all []rollout.LastTree
	for i := range 3_000 {
		l := last(i)
		l.Host = fmt.Sprintf("%c%d.example.org", 'a'+i%26, i*7)
		l.Standing = []rollout.Standing{rollout.Synced, rollout.Failed, rollout.Partial, rollout.Syncing, ""}[i%5]
		l.Tree = &rollout.Tree{Fingerprint: fmt.Sprintf("%064x", i*7919)}
		l.Paths = []string{strings.Repeat(fmt.Sprint(i, "/"), 400)}
		l.Error = strings.Repeat(fmt.Sprint("reason ", i), 300)
		all = append(all, l)
	}
	b.Reset()
	report.Trees(&b, all, newest, run, "")
	if lines(b.Bytes()) > 45 || b.Len() > 16<<10 {
		t.Errorf("%d lines and %d bytes are more than a screen:\n%s", lines(b.Bytes()), b.Len(), b.Bytes())
	}
}

// unguarded asks for a run of which nothing is known, as older journals have them.
func unguarded() rollout.Request {
	r := rollouttest.Request()
	r.Tree, r.Delta, r.MaxDelete = nil, nil, -1
	return r
}

func withoutProxies(t *testing.T) *rollout.Plan {
	t.Helper()
	f := rollouttest.Fleet(12)
	f.Proxies = nil
	p, err := rollout.NewPlan(f, inventory.Settings{Batches: rollouttest.Settings().Batches}, unguarded())
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
			return 0, rollouttest.Fail(rollout.Permanent, strings.Repeat(fmt.Sprintf("reason %d of many ", len(step.Host)*7), 30)+step.Host[:3])
		}
		return 0, nil
	}
	r := report.RunReport{Now: played(t, rollouttest.Play{Plan: p, Do: fails}, false), Journal: journal, Log: log}
	var b bytes.Buffer
	report.Run(&b, r)
	golden(t, "run-large", b.Bytes())
	if lines(b.Bytes()) > 45 || b.Len() > 16<<10 {
		t.Errorf("%d lines and %d bytes are more than a screen", lines(b.Bytes()), b.Len())
	}
}

// TestLargeQuarantine holds that hundreds of hosts that are down and cannot be taken out of their pools, or are, each for a reason of
// its own, and hooks that fail on as many, still fit a screen.
func TestLargeQuarantine(t *testing.T) {
	f := rollouttest.Fleet(5)
	for i := range 9_995 {
		f.Hosts = append(f.Hosts, inventory.Host{Name: fmt.Sprintf("%c%d-%d.example.org", 'a'+i%26, i, i*7)})
	}
	settings, r := rollouttest.Settings(), rollouttest.Request()
	settings.Batches.MaxFailures = inventory.Amount{Count: 2000}
	r.Quarantine, r.Down, r.OnFailure = inventory.QuarantineAll, map[string]string{}, map[string]bool{}
	for i, h := range f.Hosts[len(f.Hosts)-1200:] {
		if r.OnFailure[h.Name] = true; i < 600 {
			r.Down[h.Name] = fmt.Sprintf("ssh: reason %d of many", i)
		}
	}
	p, err := rollout.NewPlan(f, settings, r)
	if err != nil {
		t.Fatal(err)
	}
	do := func(step rollout.Step) (time.Duration, *rollout.Event) {
		switch {
		case step.Kind == rollout.StepQuarantine && step.Host[0]%2 == 0:
			return 0, rollouttest.Fail(rollout.Permanent, "eqiad/appserver: its own reason, "+step.Host[:5])
		case r.OnFailure[step.Host] && step.Kind != rollout.StepQuarantine:
			return 0, rollouttest.Fail(rollout.Permanent, "its own reason, "+step.Host[:5])
		}
		return 0, nil
	}
	run := report.RunReport{Now: played(t, rollouttest.Play{Plan: p, Do: do}, false), Journal: journal, Log: log}
	var b bytes.Buffer
	report.Plan(&b, p)
	if lines(b.Bytes()) > 50 || b.Len() > 16<<10 {
		t.Errorf("%d lines and %d bytes are more than a screen:\n%s", lines(b.Bytes()), b.Len(), b.Bytes())
	}
	b.Reset()
	report.Run(&b, run)
	if lines(b.Bytes()) > 70 || b.Len() > 32<<10 {
		t.Errorf("%d lines and %d bytes are more than a screen:\n%s", lines(b.Bytes()), b.Len(), b.Bytes())
	}
	for _, want := range []string{"  OLD  ", "  MIXED  ", "  kept out  ", "  hooks  ", "names ", " more reasons"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not said", want)
		}
	}
}

func TestRunHosts(t *testing.T) {
	for name, play := range map[string]rollouttest.Play{
		"hosts":                {Plan: plan(t, 24, nil), Do: stuckPool},
		"hosts-died":           {Plan: plan(t, 24, nil), Events: 75},
		"hosts-mixed":          {Plan: plan(t, 24, nil), Do: stuckCanary(rollouttest.Fail(rollout.Permanent, "conf1001: 401 unauthorized"))},
		"hosts-kept":           {Plan: plan(t, 24, nil), Do: stuckCanary(nil)},
		"hosts-undo":           {Plan: rollback(t, 24), Do: someStay},
		"hosts-quarantine-all": {Plan: made(t, rollouttest.QuarantineAll), Do: rollouttest.BadQuarantines},
		"hosts-hooks":          {Plan: made(t, rollouttest.Hooked), Do: rollouttest.BadHooks, Events: 190},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			report.RunHosts(&b, report.RunReport{Now: played(t, play, false)})
			golden(t, name, b.Bytes())
			want := 2 + len(play.Plan.Hosts)
			if play.Plan.Origin != "" {
				want--
			}
			if lines(b.Bytes()) != want {
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
	var runs []report.Past
	for i, play := range []rollouttest.Play{
		{Events: 115}, {Do: someFail}, {Do: manyFail}, {Do: badGate}, {Do: stuckPool}, {Events: 115}, {},
		{Do: stuckCanary(nil)}, {Do: stuckCanary(rollouttest.Fail(rollout.Permanent, "conf1001: 401 unauthorized"))},
		{Plan: rollback(t, 60)}, {Plan: rollback(t, 60), Do: someStay}, {Plan: masters(t)},
	} {
		if play.Plan == nil {
			play.Plan = p
		}
		runs = append(runs, report.Past{Run: play.Plan.Run, Now: played(t, play, i == 0)})
	}
	runs = slices.Insert(runs, 3,
		report.Past{Run: "20160202-185512-3d01", Unread: "written by fleetsync v9.1.0 in form 3; this program reads forms up to 2: use that version or a newer one"},
		report.Past{Run: "20160202-184000-77aa", Unread: "corrupt: line 7: unexpected end of JSON input"})
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
		r.Override, r.Keep, r.Quarantine = evil, true, inventory.QuarantineAll
		r.Hooks = []rollout.Moment{rollout.MomentPre, rollout.MomentPost, rollout.MomentOnFailure}
		r.Post, r.OnFailure = map[string]bool{"mw1017.eqiad.wmnet": true, "mw1018.eqiad.wmnet": true}, map[string]bool{"mw1035.eqiad.wmnet": true}
		r.Down, r.Quarantined = map[string]string{"mw1030.eqiad.wmnet": evil},
			map[string]string{"mw1031.eqiad.wmnet": evil, "mw1036.eqiad.wmnet": "x"}
		r.Tree = &rollout.Tree{Fingerprint: evil, Digest: evil}
		r.Delta = gone()
		for i := range r.Delta.Hosts {
			h := &r.Delta.Hosts[i]
			h.Host += evil
			h.Top[0].Name, h.Gone[0] = evil, evil
		}
	})
	p.Run, p.Fleet, p.Mode = evil, evil, inventory.Mode(evil)
	undo := rollback(t, 24)
	undo.Undoes, undo.Left = evil, []rollout.Left{{Host: evil, Reason: evil}}
	rename(undo, "mw1035.eqiad.wmnet", "mw1035"+evil)
	bad := plan(t, 24, nil)
	bad.Run, bad.Origin = evil, evil
	rename(bad, "mw1018.eqiad.wmnet", "mw1018"+evil)
	rename(bad, "mira.codfw.wmnet", evil)
	p.Left = []rollout.Left{{Host: evil, Reason: evil}}
	rename(p, "mw1020.eqiad.wmnet", "mw1020"+evil)
	rename(p, "mw1035.eqiad.wmnet", "mw1035"+evil)
	rename(p, p.Origin, evil)
	p.Origin = evil
	p.Hosts[len(p.Hosts)-1].Quarantined = evil
	for i := range p.Stages {
		if p.Stages[i].Kind != rollout.StageHook { // whose name is the moment
			p.Stages[i].Name += evil
		}
		p.Stages[i].Why += evil
	}
	do := func(step rollout.Step) (time.Duration, *rollout.Event) {
		switch {
		case step.Kind == rollout.StepRepool, step.Kind == rollout.StepRollback && strings.HasPrefix(step.Host, "mw1018"):
			return 0, rollouttest.Fail(rollout.Permanent, evil)
		case step.Kind == rollout.StepQuarantine && strings.HasPrefix(step.Host, "mw1018"):
			return 0, rollouttest.Fail(rollout.Capacity, evil)
		case step.Kind == rollout.StepCheck:
			return 0, &rollout.Event{Kind: rollout.StepDone, Verdict: rollout.Fail, Detail: evil}
		case step.Kind == rollout.StepHook, step.Kind == rollout.StepPost && strings.HasPrefix(step.Host, "mw1017"):
			return 0, &rollout.Event{Kind: rollout.StepDone, Detail: evil}
		case step.Kind == rollout.StepPost, step.Kind == rollout.StepOnFailure:
			return 0, rollouttest.Fail(rollout.Permanent, evil)
		case strings.HasPrefix(step.Host, "mw1035"):
			return 0, rollouttest.Fail(rollout.Permanent, evil)
		}
		return 0, nil
	}
	var b bytes.Buffer
	report.Plan(&b, p)
	report.Plan(&b, undo)
	report.Deletions(&b, p)
	report.Delta(&b, p)
	for _, p := range []*rollout.Plan{p, undo, bad} {
		for _, events := range []int{0, 10, 16, 30, 45, 60} {
			for _, alive := range []bool{true, false} {
				r := report.RunReport{Now: played(t, rollouttest.Play{Plan: p, Do: do, Events: events}, alive), Journal: evil, Log: evil, Command: evil}
				report.Run(&b, r)
				report.RunHosts(&b, r)
				report.Status(&b, &r)
				report.History(&b, []report.Past{{Run: evil, Now: r.Now}, {Run: evil, Unread: evil}})
			}
		}
	}
	finding := []report.Finding{{Rule: evil, Path: evil, Text: evil, Hint: evil}}
	report.Guard(&b, evil, finding, finding, evil)
	report.Guard(&b, evil, finding, finding, "")
	report.Guard(&b, evil, nil, finding, "")
	drift := []preflight.Drift{{Path: evil, Kind: evil, What: evil}}
	report.Verify(&b, []preflight.Verified{
		{Host: evil, Run: evil, Verdict: preflight.Drifted, Count: 7, Paths: drift},
		{Host: evil, Run: evil, Verdict: preflight.Drifted, Error: evil},
		{Host: evil, Verdict: preflight.NotKnown, Error: evil}, {Host: evil, Verdict: preflight.Same(evil)},
	}, "fleetsync")
	tree := &rollout.Tree{Fingerprint: evil, Files: 1}
	report.Masters(&b, []preflight.Master{
		{Host: evil, Error: evil}, {Host: evil, Tree: tree, Drift: &preflight.MasterDrift{Count: 9, Paths: drift}},
		{Host: evil, Origin: true, Tree: tree},
	}, evil)
	var last []rollout.LastTree
	for _, standing := range []rollout.Standing{rollout.Synced, rollout.Partial, rollout.Failed, rollout.Syncing, "", rollout.Standing(evil)} {
		last = append(last, rollout.LastTree{Host: evil, Standing: standing, Run: evil, Tree: tree, Paths: []string{evil}, Error: evil,
			RolledBack: evil})
	}
	report.Trees(&b, last, tree, evil, evil)
	report.Trees(&b, last, &rollout.Tree{Fingerprint: "x"}, evil, evil)
	report.Trees(&b, last, nil, evil, evil)
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
