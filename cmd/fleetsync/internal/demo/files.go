package demo

import (
	"path/filepath"

	"github.com/fleetsync/fleetsync/cmd/internal/testfleet"
	"github.com/fleetsync/fleetsync/inventory"
)

// inventoryFile returns the inventory of a fleet.
func inventoryFile(o Options, hosts []host) ([]byte, error) {
	every := host{name: "{host}"}
	v := testfleet.Inventory{
		About: "a fleet on one machine, whose hosts are folders.", Fleet: "demo",
		Source:      host{origin: true}.source(o.Dir),
		Destination: every.destination(o.Dir),
		Scratch:     filepath.Join(filepath.Dir(every.destination(o.Dir)), ".fleetsync"),
		Module:      module,
		Defaults:    "{connection: local}   # no ssh: every host is on this machine",
		Masters:     names(hosts, testfleet.RoleMaster),
		Canaries:    names(hosts, testfleet.RoleCanary),
		Proxies:     names(hosts, testfleet.RoleProxy), Slots: 4,
	}
	if o.Tree == "" {
		v.Exclude = testfleet.Exclude
	}
	if ordinary := names(hosts, testfleet.RoleHost); len(ordinary) > 2 {
		v.Jobrunners = []string{inventory.FoldNames(ordinary[len(ordinary)-2:])}
	}
	for _, h := range hosts {
		line := testfleet.Host{Name: h.name, Datacenter: h.datacenter, Rack: h.rack, Endpoint: h.endpoint}
		if h.role == testfleet.RoleMaster && !h.origin {
			line.Source = h.source(o.Dir)
		}
		v.Hosts = append(v.Hosts, line)
	}
	return v.File()
}

// policyFile returns the policy of a fleet.
func policyFile(o Options, web, pools string) ([]byte, error) {
	return testfleet.Policy{
		About: "How to sync the fleet of inventory.yaml.",
		State: filepath.Join(o.Dir, "state"), Pools: pools, Drain: o.Drain, Soak: o.Soak,
		Batches: "{parallel: 8, ramp: [2, 25%, 100%], max_failures: 1, attempts: 3}",
		Web:     web + "/{host}", Fail: "touch hosts/" + names(lay(o), testfleet.RoleCanary)[0] + "/down",
		Generated: o.Tree == "",
		Guard: `  max_delete: 10%   # of the tree's files; more must be confirmed by their number
  max_shrink: 10%   # of the files and bytes of the last good run`,
		KeepAll: o.KeepAll,
		Resync:  "{batches: {parallel: 16, max_failures: 50%}, gate: {soak: 0s}}",
	}.File()
}
