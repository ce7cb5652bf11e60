// Package transport reaches hosts and runs rsync on them: connections, argument vectors, exit
// classes, statistics, progress, and an rsync daemon to pull from.
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
//
// # Native connections
//
// Unless told otherwise a Dialer makes its own connections (golang.org/x/crypto/ssh): one per host,
// opened when the first command needs it, shared by all commands of that host (10 at a time, or as many sessions as the
// host takes), watched by keep-alives, closed when idle. At most so many are open over all hosts; then an
// idle one is closed, or one waits for its turn. What goes through a jump host shares one connection to it.
//
// Hosts are trusted by known_hosts only, by their key or by an authority's certificate, and a key that is
// not known is never taken, whatever StrictHostKeyChecking says. We prove who we are by the keys of an agent and of
// identity files, with their certificates; nobody is asked for a password.
//
// Of ssh_config(5) these are honoured: Host, Match all, Include, HostName, User, Port, AddressFamily, ProxyJump,
// HostKeyAlias, HostKeyAlgorithms, UserKnownHostsFile, GlobalKnownHostsFile, IdentityFile, IdentitiesOnly, IdentityAgent,
// KexAlgorithms, Ciphers, MACs, ConnectTimeout, ServerAliveInterval, ServerAliveCountMax, IgnoreUnknown. What is about
// people at terminals, forwarding or speed is ignored, and so are SendEnv, SetEnv and ForwardAgent: a command gets the
// environment the host gives it. All else, a Match block that says anything of weight and any line that is
// not understood make that host be reached by the OpenSSH program: Fallbacks names it. Differences that remain:
// ServerAliveInterval 0 does not turn keep-alives off, an address is resolved by Go, and CheckHostIP and UpdateHostKeys are off.
//
// A connection found dead before a command began on it is made anew once. One that dies under a command
// ends it as transient; the command's own end is then the wrapper's to see to, by its lifeline.
//
// # Exit codes of a sync
//
// Seen: provoked with the real rsync 3.5.0 and flock 2.38, most of them by the tests (a full and a
// read-only file system by hand). Read: rsync(1).
//
//	code  class      source  evidence
//	0     done
//	1     permanent          seen: unknown option; also sudo's refusal
//	2     permanent          read: protocol incompatibility
//	3     transient          seen: destination, or a parent of it, is a file; scratch cannot be made
//	4     permanent          read: unsupported action
//	5     transient  maybe   seen: max connections reached; refused by pre-xfer exec (or 10)
//	5     permanent  maybe   seen: unknown module, authentication, module's path missing
//	10    transient  maybe   seen: connection refused, unknown address
//	11    transient          seen: file system full, destination cannot be made on a read-only one
//	12    transient  maybe   seen: daemon killed by SIGKILL in mid-transfer
//	13    transient          read: program diagnostics
//	14    transient          read: inter-process communication
//	15    transient          read: sibling crashed
//	16    transient          read: sibling killed
//	19    stopped            read: SIGUSR1
//	20    stopped            seen: SIGTERM to the host's rsync
//	20    transient  maybe   seen: SIGTERM to the source's daemon in mid-transfer
//	21    transient          read: waitpid
//	22    permanent          read: allocation of memory, by a limit (--max-alloc) that a retry meets again
//	23    transient  maybe   seen: in the way, read-only file system; the source's if the sender says so
//	23    permanent          seen: what --max-delete kept is in the way of what comes
//	24    done               read: files vanished at the source; Stats.Warning
//	25    permanent          seen: more deletions than --max-delete
//	30    transient  maybe   seen: timeout, a source that does not answer
//	35    transient  maybe   seen: timeout while connecting
//	64-69 permanent          seen: flock cannot start rsync (69); but 66, no lock file: transient
//	75    busy               seen: another rsync holds the lock
//	126   permanent          read: sh(1), a program cannot be executed
//	127   permanent          seen: rsync or flock missing on the host; missing if the host is local
//	128+n transient          seen: killed by signal n, not by us
//	255   transient          seen: the ssh program could not connect, or lost its connection
//
// A sync that ends because its context does is stopped, whatever the code.
//
// A script around the sync (Pull.Before, Pull.After) has its own codes: see Script. All of a sync is one command under one
// lock: each process of it holds the lock's file open, so that the lock is free only when the last of them has ended,
// whichever of them is killed (seen).
package transport
