package transporttest

import (
	"testing"

	"github.com/fleetsync/fleetsync/transport/rsync"
)

// StartRsyncd serves dir as an rsync module until the test ends and returns the module's URL.
// Parameters are further lines of the module, as rsyncd.conf(5).
func StartRsyncd(t testing.TB, module, dir string, parameters ...string) string {
	t.Helper()
	return StartDaemon(t, rsync.DaemonConfig{Module: module, Path: dir, Parameters: parameters}).Endpoint + "/" + module
}

// StartDaemon starts a daemon that ends with the test. Dir may be empty.
func StartDaemon(t testing.TB, c rsync.DaemonConfig) *rsync.Daemon {
	t.Helper()
	Need(t, "rsync")
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	d, err := rsync.StartDaemon(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	// The test's context ends before its clean-ups run, and with it the daemon.
	t.Cleanup(func() { _ = d.Close() })
	return d
}
