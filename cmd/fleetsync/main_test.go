package main

import (
	"flag"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// The program that tests run is this test binary under another name, or built for them: see shipped.
func TestMain(m *testing.M) {
	if os.Getenv("GORACE") == "" {
		// Else each program sleeps a second at its exit, waiting for races.
		if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
			panic(err)
		}
	}
	// Tests wait for rsyncs and for each other's processes more than they work; -parallel says otherwise.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	testscript.Main(suite{m}, map[string]func(){"fleetsync": main})
}

// suite removes what its tests have built; testscript.Main does not return.
type suite struct{ *testing.M }

func (s suite) Run() int {
	defer removeBuilt()
	return s.M.Run()
}
