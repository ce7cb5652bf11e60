// Package transporttest holds what tests need of rsync and ssh: real daemons on loopback ports of
// the kernel's choice, the conformance suite of connections, and a scripted connection.
//
// Nothing it starts outlives its test, and no configuration of the system is touched.
package transporttest
