package execute_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/execute"
	"github.com/fleetsync/fleetsync/orchestrator/hosts"
	"github.com/fleetsync/fleetsync/orchestrator/rollout"
	"github.com/fleetsync/fleetsync/transport/ssh"
	"github.com/fleetsync/fleetsync/transport/transporttest"
)

// parse returns a fleet of a master m, whose rsyncd is at an endpoint, and one host h.
func parse(t *testing.T, endpoint, source, destination, host string) *inventory.Fleet {
	t.Helper()
	f, err := inventory.ParseFleet("inventory.yaml", []byte(strings.NewReplacer(
		"ENDPOINT", endpoint, "SOURCE", source, "DESTINATION", destination, "HOST", host).Replace(`
fleet: test
tree: {source: "SOURCE", destination: "DESTINATION", module: common}
hosts:
  m: {endpoint: "ENDPOINT", connection: local, destination: "DESTINATION-of-the-master"}
  h: {HOST}
roles:
  masters: [{host: m, serve: true}]
  canaries: [h]
`)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestAttemptTimeout: a source that accepts and never answers costs one attempt its time, and is
// named as the possible culprit. (Planted: no deadline around the sync; the test then ends by its own.)
func TestAttemptTimeout(t *testing.T) {
	need(t, "rsync", "flock")
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	dir := t.TempDir()
	f := parse(t, "rsync://"+silent.Addr().String(), filepath.Join(dir, "source"), filepath.Join(dir, "hosts", "h"), "connection: local")
	x := &execute.Executor{
		Plan:     &rollout.Plan{Limits: rollout.Limits{Timeout: rollout.Duration(300 * time.Millisecond)}},
		Restorer: execute.Restorer{Hosts: &hosts.Asker{Fleet: f, Rsync: inventory.Rsync{Timeout: time.Minute}, Dialer: &ssh.Dialer{}}},
	}
	e := x.Do(t.Context(), rollout.Step{Kind: rollout.StepSync, Host: "h", Source: "m", Attempt: 1})
	if e.Kind != rollout.StepFailed || e.Class != rollout.Transient || !e.Blame || !strings.Contains(e.Error, "gave up after 300ms") {
		t.Errorf("ended with %+v", e)
	}
}

// TestOverSSH syncs and checks a host through a real sshd, with its port, user and a path that a shell
// would misread.
func TestOverSSH(t *testing.T) {
	need(t, "rsync", "flock", "ssh")
	dir := t.TempDir()
	source, destination := filepath.Join(dir, "source"), filepath.Join(dir, "it's $(id)", "tree")
	if err := os.MkdirAll(source, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(source, "wikiversions.php"), []byte("<?php\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	sshd := transporttest.StartSSHD(t)
	at := sshd.Host()
	url := transporttest.StartRsyncd(t, "common", source)
	f := parse(t, strings.TrimSuffix(url, "/common"), source, filepath.Join(dir, "plain"), "connection: ssh")
	for i := range f.Hosts {
		if f.Hosts[i].Name == "h" {
			f.Hosts[i].Address, f.Hosts[i].Port, f.Hosts[i].User = at.Address, at.Port, at.User
			f.Hosts[i].Destination, f.Hosts[i].Scratch = destination, filepath.Join(dir, "scratch")
		}
	}
	dialer, canaries := &ssh.Dialer{Config: sshd.SSH()}, &ssh.Dialer{Config: sshd.SSH()}
	canaries.Config.Share = true
	defer func() { _ = errors.Join(dialer.Close(), canaries.Close()) }() // or sshd ends when they are idle
	x := &execute.Executor{
		Plan:     &rollout.Plan{Limits: rollout.Limits{Timeout: rollout.Duration(time.Minute)}},
		Restorer: execute.Restorer{Hosts: &hosts.Asker{Fleet: f, Dialer: dialer}}, Canaries: &hosts.Asker{Fleet: f, Dialer: canaries},
		Checks: []inventory.Check{
			{Name: "there", Command: []string{"test", "-s", "{destination}/wikiversions.php"}, Timeout: 30 * time.Second},
			{Name: "wrong", Command: []string{"test", "-e", "{destination}/nothing"}, Timeout: 30 * time.Second},
		},
	}
	if e := x.Do(t.Context(), rollout.Step{Kind: rollout.StepSync, Host: "h", Source: "m", Attempt: 1}); e.Kind != rollout.StepDone {
		t.Fatalf("the sync ended with %+v", e)
	}
	if text, err := os.ReadFile(filepath.Join(destination, "wikiversions.php")); err != nil || string(text) != "<?php\n" {
		t.Errorf("the host has %q, %v", text, err)
	}
	for check, want := range map[string]rollout.Verdict{"there": rollout.Pass, "wrong": rollout.Fail} {
		e := x.Do(t.Context(), rollout.Step{Kind: rollout.StepCheck, Check: check, Hosts: []string{"h"}, Attempt: 1})
		if e.Kind != rollout.StepDone || e.Verdict != want {
			t.Errorf("check %s ended with %+v, want %s", check, e, want)
		}
	}
}
