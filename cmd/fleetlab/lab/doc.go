// Package lab brings a fleet of real hosts up on one Linux machine: for fleetlab, for end-to-end tests
// and for benchmarks. It needs root, and namespaces.
//
// # What a host is
//
// Each host has namespaces of its own: network (an address of its own on port eth0), mount, UTS (its
// name), PID and IPC. It runs a real sshd on port 22, a real rsync --daemon on port 873 and, on port 80,
// an HTTP server that serves what its tree holds at that moment. Its /srv, /var/lib and /var/log are
// its own and outlive a power cut; its /run does not. The rest of the file system is the machine's, so
// that programs are where they are. One more host, conf1, runs a real etcd with the v2 API, which holds
// the pool objects of all hosts.
//
// # What lives where
//
//	Up                    the caller's process: writes the files, starts the world, waits for it
//	└─ world              first process of a PID namespace; its network namespace holds the bridge
//	   ├─ host deploy1    first process of the host's PID namespace; serves HTTP, runs what Command asks for
//	   │  ├─ sshd
//	   │  └─ rsync --daemon
//	   └─ …
//
// World and hosts are the caller's program, started again: a program that calls Up must call Child first
// thing in main (a test: in TestMain).
//
// # Invariants
//
//   - Nothing of the lab outlives the world, and the world does not outlive Up's process: its standard input
//     is a pipe of that process, whose end ends it, and the kernel kills all that is in its PID namespace.
//     So it holds for kill -9, too. Namespaces are anonymous, so they go with their processes.
//   - The machine's own network namespace is never touched, nor are its mounts: all is done in the world's.
//     Labs cannot collide: all have the same addresses, and none sees another's.
//   - A power cut is silent: the link goes down before the processes end, so that no peer sees a farewell.
//
// # Other faults
//
// What a host's root can do needs no function here: Command does it. To stop an rsync, pkill -STOP rsync; to have
// its daemon refuse, change "max connections" in /run/rsyncd.conf, which it reads for every client; to have sshd
// refuse, change /etc/ssh/sshd_config and pkill -HUP -o sshd, as for another host key. Mounts last until the host's
// next power cut.
//
// It never installs anything and never syncs a tree: what does that is under test here.
package lab
