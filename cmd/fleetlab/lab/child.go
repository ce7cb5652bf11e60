//go:build linux

package lab

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// The parts that the caller's program plays when it is started again, by what it is called then.
const (
	asWorld  = "fleetlab-world"
	asHost   = "fleetlab-host"
	asClient = "fleetlab-client"
)

// Child plays the part of a world, a host or a client if this process was started as one by this
// package, and reports whether it was, and the code to exit with. Every program that calls Up must call it
// first thing in main.
func Child() (code int, is bool) {
	if len(os.Args) < 2 {
		return 0, false
	}
	var err error
	switch os.Args[0] {
	case asWorld:
		err = runWorld(os.Args[1])
	case asHost:
		err = runHost(os.Args[1], os.Args[2])
	case asClient:
		return runClient(os.Args[1], os.Args[2], os.Args[3:]), true
	default:
		return 0, false
	}
	if err != nil {
		// Where who started it waits for a line.
		_, _ = fmt.Println(failed + err.Error())
		return 1, true
	}
	return 0, true
}

// What a world and a host say on their standard output, once.
const (
	ready  = "ready"
	failed = "failed: "
)

// spec is what a world and its hosts are made from; the file lab.json.
type spec struct {
	Options Options
	Hosts   []Host
}

func (s *spec) write() error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return writeAll(s.Options.Dir, []file{{specFile, string(data) + "\n", 0o644}})
}

const specFile = "lab.json"

func readSpec(dir string) (*spec, error) {
	data, err := os.ReadFile(filepath.Join(dir, specFile))
	if err != nil {
		return nil, err
	}
	s := &spec{}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, specFile), err)
	}
	return s, nil
}

func (s *spec) index(name string) (int, error) {
	for i, h := range s.Hosts {
		if h.Name == name {
			return i, nil
		}
	}
	return 0, fmt.Errorf("the lab has no host %q", name)
}
