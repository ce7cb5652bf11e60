package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// The program that tests run is this test binary under another name, race detector included.
func TestMain(m *testing.M) {
	if os.Getenv("GORACE") == "" {
		// Else each program sleeps a second at its exit, waiting for races.
		if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
			panic(err)
		}
	}
	testscript.Main(m, map[string]func(){"fleetsync": main})
}
