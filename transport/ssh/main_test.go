package ssh_test

import (
	"fmt"
	"os"
	"testing"
)

// TestMain lets the test binary play many hosts, and who visits them.
func TestMain(m *testing.M) {
	switch os.Getenv("TRANSPORT_TEST_PLAY") {
	case "crowd":
		played(playCrowd)
	case "visit":
		played(playVisit)
	default:
		os.Exit(m.Run())
	}
}

// played plays a role to its end.
func played(role func() error) {
	if err := role(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
