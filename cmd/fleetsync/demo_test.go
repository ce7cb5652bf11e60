package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/fleetsync/fleetsync/cmd/fleetsync/internal/demo"
	"github.com/fleetsync/fleetsync/pooling/poolingtest"
)

// A fleet of one program, every command from another: until the first is interrupted, and then nothing
// of it runs any more.
func TestDemoUp(t *testing.T) {
	t.Parallel()
	needPrograms(t)
	pools, err := poolingtest.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pools.Close() })
	// An object that exists is never overwritten.
	const key, value = "/conftool/v1/pools/eqiad/appserver/nginx/mw1018.eqiad.wmnet", `{"pooled":"inactive","weight":7}`
	if err := pools.Etcd.Put(key, value); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "fleet")
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	up := exec.Command(path)
	up.Args = []string{"fleetsync", "demo", "up", "--json", "--dir", dir, "--pool-api", pools.URL,
		"--hosts", "6", "--proxies", "1", "--files", "40", "--soak", "100ms", "--drain", "0s"}
	var stderr bytes.Buffer
	up.Stderr = &stderr
	stdout, err := up.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	t.Cleanup(func() {
		if !ended {
			_ = up.Process.Kill()
			_ = up.Wait()
		}
	})
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	var ready struct {
		Ready                     bool
		Config, Inventory, Source string
	}
	if err := json.Unmarshal(line, &ready); err != nil || !ready.Ready {
		t.Fatalf("%v: %s", err, line)
	}
	w := &world{
		Fleet: &demo.Fleet{Dir: dir, Config: ready.Config, Inventory: ready.Inventory, Source: ready.Source},
		Pools: pools,
	}
	w.before = w.objects()
	if w.before[key] != value || len(w.before) != 12 {
		t.Errorf("the objects are %v", w.before)
	}
	b := w.sync(t, exitDone, "sync")
	b.wantSynced(w.everybody(t)...)
	w.wantSynced(t, w.everybody(t)...)
	w.wantPools(t)

	if err := up.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	err = up.Wait()
	ended = true
	if code := up.ProcessState.ExitCode(); code != exitDone || stderr.Len() > 0 {
		t.Errorf("exit code %d, %v: %s", code, err, stderr.String())
	}
	if left := w.processes(t); len(left) > 0 {
		t.Errorf("still running: %v", left)
	}
	if names := w.everybody(t); !slices.Contains(names, comaster) {
		t.Errorf("the fleet's files are gone: %s", names)
	}
}
