//go:build linux

package lab

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/fleetsync/fleetsync/cmd/internal/testfleet"
	"github.com/fleetsync/fleetsync/inventory"
)

// writeFleet writes the inventory and the policy, and loads them.
func writeFleet(o Options, hosts []Host) error {
	fleet := testfleet.Inventory{
		About: "hosts on one machine, each with an address, an sshd and an rsync daemon of its own.", Fleet: "lab",
		Source: source, Destination: destination, Scratch: scratch, Module: module, Defaults: "{user: root}",
		Masters: named(hosts, RoleMaster), Canaries: folded(hosts, RoleCanary), Proxies: folded(hosts, RoleProxy), Slots: 10,
	}
	for _, h := range hosts {
		if h.Role != RoleConf {
			fleet.Hosts = append(fleet.Hosts, testfleet.Host{Name: h.Name, Datacenter: h.Datacenter, Rack: h.Rack})
		}
	}
	inventoryFile, err := fleet.File()
	if err != nil {
		return err
	}
	policyFile, err := testfleet.Policy{
		About: "How to sync the hosts of inventory.yaml. Made for the masters: fleetlab exec " + named(hosts, RoleMaster)[0] +
			" -- fleetsync check",
		State: "/var/lib/fleetsync", // every host has one of its own
		Pools: "http://" + Conf + ":" + etcdPort, Drain: o.Drain, Soak: o.Soak,
		Batches: "{parallel: 40, ramp: [10%, 50%, 100%], max_failures: 10%, attempts: 3, timeout: 5m}",
		Web:     "http://{host}", Headers: ", headers: {Host: en.wikipedia.org}",
		Fail:      "fleetlab exec " + named(hosts, RoleCanary)[0] + " -- touch " + downFile,
		Generated: o.Tree == "",
		Resync:    "{batches: {parallel: 80, ramp: [100%], max_failures: 50%}, gate: {soak: 0s}}",
	}.File()
	if err != nil {
		return err
	}
	err = writeAll(o.Dir, []file{{"inventory.yaml", string(inventoryFile), 0o644}, {"fleetsync.yaml", string(policyFile), 0o644}})
	if err != nil {
		return err
	}
	if _, err := inventory.LoadFleet(filepath.Join(o.Dir, "inventory.yaml")); err != nil {
		return err
	}
	_, err = inventory.LoadPolicy(filepath.Join(o.Dir, "fleetsync.yaml"))
	return err
}

// folded returns the hosts of a role as at most one range, because a lab may have hundreds.
func folded(hosts []Host, r Role) []string {
	names := named(hosts, r)
	if len(names) == 0 {
		return nil
	}
	return []string{inventory.FoldNames(names)}
}

// poolObjects returns the pool objects of all hosts but masters, one for each service.
func poolObjects(hosts []Host) []testfleet.Object {
	var objects []testfleet.Object
	for i, h := range hosts {
		if h.Role == RoleMaster || h.Role == RoleConf {
			continue
		}
		for _, service := range testfleet.Services {
			value := fmt.Sprintf(`{"pooled": "yes", "weight": %d}`, testfleet.Weight(i))
			objects = append(objects, testfleet.NewObject(h.Datacenter, service, h.Name, value))
		}
	}
	return objects
}

// writeHosts writes what hosts have instead of the machine's files in /etc: who is who, and that nobody
// else is asked.
func writeHosts(dir string, hosts []Host, passwd string) error {
	var names strings.Builder
	names.WriteString("127.0.0.1 localhost\n")
	for _, h := range hosts {
		names.WriteString(h.Address + " " + h.Name + "\n")
	}
	// The machine's users, but for root: its shell and what it reads at login are the machine's affair,
	// and a password that is locked by ! keeps sshd from letting it in (auth.c, allowed_user).
	users := []string{"root:x:0:0:root:" + home + ":/bin/sh"}
	for line := range strings.Lines(passwd) {
		if !strings.HasPrefix(line, "root:") {
			users = append(users, strings.TrimSuffix(line, "\n"))
		}
	}
	return writeAll(filepath.Join(dir, "etc"), []file{
		{"hosts", names.String(), 0o644},
		{"passwd", strings.Join(users, "\n") + "\n", 0o644},
		{"shadow", "root:*:20000:0:99999:7:::\n", 0o600},
		{"nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\nservices: files\nprotocols: files\n", 0o644},
	})
}
