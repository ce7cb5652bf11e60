package main

import (
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/demo"
	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/execute"
	"github.com/fleetsync/fleetsync/orchestrator/hosts"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/transport"
	"github.com/fleetsync/fleetsync/transport/ssh"
)

// BenchmarkGuard measures all that happens before a run when nothing is wrong and nothing has changed (scan, audits, dry
// run on the canary, free space), against a sync of one host that has nothing to do, of the same tree, in turns. The
// bound is guard/noop of at most 2.
func BenchmarkGuard(b *testing.B) {
	const files = 20_000
	if err := transport.Missing("rsync", "flock"); err != nil {
		b.Skip(err)
	}
	o := demo.Defaults()
	o.Dir, o.Hosts, o.Proxies, o.Masters, o.Files, o.Soak = filepath.Join(b.TempDir(), "fleet"), 2, 0, 1, files, 0
	fleet, err := demo.Up(background, o)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = fleet.Close() }()
	a := &app{stdin: nil, stdout: io.Discard, stderr: io.Discard, getenv: func(string) string { return "" }, name: "fleetsync",
		config: fleet.Config}
	s, err := a.load()
	if err != nil {
		b.Fatal(err)
	}
	options := newRunFlags(inventory.ModeSync)
	if err := a.carryOut(background, s, options, "benchmark", a.confirmDeletions); err != nil {
		b.Fatal(err)
	}
	c, err := a.session(s)
	if err != nil {
		b.Fatal(err)
	}
	options.Run = "r1"
	before, err := a.judge(background, s, c, options)
	if err != nil {
		b.Fatal(err)
	}
	canary := before.Plan.Stages[0].Hosts[0]
	noop := &execute.Executor{
		Plan:     &rollout.Plan{Run: "r1", Origin: before.Plan.Origin, Hosts: before.Plan.Hosts, Limits: before.Plan.Limits},
		Restorer: execute.Restorer{Hosts: &hosts.Asker{Fleet: s.fleet, Rsync: s.policy.Rsync, Dialer: &ssh.Dialer{}}},
	}
	var guards, noops time.Duration
	for b.Loop() {
		s.past = nil // each run reads its journals
		start := time.Now()
		if _, err := a.judge(background, s, c, options); err != nil {
			b.Fatal(err)
		}
		middle := time.Now()
		e := noop.Do(background, rollout.Step{Kind: rollout.StepSync, Host: canary, Source: before.Plan.Origin, Attempt: 1})
		if e.Kind != rollout.StepDone || e.Stats.Transferred != 0 {
			b.Fatalf("the sync was to have nothing to do: %+v", e)
		}
		noops += time.Since(middle)
		guards += middle.Sub(start)
	}
	b.ReportMetric(guards.Seconds()*1000/float64(b.N), "guard-ms")
	b.ReportMetric(noops.Seconds()*1000/float64(b.N), "noop-ms")
	b.ReportMetric(float64(guards)/float64(noops), "guard/noop")
}
