package preflight

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/hosts"
	"github.com/fleetsync/fleetsync/transport"
)

// MayServeNow says why the master that this machine is may not be synced from just now. Whatever keeps that from being known counts.
func MayServeNow(ctx context.Context, fleet *inventory.Fleet, policy *inventory.Policy, name string) error {
	if err := MayServe(fleet, name); err != nil {
		return err
	}
	if marker := policy.Guard.Provisioned; marker != "" {
		if _, err := os.Stat(marker); err != nil {
			return fmt.Errorf("master %s is not provisioned: %w", name, err)
		}
	}
	host, _ := fleet.Host(name) // it is a master
	switch last, err := hosts.TreeOf(fleet, host, transport.Local{}).Record(ctx); {
	case err != nil:
		return fmt.Errorf("it cannot be told whether the tree of %s is whole: %w", name, err)
	case last != nil && last.Partial:
		return fmt.Errorf("run %s has changed the tree of %s and did not end well", transport.Neutral(last.Run), name)
	}
	file, err := os.Open(transport.LockFile(host.Scratch, host.Source))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing has ever been synced to it
	}
	if err != nil {
		return fmt.Errorf("it cannot be told whether the tree of %s is being written: %w", name, err)
	}
	defer func() { _ = file.Close() }() // only read
	if err := unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		return fmt.Errorf("the tree of %s is being written by a sync", name)
	}
	return nil
}
