//go:build linux

package e2e

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/fleetsync/fleetsync/cmd/fleetlab/lab"
	"github.com/fleetsync/fleetsync/cmd/internal/testfleet"
)

// What this test binary does when a test has a host run it.
const (
	walkOf = "E2E_WALK" // prints the tree below a path
	lookAt = "E2E_LOOK" // prints that, and what else there is on the host
	getOf  = "E2E_GET"  // prints what a URL answers
)

// programs is the folder of what tests build; it is removed when they are through.
var programs string

func TestMain(m *testing.M) {
	if code, is := lab.Child(); is {
		os.Exit(code)
	}
	switch {
	case os.Getenv(walkOf) != "":
		os.Exit(tell(testfleet.TakeSnapshot(os.Getenv(walkOf), nil)))
	case os.Getenv(lookAt) != "":
		os.Exit(tell(readLook(os.Getenv(lookAt))))
	case os.Getenv(getOf) != "":
		os.Exit(tell(get(os.Getenv(getOf))))
	}
	// A program with the race detector waits for a second before it exits, unless it is told not to.
	if err := os.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=0"); err != nil {
		panic(err)
	}
	// Most of a fault is waiting, so more than a test for each processor may be under way.
	flag.Parse()
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	var err error
	if programs, err = os.MkdirTemp("", "fleetsync-e2e-"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(programs) // a folder that is left is no reason to fail
	os.Exit(code)
}

// tell prints a result for the test that asked for it.
func tell(result any, err error) int {
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(result)
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func get(url string) (string, error) {
	reply, err := (&http.Client{Timeout: 10 * time.Second}).Get(url)
	if err != nil {
		return "", err
	}
	defer func() { _ = reply.Body.Close() }() // only read
	body, err := io.ReadAll(reply.Body)
	if err == nil && reply.StatusCode != http.StatusOK {
		err = fmt.Errorf("HTTP %s: %s", reply.Status, body)
	}
	return string(body), err
}

// built builds fleetsync once, in a folder that every host sees.
var built = sync.OnceValues(func() (string, error) {
	program := filepath.Join(programs, "fleetsync")
	if out, err := exec.Command("go", "build", "-o", program, "github.com/fleetsync/fleetsync/cmd/fleetsync").CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build fleetsync: %w: %s", err, out)
	}
	return program, nil
})
