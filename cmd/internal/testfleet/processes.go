package testfleet

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Processes returns the command lines of this machine's processes that name something in a directory, by process ID: not
// the caller's own, and none that has ended and only waits for its parent to notice.
func Processes(dir string) (map[int]string, error) {
	if _, err := os.Stat("/proc/self/cmdline"); err != nil {
		return nil, fmt.Errorf("this machine has no /proc to see processes in: %w", err)
	}
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, err
	}
	all := map[int]string{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil || !bytes.Contains(data, []byte(dir+"/")) {
			continue // it has ended, or is somebody else's
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil || pid == os.Getpid() || zombie(pid) {
			continue
		}
		all[pid] = strings.ReplaceAll(string(bytes.TrimRight(data, "\x00")), "\x00", " ")
	}
	return all, nil
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
