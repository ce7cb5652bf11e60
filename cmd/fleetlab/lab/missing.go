//go:build linux

package lab

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// packages are the Debian packages of the programs that a lab needs.
var packages = map[string]string{
	"ip": "iproute2", "tc": "iproute2", "nsenter": "util-linux", "sshd": "openssh-server", "ssh": "openssh-client",
	"rsync": "rsync", "etcd": "etcd-server",
}

// MissingError tells which programs the machine lacks, and what to install.
type MissingError struct {
	Programs []string // sorted
	Packages []string // Debian's, sorted
}

func (e *MissingError) Error() string {
	return strings.Join(e.Programs, ", ") + " missing on this machine: apt-get install " + strings.Join(e.Packages, " ")
}

// Missing returns a *MissingError if the machine lacks a program that a lab needs, or nil.
func Missing() error {
	e := &MissingError{}
	for program, from := range packages {
		if _, err := lookSbin(program); err != nil {
			e.Programs, e.Packages = append(e.Programs, program), append(e.Packages, from)
		}
	}
	if e.Programs == nil {
		return nil
	}
	slices.Sort(e.Programs)
	slices.Sort(e.Packages)
	e.Packages = slices.Compact(e.Packages)
	return e
}

// lookSbin finds a program also where Debian keeps daemons, which is not on a user's PATH.
func lookSbin(program string) (string, error) {
	path, err := exec.LookPath(program)
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		if err == nil {
			break
		}
		path, err = exec.LookPath(filepath.Join(dir, program))
	}
	return path, err
}
