package rsync

import (
	_ "embed"
	"strconv"
	"strings"
	"time"

	"github.com/fleetsync/fleetsync/transport"
)

// Pull is one sync of a destination on a host from a source: what rsync needs.
type Pull struct {
	Source      string // rsync://ADDRESS:PORT/MODULE
	Destination string // absolute; it and its parents are created when missing
	Scratch     string // absolute, not inside Destination: where the lock file is; created when missing

	// Paths are the subset to sync, relative to the tree; nil is the whole tree. Only what is at
	// or below a named path is created, changed or deleted, just as a sync of the whole tree would
	// do it, excludes included; its parent directories are created when missing and get the
	// source's metadata; siblings are never touched. Every byte is taken literally. A path that
	// neither side has, or that is excluded, is no error. The path "." is the whole tree.
	Paths []string

	// Backup is where what is replaced or deleted goes: absolute, not inside Destination, on its file system. Empty: it is
	// lost. What only changes its metadata and folders that are empty are not kept (rsync(1), --backup; measured).
	Backup string

	// Before runs on the host under the destination's lock, just before rsync: if it fails, the sync is not started. What it
	// prints goes where rsync's errors go. After runs under the same lock if rsync ended with 0 or 24; the last 64 KiB
	// that it prints are Stats.After. Both are part of the host's command line, which ssh bounds.
	Before, After transport.Script

	Exclude        []string      // rsync patterns
	Compress       bool          // --compress
	BandwidthLimit string        // --bwlimit; empty is none
	Timeout        time.Duration // without any I/O, and to connect; rounded up to seconds; DefaultTimeout when 0
	MaxDelete      int           // more deletions than this end it with exit 25; 0 allows none, Unlimited any number
	Args           []string      // further arguments of rsync, as they are

	progress bool // --info=progress2, which Sync asks for if it is watched: a line for each file, for small ones a tenth of the work
}

// Unlimited is the MaxDelete that allows any number of deletions.
const Unlimited = -1

// DefaultTimeout is a Pull's Timeout when it has none: without one a hung peer hangs rsync for ever.
const DefaultTimeout = time.Minute

//go:embed pull.sh
var pullText string

var pullScript = transport.StripComments(pullText)

// Command returns the command that runs p on its host: rsync under the lock of its destination. It
// is pure; p must be valid.
func (p Pull) Command() transport.Command {
	args := []string{"sh", "-c", pullScript, "fleetsync", p.Scratch, transport.LockFile(p.Scratch, p.Destination), p.Destination}
	if before, after := p.Before.CommandLine(), p.After.CommandLine(); before != "" || after != "" {
		args = append(args, "sh", "-c", aroundScript, "fleetsync", before, after)
	}
	return transport.Command{Args: append(args, p.rsync()...), Stdin: p.rules()}
}

// leftovers lets --delete take the folders in which --delay-updates keeps what has arrived: rsync protects
// them of itself (rsync(1), --partial-dir), so that one which was killed between the last rename and the
// removal of the folder leaves it for ever (measured with 3.5.0). Nobody else's are at risk: the lock
// of the destination is ours.
const leftovers = "--filter=R .~tmp~/"

// exactly makes rsync compare nanoseconds (3.1.3 and later): else an edit of the same size within the same second is not
// sent (measured).
const exactly = "--modify-window=-1"

func (p Pull) rsync() []string {
	args := p.selection()
	if p.Backup != "" {
		args = append(args, "--backup", "--backup-dir="+p.Backup)
	}
	if p.MaxDelete != Unlimited {
		args = append(args, "--max-delete="+strconv.Itoa(p.MaxDelete))
	}
	// Output that can be read: plain numbers, a line at once, nothing of the source's choice.
	args = append(args, "--stats")
	if p.progress {
		args = append(args, "--info=progress2")
	}
	args = append(args, "--no-human-readable", "--outbuf=L", "--no-motd")
	return append(args, strings.TrimRight(p.Source, "/")+"/", p.Destination+"/")
}

// selection returns rsync with what decides what differs, hence what a dry run must have too.
func (p Pull) selection() []string {
	timeout := p.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	args := []string{"rsync", "--archive", "--delete", "--delete-delay", "--delay-updates", exactly, leftovers}
	if p.Compress {
		args = append(args, "--compress")
	}
	if p.BandwidthLimit != "" {
		args = append(args, "--bwlimit="+p.BandwidthLimit)
	}
	for _, e := range p.Exclude {
		args = append(args, "--exclude="+e)
	}
	args = append(args, p.Args...)
	// The first rule that matches decides (rsync(1)): those of the subset come after all others.
	if p.rules() != nil {
		args = append(args, "--exclude-from=-")
	}
	return append(args, "--timeout="+strconv.Itoa(seconds(timeout)), "--contimeout="+strconv.Itoa(seconds(timeout)))
}

// seconds returns d in whole seconds, rounded up.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
