package rsync

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"path"
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
	Before, After Script

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

// Validate tells what is wrong with p, or nil.
func (p Pull) Validate() error {
	if !strings.HasPrefix(p.Source, "rsync://") || transport.HasControl(p.Source) ||
		len(strings.Split(strings.TrimRight(p.Source, "/"), "/")) != 4 {
		return fmt.Errorf("source %q: must be rsync://ADDRESS[:PORT]/MODULE", p.Source)
	}
	for what, dir := range map[string]string{"destination": p.Destination, "scratch": p.Scratch} {
		if !path.IsAbs(dir) || path.Clean(dir) == "/" || strings.ContainsRune(dir, 0) {
			return fmt.Errorf("%s %q: must be an absolute path below the root", what, dir)
		}
		if path.Clean(dir) != dir {
			return fmt.Errorf("%s %q: must be written as %q", what, dir, path.Clean(dir))
		}
	}
	// A scratch directory inside would be deleted: the source does not have it.
	if p.Scratch == p.Destination || strings.HasPrefix(p.Scratch, p.Destination+"/") {
		return fmt.Errorf("scratch %q: must not be inside the destination %q", p.Scratch, p.Destination)
	}
	if b := p.Backup; b != "" {
		if !path.IsAbs(b) || path.Clean(b) != b || strings.ContainsRune(b, 0) {
			return fmt.Errorf("backup %q: must be a clean absolute path", b)
		}
		// It would be backed up and deleted itself.
		if b == p.Destination || strings.HasPrefix(b, p.Destination+"/") {
			return fmt.Errorf("backup %q: must not be inside the destination %q", b, p.Destination)
		}
		if strings.HasPrefix(p.Destination, b+"/") {
			return fmt.Errorf("backup %q: the destination %q must not be inside", b, p.Destination)
		}
	}
	if err := p.Before.validate("before"); err != nil {
		return err
	}
	if err := p.After.validate("after"); err != nil {
		return err
	}
	if p.MaxDelete < Unlimited {
		return fmt.Errorf("at most %d deletions: must be 0 or more, or %d for any number", p.MaxDelete, Unlimited)
	}
	if p.Paths == nil {
		return nil
	}
	if len(p.Paths) == 0 {
		return fmt.Errorf("no paths to sync: name some, or none at all for the whole tree")
	}
	for _, name := range p.Paths {
		if err := validPath(name); err != nil {
			return err
		}
	}
	for _, a := range p.Args {
		// It would delete everything outside the paths, because that is what excludes it.
		if a == "--delete-excluded" {
			return fmt.Errorf("rsync argument %q: cannot be used with a subset of paths", a)
		}
	}
	return nil
}

func validPath(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("path %q: must not be empty", name)
	case strings.HasPrefix(name, "/"):
		return fmt.Errorf("path %q: must be relative to the tree", name)
	case strings.ContainsAny(name, "\x00\n\r"):
		return fmt.Errorf("path %q: must hold neither NUL nor the end of a line", name)
	case len(name) > 2000:
		return fmt.Errorf("path %.40q…: longer than rsync takes", name) // a rule is bounded by MAXPATHLEN (exclude.c)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return fmt.Errorf("path %q: must not hold %q", name, "..")
		}
	}
	return nil
}

// Command returns the command that runs p on its host: rsync under the lock of its destination. It
// is pure; p must be valid.
func (p Pull) Command() transport.Command {
	args := []string{"sh", "-c", pullScript, "fleetsync", p.Scratch, Lock(p.Scratch, p.Destination), p.Destination}
	if before, after := p.Before.line(), p.After.line(); before != "" || after != "" {
		args = append(args, "sh", "-c", aroundScript, "fleetsync", before, after)
	}
	return transport.Command{Args: append(args, p.rsync()...), Stdin: p.rules()}
}

// Lock returns the lock file of a destination, which whoever writes that must hold by flock(1). It is the same for every
// path of it that is written alike.
func Lock(scratch, destination string) string { return scratch + "/" + FileName(destination) + ".lock" }

// FileName returns a name for files that are about a destination and beside it: readable, and no other destination's.
func FileName(destination string) string {
	sum := sha256.Sum256([]byte(destination))
	base := path.Base(destination)
	return base[:min(len(base), 100)] + "-" + hex.EncodeToString(sum[:4])
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
	return append(args, "--timeout="+strconv.Itoa(transport.Seconds(timeout)), "--contimeout="+strconv.Itoa(transport.Seconds(timeout)))
}

// rules returns the filter rules that restrict a sync to p.Paths, nil for the whole tree. They are
// rules and not --files-from because only so (measured, 3.5.0) excludes hold for what is below an
// excluded directory, a vanished path inside a vanished directory is no warning, and nothing is
// expanded by the daemon.
func (p Pull) rules() []byte {
	var rules []string
	seen := map[string]bool{}
	add := func(rule string) {
		if !seen[rule] {
			seen[rule] = true
			rules = append(rules, rule)
		}
	}
	for _, name := range p.Paths {
		name = path.Clean(name)
		if name == "." {
			return nil
		}
		for i, c := range []byte(name) {
			if c == '/' {
				add("+ /" + pattern(name[:i]) + "/")
			}
		}
		add("+ /" + pattern(name))
		add("+ /" + escape(name) + "/**")
	}
	if rules == nil {
		return nil
	}
	return []byte(strings.Join(append(rules, "- *"), "\n") + "\n")
}

// pattern returns the pattern that matches name alone. A backslash escapes only in a pattern that
// has a wildcard, else it is literal (rsync(1), pattern matching rules).
func pattern(name string) string {
	if !strings.ContainsAny(name, "*?[") {
		return name
	}
	return escape(name)
}

func escape(name string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(name)
}
