package main

import (
	"strings"
	"testing"

	"github.com/fleetsync/fleetsync/cmd/internal/testfleet"
)

// processes returns the command lines of this machine's processes that are about the fleet, by id.
func (w *world) processes(t *testing.T) map[int]string {
	t.Helper()
	all, err := testfleet.Processes(w.Dir)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// transfers returns the processes that write some host's destination.
func (w *world) transfers(t *testing.T) map[int]string {
	t.Helper()
	all := w.processes(t)
	for pid, line := range all {
		if strings.Contains(line, "--daemon") || !strings.Contains(line, "--delete-delay") {
			delete(all, pid)
		}
	}
	return all
}

// daemon returns the process of a host's rsync daemon.
func (w *world) daemon(t *testing.T, host string) int {
	t.Helper()
	for pid, line := range w.processes(t) {
		// Not the shell around it, which names the same.
		if strings.HasPrefix(line, "rsync --daemon") && strings.Contains(line, w.host(host)+"/") {
			return pid
		}
	}
	t.Fatalf("%s has no daemon among %v", host, w.processes(t))
	return 0
}
