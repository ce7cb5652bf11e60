package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// processes returns the command lines of this machine's processes that are about the fleet, by id.
func (w *world) processes(t *testing.T) map[int]string {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	all := map[int]string{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil || !bytes.Contains(data, []byte(w.Dir+"/")) {
			continue // it has ended, or is somebody else's
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil || pid == os.Getpid() || zombie(pid) {
			continue
		}
		all[pid] = strings.ReplaceAll(string(bytes.TrimRight(data, "\x00")), "\x00", " ")
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

// zombie says whether a process has ended and waits to be noticed (proc(5), /proc/pid/stat).
func zombie(pid int) bool {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return true
	}
	_, rest, _ := bytes.Cut(data, []byte(") "))
	return len(rest) > 0 && rest[0] == 'Z'
}
