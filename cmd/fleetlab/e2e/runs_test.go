//go:build linux

package e2e

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/cmd/fleetlab/lab"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
)

// TestRuns sees each kind of a run through, on one lab, whose tree goes on from one to the next.
func TestRuns(t *testing.T) {
	t.Parallel()
	o := lab.Defaults()
	o.Files, o.Proxies = 60, 3
	f := up(t, o)
	plain := f.write(t)

	t.Run("Reach", func(t *testing.T) {
		if wrong := f.reach(t, 0, plain); len(wrong) > 0 {
			t.Errorf("all is well, but %v", wrong)
		}
		cut, stopped, skewed := f.ordinary[0], f.proxies[0], f.ordinary[1]
		done(t, f.Partition(t.Context(), cut))
		f.must(t, stopped, "kill $(cat /run/rsyncd.pid)")
		want := map[string]string{cut: "ssh", stopped: "873"}
		if f.skew(t, skewed, time.Hour) {
			want[skewed] = "clock is off by 1h"
		}
		wrong := f.reach(t, 3, plain)
		for host, why := range want {
			if !strings.Contains(wrong[host], why) {
				t.Errorf("%s: %q, want %q", host, wrong[host], why)
			}
			delete(wrong, host)
		}
		if len(wrong) > 0 {
			t.Errorf("nothing is wrong with %v", wrong)
		}
		done(t, f.Heal(t.Context(), cut))
		f.must(t, stopped, "rm -f /run/rsyncd.pid; rsync --daemon --config=/run/rsyncd.conf")
		done(t, f.Heal(t.Context(), skewed))
	})

	t.Run("FullRun", func(t *testing.T) {
		r := f.fleetsync(t, 0, plain, "sync", "--yes")
		s := f.wantTruth(t, plain, nil)
		f.wantPools(t)
		f.wantOrder(t, r)
		if s.Outcome.Result != rollout.ResultDone || s.Outcome.Gate != rollout.Pass {
			t.Errorf("the outcome is %+v", s.Outcome)
		}
		if len(s.Trees) != len(f.synced)-1 {
			t.Errorf("%d trees are known of", len(s.Trees))
		}
		for _, at := range s.Trees {
			if at.Run != s.Run || at.Standing != rollout.Synced {
				t.Errorf("the tree of %s is said to be %s of run %s", at.Host, at.Standing, at.Run)
			}
		}
	})

	t.Run("CanaryOnly", func(t *testing.T) {
		others := slices.Concat([]string{f.comaster}, f.proxies, f.ordinary)
		before, pools := f.trees(t, others...), f.pools(t)
		f.change(t, false)
		f.fleetsync(t, 0, plain, "canary", "--yes")
		f.wantSynced(t, f.canaries...)
		for host, was := range before {
			wantTree(t, host, was, f.tree(t, host), true)
		}
		if now := f.pools(t); !maps.Equal(pools, now) { // nobody wrote one, not even what it was
			t.Errorf("pool objects were %v, are %v", pools, now)
		}
		for _, h := range f.status(t, plain).Hosts {
			if want := slices.Contains(f.canaries, h.Host); want != (h.Standing == rollout.Synced) {
				t.Errorf("%s is said to be %s", h.Host, h.Standing)
			}
		}
	})

	t.Run("GateFails", func(t *testing.T) {
		before := f.trees(t, f.synced...)
		f.change(t, false)
		f.must(t, f.canaries[0], "touch /srv/down")
		f.fleetsync(t, 4, plain, "sync", "--yes")
		f.must(t, f.canaries[0], "rm /srv/down")
		for host, was := range before { // canaries have been rolled back
			wantTree(t, host, was, f.tree(t, host), true)
		}
		f.wantPools(t)
	})

	t.Run("Resync", func(t *testing.T) {
		f.must(t, f.ordinary[0], "rm -rf "+destination+"/*")
		f.must(t, f.proxies[0], "echo broken >"+destination+"/wikiversions.php")
		f.fleetsync(t, 0, plain, "resync", "--yes")
		f.wantTruth(t, plain, nil)
		f.wantPools(t)
	})

	t.Run("Verify", func(t *testing.T) {
		if wrong := f.verify(t, 0, plain); len(wrong) > 0 {
			t.Errorf("all is well, but %v", wrong)
		}
		drifted, cut := f.ordinary[1], f.ordinary[2]
		f.must(t, drifted, "touch "+destination+"/stray")
		done(t, f.Partition(t.Context(), cut))
		wrong := f.verify(t, 3, plain)
		if !strings.Contains(wrong[drifted], "stray") || wrong[cut] == "" || len(wrong) != 2 {
			t.Errorf("of %s (drifted) and %s (cut) it says %v", drifted, cut, wrong)
		}
		done(t, f.Heal(t.Context(), cut))
		f.must(t, drifted, "rm "+destination+"/stray")
	})

	t.Run("Resume", func(t *testing.T) {
		f.change(t, true)
		victim := f.ordinary[0]
		done(t, f.Slow(t.Context(), victim, slow)) // else all may be over before the kill
		r := f.start(t, f.origin, plain, "sync", "--yes")
		// In the middle: proxies are out of their pools, and serve.
		e := r.await(t, rollout.StepStarted, "sync/"+victim, f.proxies...)
		f.inTransfer(t, r, victim)
		f.must(t, f.origin, "kill -KILL $(pidof fleetsync)")
		r.wantCode(t, 128+9)
		done(t, f.Slow(t.Context(), victim, ""))
		if out := f.out(t); !slices.Equal(out, slices.Sorted(slices.Values(f.proxies))) {
			t.Errorf("%v are out, want %v", out, f.proxies)
		}
		f.fleetsync(t, 12, plain, "sync", "--yes")
		f.fleetsync(t, 0, plain, "resume", e.Run, "--wait")
		if s := f.wantTruth(t, plain, nil); s.Run != e.Run {
			t.Errorf("the last run is %s, not %s", s.Run, e.Run)
		}
		f.wantPools(t)
	})

	t.Run("Rollback", func(t *testing.T) {
		kept := f.write(t, "guard:", "keep: {hosts: all}\nguard:")
		hosts := slices.Concat(f.canaries, f.proxies, f.ordinary)
		f.must(t, f.ordinary[0], "cd "+destination+"; ln wikiversions.php linked; mkdir -m 711 own") // which its sync deletes
		before := f.trees(t, hosts...)
		f.change(t, false)
		f.fleetsync(t, 0, kept, "sync", "--yes")
		s := f.wantTruth(t, kept, nil)
		pools := f.pools(t)
		f.fleetsync(t, 0, kept, "rollback", s.Run)
		for host, was := range before {
			wantTree(t, host, was, f.tree(t, host), true)
		}
		if now := f.pools(t); !maps.Equal(pools, now) {
			t.Errorf("pool objects were %v, are %v", pools, now)
		}
		f.wantPools(t)
	})

	t.Run("OpenSSH", func(t *testing.T) {
		program := f.write(t, "client: native", "client: openssh")
		f.fleetsync(t, 0, program, "check", "--reach")
		f.change(t, false)
		r := f.fleetsync(t, 0, program, "sync", "--yes")
		f.wantTruth(t, program, nil)
		f.wantPools(t)
		f.wantOrder(t, r)
	})

	t.Run("MasterLost", func(t *testing.T) {
		f.change(t, false)
		r := f.start(t, f.origin, plain, "sync", "--yes")
		r.await(t, rollout.StepStarted, "sync/*", f.proxies...)
		done(t, f.Kill(t.Context(), f.origin))
		r.wantCode(t, 255)
		if out := f.out(t); len(out) != len(f.proxies) {
			t.Errorf("%v are out, want %v", out, f.proxies)
		}
		f.on(t, f.comaster, 0, plain, "recover", "--yes")
		f.wantPools(t)
		done(t, f.Start(t.Context(), f.origin))
		f.fleetsync(t, 0, plain, "sync", "--yes")
		f.wantTruth(t, plain, nil)
		f.wantPools(t)
	})
}

// wantOrder fails the test unless a run kept to what is promised: nobody but canaries before the gate, nobody from a
// proxy that is not out and synced, proxies back at the end.
func (f *fleet) wantOrder(t *testing.T, r *run) {
	t.Helper()
	passed := map[string]bool{}
	ready := map[string]bool{}
	for _, e := range r.events {
		kind, host, _ := strings.Cut(string(e.Step), "/")
		switch {
		case e.Kind == rollout.StepDone && kind == "check":
			passed[host] = e.Verdict == rollout.Pass
		case e.Kind == rollout.StepDone && (kind == "sync" || kind == "depool"):
			ready[kind+host] = true
		case e.Kind == rollout.StepStarted && kind == "repool":
			delete(ready, "depool"+host)
		case e.Kind == rollout.StepStarted && kind == "sync":
			if !slices.Contains(f.canaries, host) && (!passed["front-page"] || !passed["tree"]) {
				t.Errorf("%s began before the gate had passed", e.Step)
			}
			if e.Source != f.origin && (!slices.Contains(f.proxies, e.Source) || !ready["depool"+e.Source] || !ready["sync"+e.Source]) {
				t.Errorf("%s began from %s, which was not ready", e.Step, e.Source)
			}
			if slices.Contains(f.proxies, host) && !ready["depool"+host] {
				t.Errorf("%s began before it was out", e.Step)
			}
		}
	}
	for _, p := range f.proxies {
		if !ready["sync"+p] || ready["depool"+p] {
			t.Errorf("%s did not serve, or is not back", p)
		}
	}
}

// reach returns what check --reach finds wrong, by host.
func (f *fleet) reach(t *testing.T, code int, policy string) map[string]string {
	t.Helper()
	r := f.fleetsync(t, code, policy, "check", "--reach")
	wrong, hosts := map[string]string{}, 0
	for _, line := range r.lines {
		var one struct {
			Host  string
			Wrong []string
		}
		done(t, json.Unmarshal(line, &one))
		if one.Host != "" {
			hosts++
		}
		if len(one.Wrong) > 0 {
			wrong[one.Host] = strings.Join(one.Wrong, "; ")
		}
	}
	if hosts != len(f.synced)+1 {
		t.Errorf("it speaks of %d hosts, not %d", hosts, len(f.synced)+1)
	}
	return wrong
}

// verify returns what verify says of the hosts that are not as they should be.
func (f *fleet) verify(t *testing.T, code int, policy string) map[string]string {
	t.Helper()
	r := f.fleetsync(t, code, policy, "verify")
	wrong := map[string]string{}
	for _, line := range r.lines {
		var one struct{ Host, Verdict string }
		done(t, json.Unmarshal(line, &one))
		if one.Verdict != "same" {
			wrong[one.Host] = string(line)
		}
	}
	if hosts := len(r.lines); hosts != len(f.synced)-1 {
		t.Errorf("it speaks of %d hosts, not %d", hosts, len(f.synced)-1)
	}
	return wrong
}
