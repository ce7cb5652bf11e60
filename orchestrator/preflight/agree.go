package preflight

import (
	"fmt"
	"strings"

	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/manifest"
	"github.com/fleetsync/fleetsync/transport"
)

// Agree says in what a policy and its inventory contradict each other.
func Agree(policy *inventory.Policy, fleet *inventory.Fleet) error {
	excluded := manifest.Excluded(fleet.Tree.Exclude)
	for _, r := range policy.Guard.Required {
		if excluded(r.Path, false) {
			return fmt.Errorf("guard: required: %s is excluded from the tree by the inventory: it would never be there",
				transport.Quoted(r.Path))
		}
	}
	for _, hooks := range [][]inventory.Hook{policy.Hooks.Hosts.Pre, policy.Hooks.Hosts.Post, policy.Hooks.Hosts.OnFailure} {
		if _, err := inventory.Hooked(fleet, hooks); err != nil {
			return fmt.Errorf("hooks: %w", err)
		}
	}
	for _, m := range fleet.Masters {
		host, _ := fleet.Host(m.Host) // it is one
		if marker := policy.Guard.Provisioned; marker == host.Source || strings.HasPrefix(marker, host.Source+"/") {
			// A sync would bring it to a master that is not provisioned.
			return fmt.Errorf("guard: provisioned: %s is in the tree of %s: it must be outside", transport.Quoted(marker), m.Host)
		}
	}
	return nil
}

// Programs returns the programs that connections from this machine to a fleet's hosts need.
func Programs(policy *inventory.Policy, fleet *inventory.Fleet) []string {
	need := map[string]bool{}
	for _, h := range fleet.Hosts {
		switch h.Connection {
		case inventory.ConnectionLocal:
			need["rsync"], need["flock"] = true, true
		case inventory.ConnectionSSH:
			need["ssh"] = policy.SSH.Client == inventory.SSHOpenSSH
		}
	}
	var names []string
	for _, name := range []string{"rsync", "flock", "ssh"} {
		if need[name] {
			names = append(names, name)
		}
	}
	return names
}
