package rsync

import (
	"strings"

	"github.com/fleetsync/fleetsync/transport"
)

// The exit codes that are not rsync's own.
const (
	exitIO      = 74  // sysexits.h: EX_IOERR, of a Script
	exitBusy    = 75  // flock -E 75
	exitMissing = 127 // sh(1): command not found
)

// classify returns the class of an exit code of a sync's command, and whether the source may be at
// fault. The package comment gives the evidence.
func classify(code int, stderr string) (class transport.Class, source bool) {
	switch code {
	case exitBusy:
		return transport.ClassBusy, false
	case 5:
		// A full daemon says "max connections (N) reached -- try again later", one that asks first
		// "pre-xfer exec returned failure" (clientserver.c; the connection's end may be seen before
		// that and gives 10). All else is a refusal: unknown module, authentication, hosts deny.
		if strings.Contains(stderr, "max connections") || strings.Contains(stderr, "pre-xfer exec") {
			return transport.ClassTransient, true
		}
		return transport.ClassPermanent, true
	case 10, 12, 30, 35:
		return transport.ClassTransient, true
	case 23:
		// What --max-delete kept from being deleted may be in the way of what comes, and then 23 hides 25 (measured).
		if strings.Contains(stderr, "--max-delete limit") {
			return transport.ClassPermanent, false
		}
		// The sender names itself: "[sender]" (3.2.5 and later), or its function.
		return transport.ClassTransient, strings.Contains(stderr, "[sender]") || strings.Contains(stderr, "send_files")
	case 3, 11, 13, 14, 15, 16, 21, 66:
		return transport.ClassTransient, false
	case 19, 20:
		// A daemon that gets SIGTERM passes its 20 on to who pulls from it (measured).
		if strings.Contains(stderr, "[sender") {
			return transport.ClassTransient, true
		}
		return transport.ClassStopped, false
	default:
		if code > 128 {
			// Killed by a signal that was not ours: out of memory, somebody, a shutdown.
			return transport.ClassTransient, false
		}
		return transport.ClassPermanent, false
	}
}

// refusal returns why the source refuses to serve: what its pre-xfer exec said, as rsync passes it on, or "".
func refusal(stderr string) string {
	_, said, ok := strings.Cut(stderr, "pre-xfer exec returned failure")
	if !ok {
		return ""
	}
	_, said, _ = strings.Cut(said, "\n") // the exit status of wait(2)
	said = summary(said)
	said, _, _ = strings.Cut(said, "; rsync: ") // that it then hung up
	if said == "" || strings.HasPrefix(said, "rsync") {
		return "the source refuses to serve"
	}
	return "the source refuses to serve: " + said
}

// summary returns what matters of the last lines that rsync said, as one bounded line: how rsync ends repeats the exit code in
// words, and counts only where it is all there is.
func summary(stderr string) string {
	var said, ends []string
	for line := range strings.Lines(stderr) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "rsync error:") || strings.HasPrefix(line, "rsync warning:") {
			ends = append(ends, line)
		} else if line != "" {
			said = append(said, line)
		}
	}
	if len(said) == 0 {
		said = ends
	}
	return transport.Summary(strings.Join(said, "\n"))
}
