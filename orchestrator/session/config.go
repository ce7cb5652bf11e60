package session

import (
	"os"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/journal"
	"github.com/fleetsync/fleetsync/orchestrator/preflight"
	"github.com/fleetsync/fleetsync/pooling"
	"github.com/fleetsync/fleetsync/pooling/balancer"
	"github.com/fleetsync/fleetsync/transport/ssh"
)

// Config is a fleet as one master knows it, and who asks. It is safe for concurrent use and must not change.
type Config struct {
	Fleet  *inventory.Fleet
	Policy *inventory.Policy
	Store  journal.Store // of this machine

	Pools     *pooling.Client // nil: the fleet has no pools
	Shared    *pooling.Shared // what all masters share; nil: there is none
	Balancers balancer.Groups

	Dialer *ssh.Dialer        // connects to hosts; who made it closes it
	Share  func() *ssh.Dialer // returns one that keeps a process and a connection of the ssh program for each host; the session closes it

	// History returns what the journals of this machine tell. It is called under the fleet's lock, so that no run is missed.
	History func() *preflight.History

	Owner   string // the user who asks
	Machine string // this one
	Printer Printer
}

// Printer shows the user what goes on while a session works. What it is given may hold what hosts or other users wrote: it
// neutralises that.
type Printer interface {
	// Warn tells of something that is not as it should be, and keeps nothing from going on.
	Warn(format string, args ...any)
	// Say tells of what goes on.
	Say(format string, args ...any)
}

// has says whether a run's journal is on this machine, so that the lock of this machine says that the run does not live.
func (c *Config) has(run string) bool {
	_, err := os.Stat(c.Store.JournalPath(run))
	return err == nil
}

// holder returns who holds the fleet's lock for a run; of no run, for the reason.
func (c *Config) holder(run, reason string) pooling.Holder {
	return pooling.Holder{Owner: c.Owner, Host: c.Machine, Run: run, Reason: reason, Inventory: c.Fleet.Digest}
}
