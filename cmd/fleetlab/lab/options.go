//go:build linux

package lab

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/fleetsync/fleetsync/cmd/internal/testfleet"
)

// Options says what lab to bring up. Defaults returns those of a person who asks for nothing.
type Options struct {
	Dir          string        // is made; must not exist, or be empty
	Hosts        int           // canaries and proxies included, masters not
	Masters      int           // at least 1; the first may serve
	Proxies      int           // fewer than Hosts; 0 is a fleet without
	Rate         string        // of every host's link, each way, as tc(8) writes rates: 10mbit; empty is unshaped
	SrvSize      string        // of every host's /srv, in memory: 512M, 2G; empty is a folder of Dir. FillDisk needs it
	Files        int           // regular files of the generated tree, at least 1
	BytesPerFile int           // of the generated tree; 0: as a grown tree has them
	Tree         string        // a directory: what is synced is a copy of it; empty generates a tree
	Soak         time.Duration // of the gate, as fleetsync.yaml has it
	Drain        time.Duration // of a depooled proxy, likewise
	Keep         bool          // Close leaves the files in Dir
}

// Defaults returns the options of a small lab. Dir is empty.
func Defaults() Options {
	return Options{Hosts: 12, Masters: 2, Proxies: 2, Files: 1000, BytesPerFile: 2048, Soak: time.Second, Drain: time.Second}
}

// maxHosts is how many ports a bridge of Linux has (BR_MAX_PORTS, net/bridge/br_private.h), less some.
const maxHosts = 1000

var (
	// rates are those of tc(8) that cannot be mistaken for bytes.
	rates = regexp.MustCompile(`^[1-9][0-9]{0,6}(kbit|mbit|gbit)$`)
	sizes = regexp.MustCompile(`^[1-9][0-9]{0,5}[KMG]$`)
	// plain are paths that every file that names them reads as they are: ssh_config(5) gives a meaning to
	// blanks, %, $ and ~, YAML to others.
	plain = regexp.MustCompile(`^/[A-Za-z0-9/._+-]*$`)
)

// Validate returns what is wrong with the options, as far as that can be told before anything is made.
func (o Options) Validate() error {
	o, err := o.resolved()
	if err != nil {
		return err
	}
	return o.validate()
}

// hidden are folders that each host has of its own, so that it would not see a lab in the machine's.
var hidden = []string{"/run", "/srv", "/var/lib", "/var/log", "/proc", "/etc/ssh"}

func (o Options) validate() error {
	if err := testfleet.Check(o.Masters, o.Hosts, o.Proxies, o.Soak, o.Drain); err != nil {
		return err
	}
	switch {
	case o.Hosts+o.Masters > maxHosts:
		return fmt.Errorf("%d hosts are more than a bridge of Linux connects (%d)", o.Hosts+o.Masters, maxHosts)
	case o.Tree == "" && (o.Files < 1 || o.BytesPerFile < 0):
		return errors.New("the tree needs a file, and none can have less than no bytes")
	case o.Rate != "" && !rates.MatchString(o.Rate):
		return badRate(o.Rate)
	case o.SrvSize != "" && !sizes.MatchString(o.SrvSize):
		return fmt.Errorf("%q is no size of a disk: write 512M or 2G", o.SrvSize)
	case !plain.MatchString(o.Dir):
		return fmt.Errorf("%q cannot hold a lab: choose a path of letters, digits and . _ + -", o.Dir)
	}
	if o.Tree != "" {
		if err := testfleet.CheckTree(o.Tree, o.Dir); err != nil {
			return err
		}
	}
	for _, dir := range hidden {
		if testfleet.Inside(o.Dir, dir) {
			return fmt.Errorf("%q cannot hold a lab: every host has a %s of its own and would not see it; choose another directory", o.Dir, dir)
		}
	}
	return nil
}

func badRate(rate string) error {
	return fmt.Errorf("%q is no rate: write 10mbit or 500kbit", rate)
}

// resolved returns the options with absolute paths without symlinks.
func (o Options) resolved() (Options, error) {
	if o.Dir == "" {
		return o, errors.New("the lab needs a directory")
	}
	for _, path := range []*string{&o.Dir, &o.Tree} {
		if *path == "" {
			continue
		}
		absolute, err := testfleet.Resolve(*path)
		if err != nil {
			return o, fmt.Errorf("cannot tell where %q is: %w", *path, err)
		}
		*path = absolute
	}
	return o, nil
}
