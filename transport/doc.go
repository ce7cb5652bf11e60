// Package transport is what a connection to a host is: commands and their results, the classes of what can go wrong with
// them, how words reach a shell, and how text of a remote program is neutralised. Commands on this machine are run here; below it, package
// ssh connects to hosts, and package rsync has what rsync is told and says.
//
// It knows nothing of runs, and it never decides: it neither retries nor chooses a source. No host
// name, path or pattern ever reaches a shell unquoted, and no text of a remote program leaves it
// before it is neutralised.
//
// # Processes
//
// Every command runs under a small shell script (wrapper.sh) in a session of its own, so that the
// terminal's Ctrl-C does not reach it. The script's standard input is a lifeline: when it ends,
// because the context ended, the connection was lost or this process was killed, the command's process group gets
// SIGTERM, and SIGKILL after a grace period. So nothing survives us, here or on a host that can
// still be reached. What does survive (a host cut off in the middle) holds the lock of its
// destination, and the next sync is told that it is busy.
//
// Hosts need a POSIX sh, coreutils, util-linux's flock and rsync 3.1.3 or later; sudo for Become.
package transport
