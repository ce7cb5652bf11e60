package hosts

import (
	"github.com/fleetsync/fleetsync/inventory"
	"github.com/fleetsync/fleetsync/orchestrator/tree"
	"github.com/fleetsync/fleetsync/transport"
)

// reach returns how commands reach a host of the inventory.
func reach(host inventory.Host) transport.Host {
	return transport.Host{
		Name: host.Name, Address: host.Address, Port: host.Port, User: host.User, Become: host.Become,
		Local: host.Connection == inventory.ConnectionLocal,
	}
}

// TreeOf returns the tree of a host: on a master it is where it is taken from, on any other host where
// it is put.
func TreeOf(fleet *inventory.Fleet, host inventory.Host, conn transport.Conn) tree.Tree {
	root := host.Destination
	if _, master := fleet.Master(host.Name); master {
		root = host.Source
	}
	return tree.Tree{Conn: conn, Root: root, Scratch: host.Scratch, Exclude: fleet.Tree.Exclude}
}
