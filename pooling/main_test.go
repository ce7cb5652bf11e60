package pooling_test

import (
	"flag"
	"os"
	"testing"
)

// Tests wait for leases and for replies that do not come more than they work; -parallel says otherwise.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
