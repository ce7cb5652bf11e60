// Package demo makes a fleet on this machine: hosts that are directories, masters and proxies with a
// real rsync daemon each, pool objects behind an API, a web server that answers for every host, and the
// inventory and the policy with which every command works on all that.
//
//	DIR/inventory.yaml, DIR/fleetsync.yaml
//	DIR/staging                           the tree of the origin
//	DIR/hosts/HOST/srv/mediawiki          a host's destination; its scratch folder is beside it
//	DIR/hosts/HOST/srv/mediawiki-staging  the tree of any other master
//	DIR/hosts/HOST/rsyncd                 the daemon's own files, of masters and proxies
//	DIR/hosts/HOST/down                   make it, and the host's web server answers 503
//	DIR/state                             journals and logs, once there is a run
//
// It never syncs anything, and it writes nowhere but below its directory and, in a pool API that it is
// given, to keys that do not exist. A tree that it is given is only read.
//
// Invariants:
//
//   - Up returns a fleet that works and whose files load, or an error, and then nothing is left of it.
//   - Everything listens on the loopback interface, on ports that the kernel chooses.
//   - After Close nothing runs any more. A daemon also ends with this process, even by SIGKILL.
package demo
