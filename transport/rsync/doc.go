// Package rsync runs rsync on hosts: Sync and DryRun over a connection of package transport, with what rsync says of its progress
// and its end; and a daemon to pull from.
//
// It neither retries nor chooses a source, and it does not know how a host is reached. Every sync runs under the lock of its
// destination, with a bound on its deletions. Hosts need util-linux's flock and rsync 3.1.3 or later, beside what package
// transport asks for.
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
package rsync
