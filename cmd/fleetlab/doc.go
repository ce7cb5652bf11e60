// Command fleetlab brings a fleet of real hosts up on one Linux machine: sshd, rsync daemons, HTTP servers
// and an etcd, each in namespaces of its own, for trying fleetsync, for its tests and benchmarks. It spoils
// hosts on request: power cuts, partitions, full disks, slow links.
//
// It needs root. It never touches the machine's own network, and what it brings up ends with it.
package main
