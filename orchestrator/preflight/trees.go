package preflight

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/guard"
	"github.com/fleetsync/fleetsync/orchestrator/hosts"
	"github.com/fleetsync/fleetsync/orchestrator/journal"
	"github.com/fleetsync/fleetsync/orchestrator/manifest"
	"github.com/fleetsync/fleetsync/transport"
)

// FleetTrees implements Trees for a fleet, with the scans that are kept on this machine.
type FleetTrees struct {
	Hosts *hosts.Asker
	Store journal.Store
}

var _ Trees = FleetTrees{}

// Tree implements Trees. A tree on this machine is read directly, which is faster than what programs print.
func (t FleetTrees) Tree(name string) (guard.Tree, error) {
	on, err := t.Hosts.Tree(name)
	if err != nil {
		return nil, err
	}
	if host, _ := t.Hosts.Fleet.Host(name); host.Connection == inventory.ConnectionLocal && host.Become == "" {
		return &guard.Local{Root: on.Root, Exclude: on.Exclude}, nil
	}
	return on, nil
}

// Scanned implements Trees.
func (t FleetTrees) Scanned(name string) *manifest.Manifest {
	m, err := manifest.Load(t.Store.ScanPath(name))
	if err != nil {
		return nil
	}
	return m
}

// Keep implements Trees. Before the fleet's first run there is no folder to keep it in, and who only looks does not make one.
func (t FleetTrees) Keep(name string, m *manifest.Manifest) {
	path := t.Store.ScanPath(name)
	if err := os.Mkdir(filepath.Dir(path), 0o755); err == nil || errors.Is(err, fs.ErrExist) {
		_ = manifest.Save(path, m) // it only saves time
	}
}

// UserID implements Trees.
func (t FleetTrees) UserID(ctx context.Context, name, user string) (uint32, error) {
	conn, err := t.Hosts.Dial(name)
	if err != nil {
		return 0, err
	}
	r, err := conn.Run(ctx, transport.Command{Args: []string{"id", "-u", "--", user}})
	if err != nil {
		return 0, err
	}
	id, err := strconv.ParseUint(strings.TrimSpace(string(r.Stdout)), 10, 32)
	if r.ExitCode != 0 || err != nil {
		return 0, fmt.Errorf("%s knows no user %s", name, transport.Quoted(user))
	}
	return uint32(id), nil
}
