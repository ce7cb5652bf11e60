// Package transport is what a connection to a host is: Conn runs commands there, an Error says what to do about one that could not
// be run, and Local is the connection to this machine. Package ssh below it makes the connections to other machines, package rsync
// runs rsync over any of them.
//
// It knows nothing of runs, and it never decides: it neither retries nor chooses a source. No host name, path or pattern ever
// reaches a shell unquoted (Quote), and no text of a remote program leaves it before it is neutralised (Neutral).
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
// Hosts need a POSIX sh and coreutils; sudo for Become.
package transport
